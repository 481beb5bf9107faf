"""Is the process alive, and may it be sent work: /livez and /readyz."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

PROBE_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found: `facts` are shown; `reason` says what is wrong, None for nothing."""

    reason: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to look at. Without a `required` one the service is not ready, without another it is degraded."""

    name: str
    look: Callable[[], Awaitable[Finding]]
    required: bool = True


class Health:
    """The process's probes; anything may be added while it starts."""

    def __init__(self) -> None:
        self.probes: list[Probe] = []
        self.starting: str | None = "starting"

    def add(self, name: str, look: Callable[[], Awaitable[Finding]], *, required: bool = True) -> None:
        """Look at this too."""
        self.probes.append(Probe(name, look, required))

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the service is ready, and what each probe found: status ready, degraded or not ready."""
        if self.starting is not None:
            # What the probes look at may not be there yet.
            return False, {"status": "not ready", "reason": self.starting}
        found = await asyncio.gather(*(self._look(probe) for probe in self.probes))
        checks = {
            probe.name: {
                "ok": finding.reason is None,
                **({"reason": finding.reason} if finding.reason else {}),
                **finding.facts,
            }
            for probe, finding in zip(self.probes, found, strict=True)
        }
        failed = [probe for probe, finding in zip(self.probes, found, strict=True) if finding.reason]
        if any(probe.required for probe in failed):
            return False, {"status": "not ready", "checks": checks}
        return True, {"status": "degraded" if failed else "ready", "checks": checks}

    async def _look(self, probe: Probe) -> Finding:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await probe.look()
        except TimeoutError:
            return Finding(f"no answer within {PROBE_TIMEOUT_S:g} s", {})
        except Exception as error:
            return Finding(f"{type(error).__name__}: {error}"[:200], {})

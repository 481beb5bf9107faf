"""How long it took to come back after each fault, and how far readers were behind. Pure, over the history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.history import AGAIN, Answered, Broke, Entry, Healed, Invoked, Measured

API_BOUND_S: Final = 10.0
BROKER_BOUND_S: Final = 30.0
POSTGRES_BOUND_S: Final = 60.0
STEADY_LAG_BOUND_S: Final = 2.0
HEALED_LAG_BOUND_S: Final = 30.0

LAG: Final = "lag"
LEADERS: Final = "leaders"


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault as it happened; `healed` is infinite where it never was."""

    kind: str
    target: str
    at: float
    healed: float


def broken(entries: Iterable[Entry]) -> list[Broken]:
    """The faults of a history."""
    began: dict[int, Broke] = {}
    found: dict[int, Broken] = {}
    for entry in entries:
        if isinstance(entry, Broke):
            began[entry.number] = entry
            found[entry.number] = Broken(entry.kind, entry.target, entry.at, float("inf"))
        elif isinstance(entry, Healed):
            broke = began[entry.number]
            found[entry.number] = Broken(broke.kind, broke.target, broke.at, entry.at)
    return list(found.values())


def api_recoveries(entries: Sequence[Entry]) -> list[float]:
    """After each fault of one replica: seconds from its healing to the first request sent since that got an answer.

    Where another fault touched the same replica or PostgreSQL meanwhile, the time counts from when that was healed.
    """
    faults = broken(entries)
    answers = _answers(entries)
    found = []
    for fault in faults:
        if fault.kind not in ("kill replica", "stop replica", "cut link", "half-open link", "hold link", "reset link"):
            continue
        seat = fault.target.partition("/")[0]
        if not seat.startswith("jars"):
            continue
        others = [each for each in faults if each.target.partition("/")[0] in (seat, "postgres")]
        recovered = _recovered(fault.healed, [at for name, at in answers if name == seat], others)
        if recovered is not None:
            found.append(recovered)
    return found


def postgres_recoveries(entries: Sequence[Entry]) -> list[float]:
    """After each fault of PostgreSQL: seconds from its healing to the first request since that got an answer."""
    faults = broken(entries)
    answers = [at for _, at in _answers(entries)]
    outages = [each for each in faults if each.target == "postgres"]
    return [recovered for each in outages if (recovered := _recovered(each.healed, answers, outages)) is not None]


def _answers(entries: Sequence[Entry]) -> list[tuple[str, float]]:
    """Which replica gave a definite answer to a command, and when."""
    seats = {(each.operation, each.attempt): each.seat for each in entries if isinstance(each, Invoked)}
    return [
        (seats[each.operation, each.attempt], each.at)
        for each in entries
        if isinstance(each, Answered) and each.status is not None and each.status not in AGAIN
    ]


def _recovered(healed: float, answers: Iterable[float], others: Iterable[Broken]) -> float | None:
    since = healed
    for at in sorted(answers):
        if at < healed:
            continue
        for other in sorted(others, key=lambda each: each.healed):
            if since < other.healed <= at and other.at <= at:
                since = other.healed
        return at - since
    return None


def leader_recoveries(entries: Iterable[Entry]) -> list[float]:
    """After each death or standstill of a broker: seconds until every partition was led by another one."""
    return [each.seconds for each in entries if isinstance(each, Measured) and each.what == LEADERS]


def steady_lags(entries: Sequence[Entry]) -> list[float]:
    """Seconds that the oldest event unread had been recorded, where nothing had been broken for 30 s."""
    faults = [each for each in broken(entries) if not each.kind.startswith(("inject", "rebuild"))]
    return [
        each.seconds
        for each in entries
        if isinstance(each, Measured)
        and each.what == LAG
        and not any(fault.at <= each.at <= fault.healed + HEALED_LAG_BOUND_S for fault in faults)
    ]


def lags_after_healing(entries: Sequence[Entry]) -> list[float]:
    """After each healing: seconds until the lag was within its steady bound, or until something else was broken."""
    faults = [each for each in broken(entries) if not each.kind.startswith(("inject", "rebuild"))]
    samples = [each for each in entries if isinstance(each, Measured) and each.what == LAG]
    found = []
    for fault in faults:
        if any(other is not fault and other.at <= fault.healed < other.healed for other in faults):
            continue
        caught_up = next(
            (each.at for each in samples if each.at >= fault.healed and each.seconds <= STEADY_LAG_BOUND_S), None
        )
        again = min((other.at for other in faults if other.at > fault.healed), default=float("inf"))
        if caught_up is not None and caught_up < again:
            found.append(caught_up - fault.healed)
    return found


def percentile(values: Sequence[float], part: float) -> float | None:
    """The value below which that part of the values lies; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

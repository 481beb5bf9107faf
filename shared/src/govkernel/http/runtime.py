"""What a running API stands on, handed to it by plain arguments when a process starts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from govkernel.access import Decision, Visible
from govkernel.consumer import Consumer, Parked
from govkernel.domain import NodeId, SubjectId
from govkernel.http.auth import Caller, TokenVerifier
from govkernel.http.health import Health
from govkernel.http.problems import FORBIDDEN, NOT_CAUGHT_UP, Refused
from govkernel.ledger import Ledger, Timers
from govkernel.logging import logger
from govkernel.metrics import Metrics
from govkernel.relay import Relay

LONGEST_WAIT_S: Final = 5.0

log = logger(__name__)


class Authority(Protocol):
    """Decides what a subject may do; `govkernel.access.Access` is the one of services."""

    async def decide(
        self, *, subject: SubjectId, action: str, node: NodeId | None, administrator: bool, now: datetime
    ) -> Decision:
        """Whether the subject may do the action at the node; node None is for what belongs to no node."""

    async def visible_nodes(self, *, subject: SubjectId, action: str, administrator: bool, now: datetime) -> Visible:
        """The nodes in whose subtrees the subject may do the action."""


class Versions(Protocol):
    """Knows how far this service has followed the topics that it reads."""

    async def behind(self, stream: UUID, version: int) -> bool:
        """Whether a reader of this service that follows the stream's topic has not applied that version yet."""


class LocalVersions:
    """Versions by the guards in the service's own database, which consumers move with every batch.

    `readers` are the consumers by the service whose topic they read.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", *, service: str, readers: Callable[[], Mapping[str, str]]) -> None:
        self._pool = pool
        self._service = service
        self._readers = readers

    async def behind(self, stream: UUID, version: int) -> bool:
        """See `Versions`. A stream of which nothing was heard counts as not yet seen."""
        async with self._pool.acquire(timeout=5) as connection:
            seen = {
                row["consumer"]: row["version"]
                for row in await connection.fetch(
                    "SELECT consumer, version FROM consumer_guards WHERE stream = $1", stream
                )
            }
            own = await connection.fetchval("SELECT max(version) FROM events WHERE stream = $1", stream)
        readers = self._readers()
        if own is not None:
            if own < version:
                return True
            source = self._service
        else:
            sources = {readers[consumer] for consumer in seen if consumer in readers}
            if not sources:
                return True
            (source,) = sources
        return any(seen.get(consumer, 0) < version for consumer, of in readers.items() if of == source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What operators can look at and do. `parked` and `consumers` are asked anew each time, for builds come and go."""

    parked: Callable[[], Parked]
    relay: Relay
    consumers: Callable[[], Sequence[Consumer]]


@dataclass(slots=True, kw_only=True)
class Runtime:
    """The parts that requests are answered with. `clock` gives the time in UTC."""

    service: str
    ledger: Ledger
    engine: AsyncEngine
    verifier: TokenVerifier
    authority: Authority
    versions: Versions
    metrics: Metrics
    health: Health
    clock: Callable[[], datetime]
    demo: bool = False
    timers: Timers | None = None
    operations: Operations | None = None

    async def wait_until_seen(
        self, minimum: tuple[tuple[UUID, int], ...], *, timeout_s: float = LONGEST_WAIT_S
    ) -> None:
        """Wait until these versions are visible to this service. Raises Refused (503) when they don't come in time."""
        if not minimum:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = 0.005
        for stream, version in minimum:
            while await self.versions.behind(stream, version):
                if loop.time() >= deadline:
                    raise Refused(
                        NOT_CAUGHT_UP,
                        f"{stream}@{version} is not visible here yet; send the same request again",
                        headers={"Retry-After": "1"},
                    )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.1)

    async def require(self, caller: Caller, action: str, node: NodeId | None, now: datetime) -> None:
        """Raises Refused (403) where the caller may not do the action at the node."""
        decision = await self.authority.decide(
            subject=caller.subject, action=action, node=node, administrator=caller.administrator, now=now
        )
        if decision.allowed:
            return
        log.info("denied", subject=str(caller.subject), action=action, node=str(node), policy=decision.policy_hash)
        facts = {"action": action, "policy": decision.policy_hash}
        if node is not None:
            facts["node"] = str(node)
        raise Refused(FORBIDDEN, decision.reason, facts=facts)

"""What a running API stands on, handed to it by plain arguments when a process starts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from govevents.approvals import Role
from govkernel.access import Decision, Recalled, Visible
from govkernel.consumer import Consumer, Parked
from govkernel.domain import NodeId, SubjectId
from govkernel.http.auth import Caller, TokenVerifier
from govkernel.http.health import Health
from govkernel.http.problems import FORBIDDEN, NOT_CAUGHT_UP, UNAVAILABLE_HERE, Refused, not_found
from govkernel.http.time_limit import TimeLimit
from govkernel.ledger import Ledger, Timers
from govkernel.logging import logger
from govkernel.metrics import Metrics
from govkernel.readmodels import ReadModels
from govkernel.relay import Reconciled, Relay, Stage
from govkernel.tracing import Tracing

LONGEST_WAIT_S: Final = 5.0
LONGEST_READING_S: Final = 5.0
LONGEST_ANSWER_S: Final = 8.0
"""After this a command is answered 503, whatever it waits for; what is under way by then may still be done."""

SEEN: Final = """
SELECT own.version AS own, guards.consumers, guards.versions, live.models, live.builds
FROM (SELECT max(version) AS version FROM events WHERE stream = $1) AS own,
  (SELECT coalesce(array_agg(consumer), '{}') AS consumers, coalesce(array_agg(version), '{}') AS versions
   FROM consumer_guards WHERE stream = $1) AS guards,
  (SELECT coalesce(array_agg(name), '{}') AS models, coalesce(array_agg(name || '/' || build), '{}') AS builds
   FROM read_model_builds WHERE state = 'live' AND name = ANY($2::text[])) AS live"""

log = logger(__name__)


class Authority(Protocol):
    """Decides what a subject may do; `govkernel.access.Access` is the one of services."""

    async def decide(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> Sequence[Decision]:
        """Of each action, whether the subject may do it at the node; node None is for what belongs to no node."""

    def recall(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> Recalled | None:
        """What was decided of this before and may still hold; None where nothing is remembered."""

    def roles_for(self, action: str) -> frozenset[Role]:
        """The roles that may do the action."""

    async def visible_nodes(self, *, subject: SubjectId, action: str, administrator: bool, now: datetime) -> Visible:
        """The nodes in whose subtrees the subject may do the action."""


class Versions(Protocol):
    """Knows how far this service has followed the topics that it reads."""

    async def behind(self, stream: UUID, version: int) -> bool:
        """Whether a reader of this service that follows the stream's topic has not applied that version yet."""


class LocalVersions:
    """Versions by the guards in the service's own database, which consumers move with every batch.

    `models` are read models, `others` are further consumers, each by name with the service whose topic it reads.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        service: str,
        models: Mapping[str, str],
        others: Mapping[str, str],
    ) -> None:
        self._pool = pool
        self._service = service
        self._models = models
        self._others = others

    async def behind(self, stream: UUID, version: int) -> bool:
        """See `Versions`. A stream of which nothing was heard counts as not yet seen."""
        async with self._pool.acquire(timeout=5) as connection:
            row = await connection.fetchrow(SEEN, stream, list(self._models))
        assert row is not None, "a SELECT without FROM gives one row"
        seen = dict(zip(row["consumers"], row["versions"], strict=True))
        readers = dict(self._others)
        for name, consumer in zip(row["models"], row["builds"], strict=True):
            readers[consumer] = self._models[name]
        if row["own"] is not None:
            if row["own"] < version:
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
    """What operators can look at and do. `parked` and `consumers` are asked anew each time, for builds come and go.

    `reconcile(show, topic_only, most_findings)` compares the ledger with itself and with Kafka.
    """

    parked: Callable[[], Parked]
    relay: Relay
    reconcile: Callable[[Callable[[Stage], None], bool, int], Awaitable[Reconciled]]
    consumers: Callable[[], Sequence[Consumer]]
    read_models: ReadModels


@dataclass(slots=True, kw_only=True)
class Runtime:
    """The parts that requests are answered with. `clock` gives the time in UTC.

    `reading` is how long a command may take to read what it intends, `answering` how long until it is answered.
    """

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
    tracing: Tracing | None = None
    reading: TimeLimit = field(default_factory=lambda: TimeLimit(LONGEST_READING_S))
    answering: TimeLimit = field(default_factory=lambda: TimeLimit(LONGEST_ANSWER_S))

    def require_started(self) -> None:
        """Raises Refused (503) while the process starts or stops, for what decides about access is not there then."""
        if self.health.starting is not None:
            raise Refused(
                UNAVAILABLE_HERE,
                f"{self.service}: {self.health.starting}; send the same request again",
                headers={"Retry-After": "1"},
            )

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

    def recall_allowed(self, caller: Caller, node: NodeId | None, now: datetime, *actions: str) -> str | None:
        """The generation of roles and nodes by which the caller may do all of this, as remembered; else None."""
        recalled = self.authority.recall(
            subject=caller.subject, actions=actions, node=node, administrator=caller.administrator, now=now
        )
        if recalled is None or not all(decision.allowed for decision in recalled.decisions):
            return None
        return recalled.generation

    async def require(self, caller: Caller, node: NodeId | None, now: datetime, *actions: str) -> None:
        """Raises Refused: 403 where the caller may not do all of this at the node, 404 where it is not known here."""
        decisions = await self.authority.decide(
            subject=caller.subject, actions=actions, node=node, administrator=caller.administrator, now=now
        )
        for action, decision in zip(actions, decisions, strict=True):
            if decision.allowed:
                continue
            log.info("denied", subject=str(caller.subject), action=action, node=str(node), policy=decision.policy_hash)
            facts = {"action": action, "policy": decision.policy_hash}
            if node is not None:
                facts["node"] = str(node)
            if not decision.node_known:
                raise not_found("node", node)
            raise Refused(FORBIDDEN, decision.reason, facts=facts)

"""Fetches what a decision rests on, the subject's roles at a node and above it, and remembers what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
from sqlalchemy import ColumnElement, false, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from govevents.approvals import Role
from govevents.values import NodeId, SubjectId
from govkernel.access.generation import Generation, read_generation
from govkernel.access.models import NODES, NodeKind, NodeRow
from govkernel.access.policy import Assignment, Decision, Policy, decide
from govkernel.readmodels.tables import decode_row, views_of

MOST_REMEMBERED: Final = 20_000

# UNION and not UNION ALL: two moves that crossed could make a circle, which must not hang whoever asks.
AT_AND_ABOVE: Final = """
WITH RECURSIVE above (node) AS (
  SELECT $2::uuid
  UNION
  SELECT nodes.parent FROM above JOIN read.nodes ON nodes.node = above.node WHERE nodes.parent IS NOT NULL)
SELECT above.node, roles.role, roles.first_day, roles.last_day,
  (SELECT portfolio.time_zone FROM read.nodes AS own JOIN read.nodes AS portfolio ON portfolio.node = own.portfolio
   WHERE own.node = $2) AS time_zone,
  EXISTS (SELECT FROM read.nodes WHERE nodes.node = $2) AS node_known
FROM above LEFT JOIN read.roles ON roles.node = above.node AND roles.holder = $1 AND roles.role = ANY($3::text[])"""

ANYWHERE: Final = """
SELECT roles.node, roles.role, roles.first_day, roles.last_day, portfolio.time_zone
FROM read.roles LEFT JOIN read.nodes AS own ON own.node = roles.node
LEFT JOIN read.nodes AS portfolio ON portfolio.node = own.portfolio
WHERE roles.holder = $1 AND roles.role = ANY($2::text[])"""


@dataclass(frozen=True, slots=True)
class Visible:
    """What a subject may see in lists: everything, or these nodes and all below them."""

    everything: bool
    nodes: frozenset[NodeId]

    def covers(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition that the node in this column may be seen, for a Core query."""
        if self.everything:
            return true()
        if not self.nodes:
            return false()
        nodes, _history = views_of(NODES)
        tree = select(nodes.c.node).where(nodes.c.node.in_(sorted(self.nodes))).cte("visible_nodes", recursive=True)
        below = select(nodes.c.node).join(tree, nodes.c.parent == tree.c.node)
        return column.in_(select(tree.union(below).c.node))


@dataclass(frozen=True, slots=True)
class _Known:
    """What was decided, on which day in which portfolio's time zone."""

    time_zone: str | None
    day: date
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was decided before, under which generation of roles and nodes; it holds while that is the newest."""

    decisions: tuple[Decision, ...]
    generation: str


class Access:
    """Decides for one service, by its policy and the read models `roles` and `nodes` of its own database.

    What was decided is remembered as long as neither of them changes: every decision is what the database would say.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", policy: Policy) -> None:
        self._pool = pool
        self.policy = policy
        self._generation = Generation(partial(read_generation, pool))
        self._known_of = ""
        self._known: dict[tuple[int, int, tuple[str, ...], bool], _Known] = {}

    async def decide(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> tuple[Decision, ...]:
        """Of each action, whether a subject may do it at a node now; nothing is above a node that is not known here."""
        if node is None:
            return self._decided(subject, actions, node, administrator, now, []).decisions
        generation = await self._generation.now()
        if generation != self._known_of:
            self._known_of = generation
            self._known.clear()
        recalled = self.recall(subject=subject, actions=actions, node=node, administrator=administrator, now=now)
        if recalled is not None:
            return recalled.decisions
        roles = {role.value for action in actions for role in self.policy.roles_for(action)}
        found = await self._pool.fetch(AT_AND_ABOVE, subject, node, sorted(roles))
        known = self._decided(subject, actions, node, administrator, now, found)
        if generation == self._known_of:
            # What was read is as new as this generation or newer; another look may have found a newer one meanwhile.
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[subject.int, node.int, tuple(actions), administrator] = known
        return known.decisions

    def recall(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> Recalled | None:
        """What was decided before, without asking the database; None where nothing is remembered."""
        if node is None:
            return None
        known = self._known.get((subject.int, node.int, tuple(actions), administrator))
        if known is None or known.day != day_in(known.time_zone, now):
            return None
        return Recalled(known.decisions, self._known_of)

    def _decided(
        self,
        subject: SubjectId,
        actions: Sequence[str],
        node: NodeId | None,
        administrator: bool,
        now: datetime,
        found: "Sequence[asyncpg.Record]",
    ) -> _Known:
        time_zone = found[0]["time_zone"] if found else None
        today = day_in(time_zone, now)
        assignments = [_assignment(subject, row) for row in found if row["role"] is not None]
        nodes_above = frozenset(row["node"] for row in found)
        decisions = tuple(
            replace(
                decide(
                    self.policy,
                    subject=subject,
                    action=action,
                    node=node,
                    assignments=assignments,
                    nodes_above=nodes_above,
                    administrator=administrator,
                    today=today,
                ),
                node_known=not found or found[0]["node_known"],
            )
            for action in actions
        )
        return _Known(time_zone, today, decisions)

    def roles_for(self, action: str) -> frozenset[Role]:
        """The roles that the policy lets do this."""
        return self.policy.roles_for(action)

    async def visible_nodes(self, *, subject: SubjectId, action: str, administrator: bool, now: datetime) -> Visible:
        """The nodes at which a subject has a role that allows this; what is below them may be seen too."""
        roles = self.policy.roles_for(action)
        if administrator and Role.ADMINISTRATOR in roles:
            return Visible(True, frozenset())
        rows = await self._pool.fetch(ANYWHERE, subject, [role.value for role in roles])
        return Visible(
            False,
            frozenset(
                NodeId(row["node"]) for row in rows if _assignment(subject, row).holds_on(day_in(row["time_zone"], now))
            ),
        )


async def node_of(engine: AsyncEngine, node: NodeId, kind: NodeKind) -> NodeRow | None:
    """What is known here of a node of this kind; None where nothing is, or where the node is of another kind."""
    nodes, _history = views_of(NODES)
    async with engine.connect() as connection:
        found = await connection.execute(select(nodes).where(nodes.c.node == node, nodes.c.kind == kind.value))
        row = found.mappings().one_or_none()
    return decode_row(NODES, row) if row is not None else None


def _assignment(subject: SubjectId, row: "asyncpg.Record") -> Assignment:
    return Assignment(subject, Role(row["role"]), NodeId(row["node"]), row["first_day"], row["last_day"])


def day_in(time_zone: str | None, now: datetime) -> date:
    """The day in a portfolio's time zone; in UTC where the portfolio or its time zone is not known here."""
    return now.astimezone(_zone(time_zone)).date()


def end_of_day(time_zone: str | None, day: date) -> datetime:
    """The moment in UTC at which a day is over in a portfolio's time zone; in UTC as of `day_in`."""
    return datetime.combine(day + timedelta(days=1), time.min, _zone(time_zone)).astimezone(UTC)


def _zone(time_zone: str | None) -> tzinfo:
    try:
        return ZoneInfo(time_zone) if time_zone else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC

"""Access over a real tree of nodes: roles above count, roles elsewhere don't, and lists show what may be seen."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Uuid as SqlUuid
from sqlalchemy import column, func, select, values
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.streams import Stream

from govevents.approvals import Role, RoleAssigned, RoleRevoked
from govevents.projects import Charter, PortfolioRegistered, ProgrammeRegistered, ProjectMoved, ProjectRegistered
from govevents.values import NodeId, PersonId, PortfolioId, SubjectId
from govkernel.access import ACCESS_MODELS, NODES, ROLES, Access, Policy, Visible
from govkernel.postgres import create_engine, create_pool
from govkernel.readmodels import ReadModel, ReadModelHandler
from govkernel.readmodels.builds import ensure, live_build
from govkernel.readmodels.tables import schema_of

POLICY = Policy.parse(
    b"""
[actions."project.read"]
roles = ["administrator", "viewer", "project_manager"]
why = "Whoever works on it or was let in may see it."

[actions."review.vote"]
roles = ["approver"]
why = "Approvers vote."
""",
    name="policy.toml",
)
ROLES_ROWS = schema_of("roles", 1)
NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)
ANA, BO = SubjectId(uuid4()), SubjectId(uuid4())


@dataclass
class Tree:
    """Two portfolios, one with a programme and a project in it; and whatever roles a test assigns."""

    pool: Any
    access: Access
    handlers: dict[str, ReadModelHandler[Any]]
    portfolio: NodeId = field(init=False)
    programme: NodeId = field(init=False)
    project: NodeId = field(init=False)
    other_portfolio: NodeId = field(init=False)
    other_project: NodeId = field(init=False)
    roles: dict[tuple[Role, NodeId, SubjectId], Stream] = field(default_factory=dict)

    async def write(self, model: ReadModel[Any], stream: Stream, event: object) -> NodeId:
        async with self.pool.acquire() as connection, connection.transaction():
            assert not await self.handlers[model.name].apply(connection, [stream.event(event)])
        return NodeId(stream.stream)

    async def assign(
        self,
        role: Role,
        node: NodeId,
        holder: SubjectId = ANA,
        *,
        first: date = date(2026, 1, 1),
        last: date | None = None,
    ) -> None:
        stream = self.roles.setdefault((role, node, holder), Stream("approvals"))
        await self.write(ROLES, stream, RoleAssigned(holder, PersonId(uuid4()), role, node, first, last))

    async def revoke(self, role: Role, node: NodeId, holder: SubjectId = ANA) -> None:
        await self.write(ROLES, self.roles[role, node, holder], RoleRevoked(holder, role, node, ""))

    async def may_see(self, node: NodeId, subject: SubjectId = ANA, *, administrator: bool = False) -> bool:
        (decision,) = await self.access.decide(
            subject=subject, actions=["project.read"], node=node, administrator=administrator, now=NOW
        )
        return decision.allowed

    async def visible(self, subject: SubjectId = ANA, *, administrator: bool = False) -> Visible:
        return await self.access.visible_nodes(
            subject=subject, action="project.read", administrator=administrator, now=NOW
        )


def project(portfolio: NodeId, parent: NodeId) -> ProjectRegistered:
    return ProjectRegistered(PortfolioId(portfolio), parent, "A-1", "A", Charter("", None, None, None), None, (), None)


@pytest.fixture
async def tree(database: str) -> AsyncIterator[Tree]:
    pool = await create_pool(database, largest=5)
    handlers = {}
    async with pool.acquire() as connection:
        await ensure(connection, ACCESS_MODELS, NOW)
        for model in ACCESS_MODELS:
            live = await live_build(connection, model.name)
            assert live is not None
            handlers[model.name] = ReadModelHandler[Any](model, live)
    made = Tree(pool, Access(pool, POLICY), handlers)
    made.portfolio = await made.write(NODES, Stream("projects"), PortfolioRegistered("One", "AUD", "Australia/Sydney"))
    made.other_portfolio = await made.write(NODES, Stream("projects"), PortfolioRegistered("Two", "AUD", "UTC"))
    made.programme = await made.write(
        NODES, Stream("projects"), ProgrammeRegistered(PortfolioId(made.portfolio), made.portfolio, "P")
    )
    made.project = await made.write(NODES, Stream("projects"), project(made.portfolio, made.programme))
    made.other_project = await made.write(
        NODES, Stream("projects"), project(made.other_portfolio, made.other_portfolio)
    )
    yield made
    await pool.close()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database, largest=1)
    yield made
    await made.dispose()


async def test_nobody_sees_anything_without_a_role(tree: Tree) -> None:
    assert not await tree.may_see(tree.project)
    assert await tree.visible() == Visible(False, frozenset())


async def test_a_role_holds_at_its_node_and_below_and_nowhere_else(tree: Tree) -> None:
    await tree.assign(Role.VIEWER, tree.programme)
    assert await tree.may_see(tree.programme)
    assert await tree.may_see(tree.project)
    assert not await tree.may_see(tree.portfolio)
    assert not await tree.may_see(tree.other_project)
    assert not await tree.may_see(tree.project, BO)


async def test_a_revoked_role_holds_no_longer_and_an_assigned_one_does_again(tree: Tree) -> None:
    await tree.assign(Role.VIEWER, tree.portfolio)
    await tree.revoke(Role.VIEWER, tree.portfolio)
    assert not await tree.may_see(tree.project)
    await tree.assign(Role.VIEWER, tree.portfolio)
    assert await tree.may_see(tree.project)


async def test_a_role_ends_with_the_day_where_the_portfolio_is(tree: Tree) -> None:
    # It is the evening of the first in UTC, and the morning of the second in Sydney.
    await tree.assign(Role.VIEWER, tree.portfolio, last=date(2026, 3, 1))
    await tree.assign(Role.VIEWER, tree.other_portfolio, last=date(2026, 3, 1))
    assert not await tree.may_see(tree.project)
    assert await tree.may_see(tree.other_project)
    assert (await tree.visible()).nodes == {tree.other_portfolio}


async def test_a_moved_project_is_seen_from_where_it_stands_now(tree: Tree) -> None:
    await tree.assign(Role.VIEWER, tree.programme)
    stream = Stream("projects")
    moved = await tree.write(NODES, stream, project(tree.portfolio, tree.programme))
    assert await tree.may_see(moved)
    await tree.write(NODES, stream, ProjectMoved(PortfolioId(tree.portfolio), tree.portfolio))
    assert not await tree.may_see(moved)


async def test_the_decision_names_the_rule_that_allowed_it(tree: Tree) -> None:
    await tree.assign(Role.APPROVER, tree.portfolio)
    (decision,) = await tree.access.decide(
        subject=ANA, actions=["review.vote"], node=tree.project, administrator=False, now=NOW
    )
    assert decision.rules == (f"review.vote:approver@{tree.portfolio}",)
    assert decision.policy_hash == POLICY.hash


async def test_the_first_administrator_sees_everything_also_nodes_that_are_not_known_yet(tree: Tree) -> None:
    assert await tree.may_see(NodeId(uuid4()), administrator=True)
    assert (await tree.visible(administrator=True)).everything


async def test_a_role_at_a_node_that_is_not_known_yet_counts_at_that_node(tree: Tree) -> None:
    unknown = NodeId(uuid4())
    await tree.assign(Role.VIEWER, unknown)
    assert await tree.may_see(unknown)
    assert not await tree.may_see(tree.project)


async def test_nodes_in_a_circle_hang_nobody(tree: Tree) -> None:
    one, two = Stream("projects"), Stream("projects")
    await tree.write(NODES, one, project(tree.portfolio, NodeId(two.stream)))
    await tree.write(NODES, two, project(tree.portfolio, NodeId(one.stream)))
    assert not await tree.may_see(NodeId(one.stream))
    await tree.assign(Role.VIEWER, NodeId(two.stream))
    assert await tree.may_see(NodeId(one.stream))


async def test_lists_show_the_subtrees_that_may_be_seen(tree: Tree, engine: AsyncEngine) -> None:
    everything = [tree.portfolio, tree.programme, tree.project, tree.other_portfolio, tree.other_project]
    listed = values(column("node", SqlUuid), name="listed").data([(node,) for node in everything])

    async def seen(visible: Visible) -> set[UUID]:
        async with engine.connect() as connection:
            rows = await connection.execute(select(listed.c.node).where(visible.covers(listed.c.node)))
            assert await connection.scalar(select(func.count()).select_from(listed)) == len(everything)
            return {row.node for row in rows}

    assert await seen(await tree.visible()) == set()
    await tree.assign(Role.VIEWER, tree.programme)
    assert await seen(await tree.visible()) == {tree.programme, tree.project}
    await tree.assign(Role.PROJECT_MANAGER, tree.other_project)
    assert await seen(await tree.visible()) == {tree.programme, tree.project, tree.other_project}
    assert await seen(await tree.visible(administrator=True)) == set(everything)


PLACES = st.sampled_from(["portfolio", "programme", "project", "other_project"])
STEPS = st.one_of(
    st.tuples(st.just("assign"), st.sampled_from([Role.VIEWER, Role.APPROVER]), PLACES, st.sampled_from([None, 1, 2])),
    st.tuples(st.just("revoke"), st.sampled_from([Role.VIEWER, Role.APPROVER]), PLACES),
    st.tuples(st.just("move"), st.sampled_from(["portfolio", "programme"])),
    st.tuples(st.just("ask"), PLACES, st.booleans(), st.sampled_from([1, 2, 3])),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
async def test_what_is_remembered_is_what_the_database_says_whatever_has_changed(tree: Tree, steps: list[Any]) -> None:
    moved = Stream("projects")
    tree.project = await tree.write(NODES, moved, project(tree.portfolio, tree.programme))
    for step in steps:
        match step:
            case "assign", role, place, last_day:
                last = None if last_day is None else date(2026, 3, last_day)
                await tree.assign(role, getattr(tree, place), last=last)
            case "revoke", role, place:
                if (role, getattr(tree, place), ANA) in tree.roles:
                    await tree.revoke(role, getattr(tree, place))
            case "move", place:
                await tree.write(NODES, moved, ProjectMoved(PortfolioId(tree.portfolio), getattr(tree, place)))
            case "ask", place, administrator, day:
                asked: Any = {
                    "subject": ANA,
                    "actions": ["project.read", "review.vote"],
                    "node": getattr(tree, place),
                    "administrator": administrator,
                    "now": NOW.replace(day=day),
                }
                assert await tree.access.decide(**asked) == await Access(tree.pool, POLICY).decide(**asked)
            case _:
                raise AssertionError(step)


async def test_a_decision_is_remembered_until_roles_or_nodes_change(tree: Tree) -> None:
    await tree.assign(Role.VIEWER, tree.portfolio)
    assert await tree.may_see(tree.project)
    # As nothing in Gatehouse does: a change that is not counted.
    await tree.pool.execute(f'DELETE FROM "{ROLES_ROWS}".rows')
    assert await tree.may_see(tree.project)
    await tree.write(NODES, Stream("projects"), PortfolioRegistered("Three", "AUD", "UTC"))
    assert not await tree.may_see(tree.project)

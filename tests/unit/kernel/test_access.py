"""Who may do what: denied unless a rule says otherwise, by roles at a node or above it, on the day."""

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tests.support.streams import Stream

from govevents.approvals import Role, RoleAssigned, RoleRevoked
from govevents.projects import (
    Charter,
    PortfolioRegistered,
    ProgrammeMoved,
    ProgrammeRegistered,
    ProjectMoved,
    ProjectRegistered,
)
from govevents.values import NodeId, PersonId, PortfolioId, SubjectId
from govkernel.access import NODES, ROLES, Assignment, Decision, Policy, PolicyRefused, decide
from govkernel.access.access import day_in, end_of_day
from govkernel.access.models import NodeKind, NodeRow, RoleRow
from govkernel.readmodels.fold import StreamRows

POLICY = Policy.parse(
    b"""
[actions."review.vote"]
roles = ["approver", "sponsor"]
why = "Those whom the electorate can name vote."

[actions."role.assign"]
roles = ["administrator"]
why = "Who may decide is decided by administrators."
""",
    name="policy.toml",
)
PORTFOLIO, PROGRAMME, PROJECT, ELSEWHERE = (NodeId(UUID(int=number)) for number in range(1, 5))
ANA, BO = SubjectId(UUID(int=11)), SubjectId(UUID(int=12))
TODAY = date(2026, 3, 2)
ABOVE_PROJECT = frozenset({PROJECT, PROGRAMME, PORTFOLIO})


def role(
    role: Role, node: NodeId, *, holder: SubjectId = ANA, first: date = date(2026, 1, 1), last: date | None = None
) -> Assignment:
    return Assignment(holder, role, node, first, last)


def ask(
    *assignments: Assignment, action: str = "review.vote", node: NodeId | None = PROJECT, administrator: bool = False
) -> Decision:
    return decide(
        POLICY,
        subject=ANA,
        action=action,
        node=node,
        assignments=assignments,
        nodes_above=ABOVE_PROJECT,
        administrator=administrator,
        today=TODAY,
    )


def test_without_a_role_everything_is_denied() -> None:
    decision = ask()
    assert not decision.allowed
    assert decision.rules == ()
    assert "approver or sponsor" in decision.reason


def test_what_the_policy_does_not_name_is_denied_to_everybody() -> None:
    everything = [role(each, PROJECT) for each in Role]
    assert not ask(*everything, action="review.erase", administrator=True).allowed


def test_a_role_at_the_node_allows_and_the_decision_names_rule_and_policy() -> None:
    decision = ask(role(Role.APPROVER, PROJECT))
    assert decision == Decision(
        True, (f"review.vote:approver@{PROJECT}",), POLICY.hash, "Those whom the electorate can name vote."
    )


@pytest.mark.parametrize("node", [PROGRAMME, PORTFOLIO])
def test_a_role_above_the_node_allows(node: NodeId) -> None:
    assert ask(role(Role.APPROVER, node)).allowed


def test_a_role_in_another_portfolio_allows_nothing_here() -> None:
    assert not ask(role(Role.APPROVER, ELSEWHERE)).allowed


def test_a_role_below_the_node_allows_nothing_above() -> None:
    below = role(Role.APPROVER, PROJECT)
    assert not decide(
        POLICY,
        subject=ANA,
        action="review.vote",
        node=PORTFOLIO,
        assignments=[below],
        nodes_above=frozenset({PORTFOLIO}),
        administrator=False,
        today=TODAY,
    ).allowed


def test_another_role_allows_nothing() -> None:
    assert not ask(role(Role.ADMINISTRATOR, PORTFOLIO)).allowed


def test_the_role_of_somebody_else_allows_nothing() -> None:
    assert not ask(role(Role.APPROVER, PROJECT, holder=BO)).allowed


@pytest.mark.parametrize(
    ("first", "last", "allowed"),
    [
        (TODAY, TODAY, True),
        (date(2026, 3, 1), date(2026, 3, 1), False),
        (date(2026, 3, 3), None, False),
        (date(2026, 1, 1), None, True),
    ],
)
def test_a_role_counts_from_its_first_day_to_its_last(first: date, last: date | None, allowed: bool) -> None:
    assert ask(role(Role.APPROVER, PROJECT, first=first, last=last)).allowed is allowed


def test_every_rule_that_allows_is_named() -> None:
    decision = ask(role(Role.SPONSOR, PROJECT), role(Role.APPROVER, PORTFOLIO))
    assert decision.rules == (f"review.vote:approver@{PORTFOLIO}", f"review.vote:sponsor@{PROJECT}")


def test_the_first_administrator_may_what_administrators_may_and_no_more() -> None:
    assert ask(action="role.assign", administrator=True).rules == ("role.assign:token:gatehouse_administrator",)
    assert not ask(action="review.vote", administrator=True).allowed


def test_what_belongs_to_no_node_is_left_to_the_first_administrator() -> None:
    assert ask(action="role.assign", node=None, administrator=True).allowed
    assert not ask(role(Role.ADMINISTRATOR, PORTFOLIO), action="role.assign", node=None).allowed


def test_a_policy_is_known_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('[actions."a"]\nroles = ["pmo"]\nwhy = "Because."\n')
    other.write_text('[actions."a"]\nroles = ["pmo"]\nwhy = "Because!"\n')
    assert Policy.read(one).hash != Policy.read(other).hash
    assert Policy.read(one).roles_for("a") == {Role.PMO}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not toml", "not TOML"),
        ("", "no actions"),
        ("[action]\n", "'action' is refused"),
        ('[actions]\n"a" = 1\n', "actions.a: 1 is refused; give exactly `roles` and `why`"),
        ('[actions."a"]\nroles = ["pmo"]\n', "give exactly `roles` and `why`"),
        ('[actions."a"]\nroles = ["pmo"]\nwhy = " "\n', "actions.a.why"),
        ('[actions."a"]\nroles = []\nwhy = "x"\n', "actions.a.roles"),
        ('[actions."a"]\nroles = ["king"]\nwhy = "x"\n', "'king' is no role; give one of administrator"),
        ('[actions."a"]\nroles = ["pmo", "pmo"]\nwhy = "x"\n', "names a role twice"),
        ('[actions."a"]\nroles = ["pmo"]\nwhy = "x"\nallow = true\n', "give exactly"),
    ],
)
def test_a_policy_that_is_not_quite_one_is_refused_with_place_and_remedy(content: str, said: str) -> None:
    with pytest.raises(PolicyRefused, match=r"policy\.toml") as refused:
        Policy.parse(content.encode(), name="policy.toml")
    assert said in str(refused.value)


def test_a_role_is_kept_while_it_is_assigned() -> None:
    stream = Stream("approvals")
    rows: StreamRows[RoleRow] = StreamRows(stream.stream)
    assigned = RoleAssigned(ANA, PersonId(UUID(int=21)), Role.APPROVER, PROJECT, date(2026, 1, 1), None)
    rows.apply(ROLES, stream.event(assigned))
    (kept,) = rows.kept.values()
    assert kept.row == RoleRow(ANA, PersonId(UUID(int=21)), Role.APPROVER, PROJECT, date(2026, 1, 1), None)

    rows.apply(ROLES, stream.event(RoleRevoked(ANA, Role.APPROVER, PROJECT, "left")))
    assert rows.kept == {}

    rows.apply(ROLES, stream.event(assigned))
    assert len(rows.kept) == 1


def test_nodes_stand_where_they_were_registered_or_moved_to() -> None:
    portfolio, programme, project = Stream("projects"), Stream("projects"), Stream("projects")
    owner, parent = PortfolioId(portfolio.stream), NodeId(programme.stream)
    found: list[NodeRow] = []
    for stream, events in (
        (portfolio, [PortfolioRegistered("All", "AUD", "Australia/Sydney")]),
        (programme, [ProgrammeRegistered(owner, NodeId(owner), "P"), ProgrammeMoved(owner, PORTFOLIO)]),
        (
            project,
            [
                ProjectRegistered(owner, NodeId(owner), "A-1", "A", Charter("", None, None, None), None, (), None),
                ProjectMoved(owner, parent),
            ],
        ),
    ):
        rows: StreamRows[NodeRow] = StreamRows(stream.stream)
        for event in events:
            rows.apply(NODES, stream.event(event))
        found += [kept.row for kept in rows.kept.values()]

    assert found == [
        NodeRow(
            NodeId(portfolio.stream),
            None,
            NodeKind.PORTFOLIO,
            owner,
            "All",
            time_zone="Australia/Sydney",
            currency="AUD",
        ),
        NodeRow(NodeId(programme.stream), PORTFOLIO, NodeKind.PROGRAMME, owner, "P"),
        NodeRow(NodeId(project.stream), parent, NodeKind.PROJECT, owner, "A", reference="A-1"),
    ]


def test_a_day_begins_where_the_portfolio_is() -> None:
    evening = datetime(2026, 3, 1, 20, tzinfo=UTC)
    assert day_in("Australia/Sydney", evening) == date(2026, 3, 2)
    assert day_in("America/New_York", evening) == date(2026, 3, 1)
    assert day_in(None, evening) == day_in("Nowhere/At_All", evening) == day_in("../etc", evening) == date(2026, 3, 1)


def test_a_day_ends_where_the_portfolio_is_also_when_the_clocks_change() -> None:
    assert end_of_day("Australia/Sydney", date(2026, 3, 2)) == datetime(2026, 3, 2, 13, tzinfo=UTC)
    assert end_of_day("Europe/Berlin", date(2026, 3, 28)) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert end_of_day("Europe/Berlin", date(2026, 3, 29)) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert end_of_day("Nowhere/At_All", date(2026, 3, 2)) == datetime(2026, 3, 3, tzinfo=UTC)

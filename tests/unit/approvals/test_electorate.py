from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from tests.unit.approvals.people import (
    BOARD,
    COUNCIL,
    PORTFOLIO,
    PORTFOLIO_NODE,
    PROJECT,
    PROJECT_NODE,
    account,
    person,
)

from approvals.application.electorate import (
    DecidingBodyMissing,
    Elected,
    ElectorateTooSmall,
    PersonNotKnown,
    PolicyMissing,
    Project,
    ProjectValueMissing,
    deciding_body,
    edition_of,
    elect,
)
from approvals.domain.body import BODY, Body
from approvals.domain.gate_policy import GATE_POLICY, Published
from approvals.domain.project_reviews import PROJECT_REVIEWS, ProjectHasEnded, ProjectReviews
from approvals.domain.role_assignment import Assigned, Revoked, RoleAssignment
from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    CurrencyMismatch,
    NoBandForValue,
    ValueBands,
)
from govevents.approvals import (
    BodyFormed,
    Duty,
    Elector,
    Electorate,
    Exclusion,
    GatePolicyPublished,
    MemberAppointed,
    Outcome,
    Quorum,
    ReviewKind,
    ReviewsEnded,
    Role,
    RoleAssigned,
    Rule,
    ValueBand,
    ValueBandsPublished,
)
from govkernel.domain import BodyId, Money, NodeId, PersonId, SubjectId

DAY, LATER = date(2026, 3, 2), date(2027, 1, 1)
FOREVER = date(2020, 1, 1)


def board_of(*names: str, chair: str = "", name: str = "Executive Board") -> Body:
    seats = [MemberAppointed(account(each), person(each), each == chair, FOREVER, None) for each in names]
    return BODY.fold([BodyFormed(PORTFOLIO, name), *seats])


def role(name: str, role: Role, node: NodeId = PORTFOLIO_NODE, *, of: str = "") -> RoleAssignment:
    return Assigned(RoleAssigned(account(name), person(of or name), role, node, FOREVER, date(2026, 12, 31)))


BY_BODY = Electorate((), (), BOARD, by_value_band=False)
BY_BAND = Electorate((), (), None, by_value_band=True)
POLICY = GatePolicyPublished(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    number=1,
    electorate=BY_BODY,
    quorum=Quorum(1, Decimal("0.5")),
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=None,
    failed_outcome=Outcome.RECYCLE,
)
CHARTERED = Project(PROJECT, Money(Decimal(3), "AUD"), account("max"), account("sol"))
PERSONS: Mapping[SubjectId, PersonId] = {
    **{account(name): person(name) for name in ("ana", "bo", "cy", "sam", "max", "sol")},
    account("bo.second"): person("bo"),
    account("max.second"): person("max"),
}
BANDS = VALUE_BANDS.fold(
    [
        ValueBandsPublished(
            PORTFOLIO,
            (
                ValueBand(COUNCIL, Money(Decimal(5), "AUD"), inclusive=False),
                ValueBand(BOARD, Money(Decimal(9), "AUD"), inclusive=True),
            ),
            None,
        )
    ]
)
KEPT_OUT = (
    Exclusion(person("sam"), Duty.SUBMITTER),
    Exclusion(person("max"), Duty.PROJECT_MANAGER),
    Exclusion(person("sol"), Duty.SPONSOR),
)


def elected(
    *,
    policy: GatePolicyPublished = POLICY,
    bands: ValueBands = BANDS,
    bodies: Mapping[BodyId, Body] | None = None,
    roles: tuple[RoleAssignment, ...] = (),
    reviews: ProjectReviews = PROJECT_REVIEWS.initial,
    project: Project = CHARTERED,
    submitter: str = "sam",
    persons: Mapping[SubjectId, PersonId] = PERSONS,
    day: date = DAY,
) -> Elected:
    return elect(
        policy=policy,
        bands=bands,
        bodies={BOARD: board_of("ana", "bo", chair="bo")} if bodies is None else bodies,
        roles=roles,
        reviews=reviews,
        project=project,
        submitter=account(submitter),
        persons=persons,
        day=day,
    )


def elector(name: str, authority: str, *, veto: bool = False) -> Elector:
    return Elector(account(name), person(name), authority, veto)


def test_a_body_votes_by_its_members_the_chair_first() -> None:
    assert elected() == Elected(
        (elector("bo", "chair of Executive Board"), elector("ana", "member of Executive Board")), KEPT_OUT, BOARD
    )


def test_the_value_bands_name_the_body_and_its_bound_says_if_it_is_in() -> None:
    by_band = replace(POLICY, electorate=BY_BAND)
    bodies = {BOARD: board_of("ana"), COUNCIL: board_of("cy", name="Council")}

    def deciding(value: str) -> Elected:
        project = replace(CHARTERED, value=Money(Decimal(value), "AUD"))
        return elected(policy=by_band, bodies=bodies, project=project)

    council = Elected((elector("cy", "member of Council"),), KEPT_OUT, COUNCIL)
    assert deciding("4.99") == council
    assert [deciding(value).body for value in ("5", "9")] == [BOARD, BOARD]
    with pytest.raises(NoBandForValue):
        deciding("9.01")


def test_without_a_body_roles_and_names_say_who_votes() -> None:
    policy = replace(POLICY, electorate=Electorate((Role.APPROVER,), (account("ana"),), None, by_value_band=False))
    roles = (
        role("cy", Role.APPROVER, PROJECT_NODE),
        role("bo", Role.APPROVER),
        role("vic", Role.VIEWER),
    )
    chosen = elected(policy=policy, roles=roles)
    assert chosen.body is None
    assert {(each.subject, each.authority) for each in chosen.electorate} == {
        (account("bo"), "approver above the project"),
        (account("cy"), "approver of the project"),
        (account("ana"), "named by the policy"),
    }


def test_roles_that_ended_or_were_revoked_give_no_vote() -> None:
    policy = replace(POLICY, electorate=Electorate((Role.APPROVER,), (account("ana"),), None, by_value_band=False))
    approver = role("bo", Role.APPROVER)
    assert isinstance(approver, Assigned)
    for roles, day in (((approver,), LATER), ((Revoked(approver.assigned),), DAY)):
        assert [each.subject for each in elected(policy=policy, roles=roles, day=day).electorate] == [account("ana")]


def test_one_natural_person_is_one_elector_with_all_their_authority() -> None:
    policy = replace(POLICY, electorate=Electorate((Role.APPROVER,), (account("bo"),), BOARD, by_value_band=False))
    chosen = elected(policy=policy, roles=(role("bo.second", Role.APPROVER, of="bo"),))
    assert chosen.electorate == (
        elector("bo", "chair of Executive Board; approver above the project; named by the policy"),
        elector("ana", "member of Executive Board"),
    )


def test_what_is_known_of_an_account_goes_before_what_a_seat_says_of_it() -> None:
    seat = MemberAppointed(account("bo.second"), person("somebody"), chair=False, first_day=FOREVER, last_day=None)
    bodies = {BOARD: BODY.fold([BodyFormed(PORTFOLIO, "Executive Board"), seat])}
    assert elected(bodies=bodies).electorate == (
        Elector(account("bo.second"), person("bo"), "member of Executive Board", veto=False),
    )


def test_the_holder_of_a_veto_votes_and_keeps_it_with_any_account() -> None:
    policy = replace(POLICY, veto=(account("bo.second"), account("cy")))
    assert set(elected(policy=policy).electorate) == {
        elector("bo", "chair of Executive Board; holder of a veto by the policy", veto=True),
        elector("ana", "member of Executive Board"),
        elector("cy", "holder of a veto by the policy", veto=True),
    }


@pytest.mark.parametrize("kept_out", ["sam", "max", "sol"])
def test_submitter_manager_and_sponsor_have_no_vote_by_any_authority(kept_out: str) -> None:
    everything = Electorate((Role.APPROVER,), (account(kept_out),), BOARD, by_value_band=False)
    policy = replace(POLICY, electorate=everything, veto=(account(kept_out),))
    chosen = elected(
        policy=policy, bodies={BOARD: board_of("ana", kept_out, chair=kept_out)}, roles=(role(kept_out, Role.APPROVER),)
    )
    assert chosen == Elected((elector("ana", "member of Executive Board"),), KEPT_OUT, BOARD)


def test_a_second_account_of_the_manager_has_no_vote_either() -> None:
    seat = MemberAppointed(account("max.second"), person("max"), chair=False, first_day=FOREVER, last_day=None)
    bodies = {
        BOARD: BODY.fold(
            [
                BodyFormed(PORTFOLIO, "Executive Board"),
                seat,
                MemberAppointed(account("ana"), person("ana"), chair=False, first_day=FOREVER, last_day=None),
            ]
        )
    }
    assert elected(bodies=bodies).electorate == (elector("ana", "member of Executive Board"),)


def test_the_sponsor_votes_where_the_policy_says_so() -> None:
    policy = replace(POLICY, sponsor_may_vote=True)
    bodies = {BOARD: board_of("ana", "sol")}
    chosen = elected(policy=policy, bodies=bodies)
    assert {each.person for each in chosen.electorate} == {person("ana"), person("sol")}
    assert chosen.excluded == KEPT_OUT[:2]


def test_a_sponsor_who_also_submits_stays_excluded() -> None:
    policy = replace(POLICY, sponsor_may_vote=True)
    chosen = elected(policy=policy, bodies={BOARD: board_of("ana", "sol")}, submitter="sol")
    assert chosen.electorate == (elector("ana", "member of Executive Board"),)
    assert chosen.excluded == (
        Exclusion(person("sol"), Duty.SUBMITTER),
        Exclusion(person("max"), Duty.PROJECT_MANAGER),
    )


def test_who_manages_or_sponsors_by_a_role_at_the_project_is_excluded_too_but_not_by_one_above_it() -> None:
    board = {BOARD: board_of("ana", "bo", "cy")}
    at_project = (role("bo", Role.PROJECT_MANAGER, PROJECT_NODE), role("cy", Role.SPONSOR, PROJECT_NODE))
    assert [each.person for each in elected(bodies=board, roles=at_project).electorate] == [person("ana")]
    above = (role("bo", Role.PROJECT_MANAGER), role("cy", Role.SPONSOR))
    assert len(elected(bodies=board, roles=above).electorate) == 3
    let = elected(policy=replace(POLICY, sponsor_may_vote=True), bodies=board, roles=at_project)
    assert {each.person for each in let.electorate} == {person("ana"), person("cy")}


def test_a_project_whose_charter_names_nobody_excludes_its_submitter() -> None:
    assert elected(project=Project(PROJECT, None, None, None)).excluded == KEPT_OUT[:1]


def test_an_account_of_nobody_known_can_neither_vote_nor_be_excluded() -> None:
    for stranger in (
        {"submitter": "eve"},
        {"project": replace(CHARTERED, manager=account("eve"))},
        {"policy": replace(POLICY, veto=(account("eve"),))},
        {"policy": replace(POLICY, electorate=replace(BY_BODY, people=(account("eve"),)))},
    ):
        with pytest.raises(PersonNotKnown) as refused:
            elected(**stranger)
        assert refused.value.facts == {"account": str(account("eve"))}


def test_fewer_electors_than_votes_needed_are_too_few() -> None:
    three = replace(POLICY, quorum=Quorum(3, Decimal(0)))
    with pytest.raises(ElectorateTooSmall) as refused:
        elected(policy=three)
    assert refused.value.facts == {"votes_needed": "3", "electorate": "2", "excluded": "3"}
    assert len(elected(policy=three, bodies={BOARD: board_of("ana", "bo", "cy")}).electorate) == 3


def test_nobody_is_too_few_whatever_the_quorum() -> None:
    policy = replace(POLICY, quorum=Quorum(0, Decimal("0.5")))
    with pytest.raises(ElectorateTooSmall) as refused:
        elected(policy=policy, bodies={BOARD: board_of("sam", "max")})
    assert refused.value.facts == {"votes_needed": "1", "electorate": "0", "excluded": "3"}


def test_the_body_that_decides_must_be_known() -> None:
    with pytest.raises(DecidingBodyMissing):
        elected(bodies={})
    with pytest.raises(DecidingBodyMissing):
        elected(bodies={BOARD: BODY.initial})


def test_the_bands_are_asked_only_where_the_policy_asks_them() -> None:
    by_band = replace(POLICY, electorate=BY_BAND)
    assert deciding_body(POLICY, VALUE_BANDS.initial, replace(CHARTERED, value=None)) == BOARD
    assert deciding_body(by_band, BANDS, CHARTERED) == COUNCIL
    with pytest.raises(ProjectValueMissing):
        deciding_body(by_band, BANDS, replace(CHARTERED, value=None))
    with pytest.raises(BandsNotPublished):
        deciding_body(by_band, VALUE_BANDS.initial, CHARTERED)
    with pytest.raises(CurrencyMismatch):
        deciding_body(by_band, BANDS, replace(CHARTERED, value=Money(Decimal(1), "USD")))


def test_a_project_that_has_ended_is_reviewed_no_more() -> None:
    with pytest.raises(ProjectHasEnded):
        elected(reviews=PROJECT_REVIEWS.fold([ReviewsEnded(PROJECT)]))


def test_a_review_needs_a_policy() -> None:
    assert edition_of(Published(POLICY)) == POLICY
    with pytest.raises(PolicyMissing):
        edition_of(GATE_POLICY.initial)

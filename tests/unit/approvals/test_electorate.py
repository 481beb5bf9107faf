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
    Rolls,
    check_panel,
    deciding_body,
    edition_of,
    elect,
    panel_of,
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
    Alternate,
    BodyFormed,
    Duty,
    Elector,
    Electorate,
    Exclusion,
    GatePolicyPublished,
    MemberAppointed,
    Outcome,
    Panel,
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
    seats = [MemberAppointed(account(each), person(each), each == chair, None, FOREVER, None) for each in names]
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
    escalate_to=None,
    deliverables=(),
    criteria=(),
    conditions=None,
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
    known = {BOARD: board_of("ana", "bo", chair="bo")} if bodies is None else bodies
    return elect(
        policy=policy,
        bands=bands,
        rolls=Rolls(known, roles, persons, day),
        reviews=reviews,
        project=project,
        submitter=account(submitter),
    )


def elector(name: str, authority: str, *, veto: bool = False) -> Elector:
    return Elector(account(name), person(name), authority, veto)


def test_a_body_votes_by_its_members_the_chair_first() -> None:
    electorate = (elector("bo", "chair of Executive Board"), elector("ana", "member of Executive Board"))
    assert elected() == Elected(Panel(BOARD, electorate, KEPT_OUT), None, KEPT_OUT)


def test_where_the_bands_lead_to_the_body_above_nothing_is_above_it() -> None:
    bodies = {BOARD: board_of("ana"), COUNCIL: board_of("cy", name="Council")}
    policy = replace(POLICY, electorate=BY_BAND, escalate_to=COUNCIL)
    small, large = (replace(CHARTERED, value=Money(Decimal(value), "AUD")) for value in ("4.99", "9"))
    assert elected(policy=policy, bodies=bodies, project=small).escalation is None
    above = elected(policy=policy, bodies=bodies, project=large).escalation
    assert above is not None
    assert above.body == COUNCIL


def test_the_value_bands_name_the_body_and_its_bound_says_if_it_is_in() -> None:
    by_band = replace(POLICY, electorate=BY_BAND)
    bodies = {BOARD: board_of("ana"), COUNCIL: board_of("cy", name="Council")}

    def deciding(value: str) -> Elected:
        project = replace(CHARTERED, value=Money(Decimal(value), "AUD"))
        return elected(policy=by_band, bodies=bodies, project=project)

    council = Panel(COUNCIL, (elector("cy", "member of Council"),), KEPT_OUT)
    assert deciding("4.99").panel == council
    assert [deciding(value).panel.body for value in ("5", "9")] == [BOARD, BOARD]
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
    assert chosen.panel.body is None
    assert {(each.subject, each.authority) for each in chosen.panel.electorate} == {
        (account("bo"), "approver above the project"),
        (account("cy"), "approver of the project"),
        (account("ana"), "named by the policy"),
    }


def test_roles_that_ended_or_were_revoked_give_no_vote() -> None:
    policy = replace(POLICY, electorate=Electorate((Role.APPROVER,), (account("ana"),), None, by_value_band=False))
    approver = role("bo", Role.APPROVER)
    assert isinstance(approver, Assigned)
    for roles, day in (((approver,), LATER), ((Revoked(approver.assigned),), DAY)):
        assert [each.subject for each in elected(policy=policy, roles=roles, day=day).panel.electorate] == [
            account("ana")
        ]


def test_one_natural_person_is_one_elector_with_all_their_authority() -> None:
    policy = replace(POLICY, electorate=Electorate((Role.APPROVER,), (account("bo"),), BOARD, by_value_band=False))
    chosen = elected(policy=policy, roles=(role("bo.second", Role.APPROVER, of="bo"),))
    assert chosen.panel.electorate == (
        elector("bo", "chair of Executive Board; approver above the project; named by the policy"),
        elector("ana", "member of Executive Board"),
    )


def test_what_is_known_of_an_account_goes_before_what_a_seat_says_of_it() -> None:
    seat = MemberAppointed(
        account("bo.second"), person("somebody"), chair=False, alternate_for=None, first_day=FOREVER, last_day=None
    )
    bodies = {BOARD: BODY.fold([BodyFormed(PORTFOLIO, "Executive Board"), seat])}
    assert elected(bodies=bodies).panel.electorate == (
        Elector(account("bo.second"), person("bo"), "member of Executive Board", veto=False),
    )


def test_the_holder_of_a_veto_votes_and_keeps_it_with_any_account() -> None:
    policy = replace(POLICY, veto=(account("bo.second"), account("cy")))
    assert set(elected(policy=policy).panel.electorate) == {
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
    assert chosen.panel == Panel(BOARD, (elector("ana", "member of Executive Board"),), KEPT_OUT)


def test_a_second_account_of_the_manager_has_no_vote_either() -> None:
    seat = MemberAppointed(
        account("max.second"), person("max"), chair=False, alternate_for=None, first_day=FOREVER, last_day=None
    )
    bodies = {
        BOARD: BODY.fold(
            [
                BodyFormed(PORTFOLIO, "Executive Board"),
                seat,
                MemberAppointed(
                    account("ana"), person("ana"), chair=False, alternate_for=None, first_day=FOREVER, last_day=None
                ),
            ]
        )
    }
    assert elected(bodies=bodies).panel.electorate == (elector("ana", "member of Executive Board"),)


def test_the_sponsor_votes_where_the_policy_says_so() -> None:
    policy = replace(POLICY, sponsor_may_vote=True)
    bodies = {BOARD: board_of("ana", "sol")}
    chosen = elected(policy=policy, bodies=bodies)
    assert {each.person for each in chosen.panel.electorate} == {person("ana"), person("sol")}
    assert (chosen.panel.excluded, chosen.tied) == (KEPT_OUT[:2], KEPT_OUT)


def test_a_sponsor_who_also_submits_stays_excluded() -> None:
    policy = replace(POLICY, sponsor_may_vote=True)
    chosen = elected(policy=policy, bodies={BOARD: board_of("ana", "sol")}, submitter="sol")
    assert chosen.panel.electorate == (elector("ana", "member of Executive Board"),)
    assert chosen.panel.excluded == (
        Exclusion(person("sol"), Duty.SUBMITTER),
        Exclusion(person("max"), Duty.PROJECT_MANAGER),
    )


def test_who_manages_or_sponsors_by_a_role_at_the_project_is_excluded_too_but_not_by_one_above_it() -> None:
    board = {BOARD: board_of("ana", "bo", "cy")}
    at_project = (role("bo", Role.PROJECT_MANAGER, PROJECT_NODE), role("cy", Role.SPONSOR, PROJECT_NODE))
    assert [each.person for each in elected(bodies=board, roles=at_project).panel.electorate] == [person("ana")]
    above = (role("bo", Role.PROJECT_MANAGER), role("cy", Role.SPONSOR))
    assert len(elected(bodies=board, roles=above).panel.electorate) == 3
    let = elected(policy=replace(POLICY, sponsor_may_vote=True), bodies=board, roles=at_project)
    assert {each.person for each in let.panel.electorate} == {person("ana"), person("cy")}


def test_a_project_whose_charter_names_nobody_excludes_its_submitter() -> None:
    assert elected(project=Project(PROJECT, None, None, None)).panel.excluded == KEPT_OUT[:1]


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
    assert len(elected(policy=three, bodies={BOARD: board_of("ana", "bo", "cy")}).panel.electorate) == 3


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


def with_alternates(*alternates: str, member: str = "ana", others: tuple[str, ...] = ("bo",)) -> Body:
    """A board on which these people sit in for a member, besides its other members."""
    seats = [MemberAppointed(account(each), person(each), False, None, FOREVER, None) for each in (member, *others)]
    stand_ins = [
        MemberAppointed(account(each), person(each), False, account(member), FOREVER, None) for each in alternates
    ]
    return BODY.fold([BodyFormed(PORTFOLIO, "Executive Board"), *seats, *stand_ins])


def alternate(name: str) -> Alternate:
    return Alternate(account(name), person(name))


def test_a_members_alternates_may_speak_for_the_seat() -> None:
    chosen = elected(bodies={BOARD: with_alternates("alf", "eve")})
    by_person = {each.person: each for each in chosen.panel.electorate}
    assert set(by_person) == {person("ana"), person("bo")}
    assert set(by_person[person("ana")].alternates) == {alternate("alf"), alternate("eve")}
    assert by_person[person("bo")].alternates == ()


def test_an_alternate_sits_in_their_own_right_for_a_member_who_may_not_vote() -> None:
    chosen = elected(bodies={BOARD: with_alternates("alf", "eve", member="max")}).panel.electorate
    assert chosen[0] == elector("bo", "member of Executive Board")
    assert {person("alf"), person("eve")} == {chosen[1].person, *(each.person for each in chosen[1].alternates)}
    assert chosen[1].authority == "alternate, for a member of Executive Board who may not vote"


def test_an_alternate_who_may_not_vote_or_has_a_seat_speaks_for_nobody() -> None:
    policy = replace(POLICY, electorate=replace(BY_BODY, people=(account("cy"),)))
    chosen = elected(policy=policy, bodies={BOARD: with_alternates("sam", "cy")}).panel.electorate
    assert [each.alternates for each in chosen] == [(), (), ()]
    own_seat = elected(policy=policy, bodies={BOARD: with_alternates("cy", "sam", member="max")}).panel.electorate
    assert [each.person for each in own_seat] == [person("bo"), person("cy")]


def test_the_body_above_decides_without_those_who_may_not() -> None:
    policy = replace(POLICY, escalate_to=COUNCIL)
    bodies = {BOARD: board_of("ana"), COUNCIL: board_of("cy", "max", name="Council")}
    council = Panel(COUNCIL, (elector("cy", "member of Council"),), KEPT_OUT)
    assert elected(policy=policy, bodies=bodies).escalation == council
    assert panel_of(COUNCIL, KEPT_OUT, Rolls(bodies, (), PERSONS, DAY)) == council
    with pytest.raises(DecidingBodyMissing):
        elected(policy=policy, bodies={BOARD: board_of("ana")})


def test_where_a_body_above_is_named_too_small_an_electorate_is_no_reason_to_refuse() -> None:
    policy = replace(POLICY, escalate_to=COUNCIL, quorum=Quorum(3, Decimal(0)))
    bodies = {BOARD: board_of("ana"), COUNCIL: board_of("cy", name="Council")}
    assert len(elected(policy=policy, bodies=bodies).panel.electorate) == 1


def test_a_panel_that_could_never_decide_is_refused() -> None:
    panel = elected().panel
    check_panel(panel, Quorum(2, Decimal(0)))
    with pytest.raises(ElectorateTooSmall):
        check_panel(panel, Quorum(3, Decimal(0)))
    with pytest.raises(ElectorateTooSmall):
        check_panel(Panel(BOARD, (), ()), Quorum(0, Decimal(1)))

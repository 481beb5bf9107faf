"""What recorded votes would have come to under another policy, given what the ledger holds."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import msgspec
import pytest
from tests.unit.approvals.lives import CASE, MILLION, MORNING, PLAN, POLICY, Life, Written, condition, panel, seat
from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO, PORTFOLIO_NODE, account, person

from approvals.application.what_if import (
    Case,
    Changes,
    Compared,
    End,
    Recorded,
    Registers,
    TooManyDecisions,
    Turn,
    as_it_stood,
    bodies_asked,
    chosen,
    compare,
    other_bands,
    totals,
)
from approvals.domain.body import BODY
from approvals.domain.gate_policy import FailureMayNotPass, ThresholdDoesNotFitRule, ThresholdOutOfRange
from approvals.domain.review import (
    NoteMeasure,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    ReferReview,
    StopMeasuring,
    WithdrawReview,
)
from approvals.domain.role_assignment import ROLE_ASSIGNMENT
from approvals.domain.value_bands import VALUE_BANDS, BandsNotRising, Published
from govevents.approvals import (
    AtTimeLimit,
    BodyFormed,
    Choice,
    Comparison,
    Criterion,
    Duty,
    Electorate,
    KpiThreshold,
    Measure,
    MemberAppointed,
    Need,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    RoleAssigned,
    RoleRevoked,
    Rule,
    TimeLimit,
    ValueBand,
    ValueBandsPublished,
)
from govkernel.domain import BodyId, Money, PersonId, SubjectId

APPROVE, CONDITIONALLY, REJECT, RETURN, ABSTAIN = Choice
ANA, BO, CY = seat("ana"), seat("bo"), seat("cy")
ALL_OF_THEM = Quorum(3, Decimal(1))
THIRD = Decimal("0.34")
LONG_AGO = date(2020, 1, 1)


def case_of(life: Life, registers: Registers | None = None) -> Case:
    delegations = {each.stream: each.recorded for each in life.delegations.values()}
    return Case(life.review.recorded, life.edition, delegations, registers)


def what_if(life: Life, registers: Registers | None = None, **changed: object) -> Compared:
    return compare(case_of(life, registers), Changes(**changed))  # type: ignore[arg-type]


def divided() -> Life:
    """Two of three are for it: a Go by majority."""
    life = Life(replace(POLICY, quorum=Quorum(3, Decimal(0)))).drafted(CASE).submitted(ANA, BO, CY)
    return life.vote("ana", APPROVE).vote("bo", REJECT).vote("cy", APPROVE)


def quick() -> Life:
    """Two of three have voted, which was enough."""
    return Life().drafted(CASE).submitted(ANA, BO, CY).vote("ana", APPROVE).vote("bo", APPROVE)


def test_an_unchanged_policy_changes_nothing() -> None:
    compared = what_if(divided())
    assert compared.recorded == compared.supposed
    assert (compared.recorded.end, compared.recorded.outcome) == (End.CONCLUDED, Outcome.GO)
    assert (compared.changed, compared.reproduced) == (False, True)
    assert (compared.uncounted, compared.unheard, compared.reasons) == ((), (), ())


def test_another_rule_can_turn_the_outcome_and_says_why() -> None:
    compared = what_if(divided(), rule=Rule.CONSENSUS)
    assert compared.changed
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.GO, Outcome.RECYCLE)
    assert "A consensus needs everyone's vote, and none that rejects" in compared.supposed.because


def test_a_threshold_comes_with_its_rule_or_changes_those_policies_that_have_one() -> None:
    assert what_if(divided(), rule=Rule.THRESHOLD, threshold=Decimal("0.75")).supposed.outcome is Outcome.RECYCLE
    assert what_if(divided(), rule=Rule.THRESHOLD, threshold=Decimal("0.6")).supposed.outcome is Outcome.GO
    assert not what_if(divided(), threshold=Decimal("0.75")).changed
    with pytest.raises(ThresholdDoesNotFitRule):
        what_if(divided(), rule=Rule.THRESHOLD)
    with pytest.raises(ThresholdOutOfRange):
        what_if(divided(), rule=Rule.THRESHOLD, threshold=Decimal(0))


def test_another_failed_outcome_turns_failures_only() -> None:
    failed = Life().drafted().submitted(ANA, BO, CY).vote("ana", REJECT).vote("bo", RETURN)
    assert what_if(failed, failed_outcome=Outcome.KILL).supposed.outcome is Outcome.KILL
    assert what_if(divided(), failed_outcome=Outcome.KILL).supposed.outcome is Outcome.GO
    with pytest.raises(FailureMayNotPass):
        what_if(divided(), failed_outcome=Outcome.GO)


def test_a_policy_under_which_the_question_could_not_have_been_put_says_so() -> None:
    compared = what_if(Life().drafted().submitted(ANA, BO, CY, proposed=Outcome.KILL), failed_outcome=Outcome.KILL)
    assert (compared.supposed.end, compared.supposed.outcome) == (End.NOT_PUT, None)
    assert compared.reasons[0].startswith("proposal-same-as-failure: ")


def test_a_larger_quorum_leaves_a_quick_decision_undecided_and_names_who_was_not_heard() -> None:
    compared = what_if(quick(), quorum=ALL_OF_THEM)
    assert (compared.supposed.end, compared.supposed.outcome, compared.changed) == (End.UNDECIDED, None, True)
    assert compared.supposed.because == "It is not decided: 3 votes are needed, and 2 count."
    assert compared.unheard == (account("cy"),)
    (reason,) = compared.reasons
    assert reason.startswith(
        "If nobody else had voted until its time limit, it would have come to escalated: The time limit was reached"
    )


def test_a_smaller_quorum_decides_earlier_and_counts_the_votes_that_came_too_late() -> None:
    life = Life(replace(POLICY, quorum=ALL_OF_THEM)).drafted().submitted(ANA, BO, CY)
    life.vote("ana", APPROVE).vote("bo", APPROVE).vote("cy", CONDITIONALLY, condition())
    compared = what_if(life, quorum=Quorum(2, Decimal(0)))
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.CONDITIONAL_GO, Outcome.GO)
    assert compared.reasons == ("1 recorded votes came after it would have been over.",)


def test_a_review_that_lapsed_might_have_been_decided() -> None:
    life = Life(replace(POLICY, time_limit=TimeLimit(14, AtTimeLimit.LAPSE))).drafted().submitted(ANA, BO, CY)
    life.vote("ana", APPROVE).time_is_over()
    compared = what_if(life, quorum=Quorum(1, Decimal(0)))
    assert (compared.recorded.end, compared.supposed.end) == (End.WITHDRAWN, End.CONCLUDED)
    assert (compared.recorded.outcome, compared.supposed.outcome) == (None, Outcome.GO)
    assert what_if(life).supposed == what_if(life).recorded


def test_a_review_that_was_withdrawn_by_its_people_stays_withdrawn_unless_it_had_been_decided_by_then() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", APPROVE)
    life.send(WithdrawReview("not needed"))
    assert what_if(life, rule=Rule.CONSENSUS).supposed.because == "not needed"
    assert what_if(life, rule=Rule.THRESHOLD, threshold=THIRD, quorum=Quorum(1, Decimal(0))).supposed.outcome is None
    assert what_if(life, rule=Rule.THRESHOLD, threshold=Decimal("0.3"), quorum=Quorum(1, Decimal(0))).changed


def test_votes_set_aside_by_changed_evidence_stay_so() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", REJECT).evidence(CASE, PLAN)
    life.vote("ana", APPROVE).vote("bo", APPROVE)
    compared = what_if(life, rule=Rule.THRESHOLD, threshold=Decimal("0.6"))
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.GO, Outcome.GO)


def test_a_conflict_declared_beforehand_holds_before_whichever_panel_another_policy_leads_to() -> None:
    above = panel(seat("kim"), seat("lou"), body=COUNCIL)
    life = Life(replace(POLICY, quorum=Quorum(1, Decimal(0)))).drafted()
    life.submitted(ANA, BO, CY, escalation=above).recused("kim").time_is_over().vote("lou", APPROVE)
    compared = what_if(life, rule=Rule.CONSENSUS)
    assert compared.reproduced
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.GO, Outcome.GO)


def test_what_was_taken_in_time_is_in_time_however_long_writing_it_down_took() -> None:
    life = Life(replace(POLICY, time_limit=TimeLimit(14, AtTimeLimit.ESCALATE)))
    life.drafted(CASE).submitted(ANA, BO, CY).vote("ana", APPROVE)
    state = life.state
    assert isinstance(state, Open)
    assert state.ballot.closes_at is not None
    life.now = state.ballot.closes_at
    recuse = RecuseVoter(person("bo"), account("bo"), "I own the land.", life.now - timedelta(seconds=1))
    life.send(recuse, account("bo"))
    assert what_if(life).unheard == (account("cy"),)


def test_the_recused_are_recused_under_any_policy() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", REJECT).recused("ana").vote("bo", APPROVE)
    life.vote("cy", APPROVE)
    assert what_if(life, rule=Rule.CONSENSUS).supposed.outcome is Outcome.GO


def test_a_delegated_vote_counts_though_its_delegation_was_revoked_afterwards() -> None:
    life = Life().drafted().submitted(ANA, BO, CY)
    life.granted("ana", "dee")
    life.vote("dee", APPROVE).vote("bo", APPROVE).revoked("dee")
    assert what_if(life, rule=Rule.THRESHOLD, threshold=Decimal("0.6")).supposed.outcome is Outcome.GO


def test_a_lower_limit_of_delegations_takes_their_votes_out_and_says_which() -> None:
    life = Life().drafted().submitted(ANA, BO, CY)
    life.granted("ana", "dee", limit=Money(Decimal(5_000_000), "AUD"))
    life.vote("dee", APPROVE).vote("bo", APPROVE)
    compared = what_if(life, delegation_limit=Money(Decimal(500_000), "AUD"))
    (uncounted,) = compared.uncounted
    assert (uncounted.voter, uncounted.seat, uncounted.choice) == (account("dee"), person("ana"), APPROVE)
    assert uncounted.refusal == "delegation-limit-exceeded"
    assert uncounted.vote == life.review.recorded[2].id
    assert (compared.supposed.end, compared.unheard) == (End.UNDECIDED, (account("ana"), account("cy")))
    assert not what_if(life, delegation_limit=MILLION).changed
    assert what_if(life, delegation_limit=Money(Decimal(5_000_000), "USD")).uncounted[0].refusal == (
        "delegation-limit-not-comparable"
    )


def test_a_higher_limit_gives_no_delegation_more_than_it_had() -> None:
    life = Life().drafted().submitted(ANA, BO, CY, value=MILLION)
    life.granted("ana", "dee", limit=MILLION)
    life.vote("dee", APPROVE).vote("bo", APPROVE)
    assert not what_if(life, delegation_limit=Money(Decimal(9_000_000), "AUD")).changed


def test_the_panel_above_votes_as_it_did_where_the_first_still_cannot_decide() -> None:
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life = Life(replace(POLICY, escalate_to=COUNCIL)).drafted()
    life.submitted(ANA, BO, CY, escalation=above).vote("ana", APPROVE).time_is_over()
    life.vote("ede", APPROVE).vote("eli", REJECT)
    assert what_if(life).supposed == what_if(life).recorded
    compared = what_if(life, rule=Rule.THRESHOLD, threshold=Decimal("0.5"))
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.RECYCLE, Outcome.GO)


def test_what_the_first_panel_would_have_decided_never_comes_before_the_panel_above() -> None:
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life = Life(replace(POLICY, escalate_to=COUNCIL)).drafted()
    life.submitted(ANA, BO, CY, escalation=above).vote("ana", REJECT).time_is_over()
    life.vote("ede", APPROVE).vote("eli", APPROVE)
    compared = what_if(life, quorum=Quorum(1, Decimal(0)))
    assert (compared.recorded.outcome, compared.supposed.outcome) == (Outcome.GO, Outcome.RECYCLE)
    assert compared.reasons == ("2 recorded votes came after it would have been over.",)


def test_a_referred_review_is_referred_again_where_it_would_have_been_escalated_too() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", ABSTAIN).vote("bo", ABSTAIN).vote("cy", ABSTAIN)
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life.send(ReferReview(account("pia"), above, "The council decides.", life.now + timedelta(hours=1)))
    life.vote("ede", APPROVE).vote("eli", ABSTAIN)
    assert what_if(life).supposed == what_if(life).recorded
    assert what_if(life, rule=Rule.CONSENSUS).supposed.outcome is Outcome.GO
    assert what_if(life, rule=Rule.THRESHOLD, threshold=Decimal(1)).supposed.outcome is Outcome.RECYCLE


def test_a_vote_that_was_taken_in_time_counts_however_late_it_was_written_down() -> None:
    policy = replace(POLICY, quorum=Quorum(1, Decimal(0)), time_limit=TimeLimit(14, AtTimeLimit.LAPSE))
    life = Life(policy).drafted().submitted(ANA, BO, CY)
    closes_at = life.now + timedelta(days=14)
    life.now = closes_at
    life.vote("ana", APPROVE, at=closes_at - timedelta(seconds=1)).time_is_over()
    compared = what_if(life)
    assert (compared.recorded.outcome, compared.supposed) == (Outcome.GO, compared.recorded)


def test_the_time_of_the_panel_above_runs_from_the_escalation_and_not_from_its_being_written_down() -> None:
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life = Life(replace(POLICY, escalate_to=COUNCIL)).drafted().submitted(ANA, BO, CY, escalation=above)
    board_until = life.now + timedelta(days=14)
    life.later(days=20).send(ReachTimeLimit(board_until))
    council_until = board_until + timedelta(days=14)
    life.now = council_until - timedelta(hours=1)
    life.send(ReachTimeLimit(council_until))
    compared = what_if(life)
    assert (compared.recorded.end, compared.supposed) == (End.ESCALATED, compared.recorded)
    assert "time limit" in compared.recorded.because


def test_escalated_for_good_says_why() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", ABSTAIN).vote("bo", ABSTAIN).vote("cy", ABSTAIN)
    compared = what_if(life, rule=Rule.CONSENSUS)
    assert (compared.supposed.end, compared.supposed.because) == (
        End.ESCALATED,
        "All of the electorate have abstained.",
    )


def test_figures_that_were_measured_or_missed_count_as_they_did() -> None:
    threshold = KpiThreshold("cost_variance", Comparison.AT_LEAST, Decimal("-0.1"), decides=True)
    policy = replace(POLICY, criteria=(Criterion("COST", "Under control.", Need.MUST, (), threshold),))
    measured = Life(policy).drafted().submitted(ANA, BO)
    measured.send(NoteMeasure(Measure("cost_variance", Decimal("-0.5"), "share", None, None), measured.now))
    assert what_if(measured).supposed == what_if(measured).recorded
    assert what_if(measured, failed_outcome=Outcome.HOLD).supposed.outcome is Outcome.HOLD
    missed = Life(policy).drafted().submitted(ANA, BO)
    missed.send(StopMeasuring(missed.now + timedelta(hours=1)))
    missed.vote("ana", APPROVE).vote("bo", APPROVE)
    assert what_if(missed).supposed == what_if(missed).recorded
    assert what_if(missed, rule=Rule.CONSENSUS).supposed.outcome is Outcome.GO
    waiting = Life(policy).drafted().submitted(ANA, BO)
    assert what_if(waiting).supposed.because == "It awaits figures."


def stream(written: Written, *events: object, at: datetime = MORNING) -> Written:
    for event in events:
        written.write(event, at)
    return written


def body(identifier: BodyId, name: str, *members: str) -> Written:
    seats = [MemberAppointed(account(each), person(each), False, None, LONG_AGO, None) for each in members]
    return stream(Written(BODY, identifier), BodyFormed(PORTFOLIO, name), *seats)


def holding(name: str, role: Role, *more: object, at: datetime = MORNING) -> Written:
    assigned = RoleAssigned(account(name), person(name), role, PORTFOLIO_NODE, LONG_AGO, None)
    return stream(Written(ROLE_ASSIGNMENT, uuid5(PORTFOLIO, f"{name} {role.value}")), assigned, *more, at=at)


def registers(
    *roles: Written, bodies: tuple[Written, ...] = (), bands: Written | None = None, known: tuple[str, ...] = ()
) -> Registers:
    persons: dict[SubjectId, PersonId] = {account(name): person(name) for name in known}
    return Registers(
        {BodyId(each.stream): each.recorded for each in bodies},
        tuple(each.recorded for each in roles),
        bands.recorded if bands else (),
        persons,
    )


def bands_of(*bands: tuple[str | None, BodyId]) -> tuple[ValueBand, ...]:
    return tuple(ValueBand(to, Money(Decimal(upper), "AUD") if upper else None, False) for upper, to in bands)


def test_another_electorate_takes_out_the_votes_of_those_who_are_not_in_it() -> None:
    voters = Electorate((), (account("bo"), account("eve")), None, by_value_band=False)
    compared = what_if(divided(), registers(known=("bo", "eve")), electorate=voters, quorum=Quorum(2, Decimal(0)))
    assert [(each.voter, each.refusal) for each in compared.uncounted] == [
        (account("ana"), "not-an-elector"),
        (account("cy"), "not-an-elector"),
    ]
    assert (compared.supposed.end, compared.unheard) == (End.UNDECIDED, (account("eve"),))


def test_an_electorate_too_small_for_the_quorum_could_not_have_been_asked() -> None:
    voters = Electorate((), (account("bo"),), None, by_value_band=False)
    compared = what_if(divided(), registers(known=("bo",)), electorate=voters)
    assert compared.supposed.end is End.NOT_PUT
    assert compared.supposed.because == (
        "It could not have been put to a vote: 3 votes are needed, and 1 persons may vote."
    )


def test_holders_of_a_role_vote_as_they_held_it_at_the_submission() -> None:
    after = MORNING + timedelta(days=30)
    left_later = holding("ana", Role.APPROVER)
    left_later.write(RoleRevoked(account("ana"), Role.APPROVER, PORTFOLIO_NODE, "left"), after)
    came_later = holding("cy", Role.APPROVER, at=after)
    voters = Electorate((Role.APPROVER,), (), None, by_value_band=False)
    held = registers(left_later, holding("bo", Role.APPROVER), came_later)
    compared = what_if(divided(), held, electorate=voters, quorum=Quorum(2, Decimal(0)))
    assert compared.reasons == ("1 recorded votes came after it would have been over.",)
    assert compared.supposed.outcome is Outcome.RECYCLE
    assert "1 of 2 approve, 1 reject or return, 0 abstain." in compared.supposed.because


def test_what_was_brought_in_later_does_not_count_though_it_speaks_of_before() -> None:
    imported = holding("cy", Role.APPROVER)
    late = replace_recorded(imported, MORNING + timedelta(days=30))
    assert as_it_stood(ROLE_ASSIGNMENT, late, divided().review.recorded[1]) == ROLE_ASSIGNMENT.initial
    assert as_it_stood(ROLE_ASSIGNMENT, imported.recorded, divided().review.recorded[1]) == imported.state


def replace_recorded(written: Written, recorded_at: datetime) -> list[Recorded]:
    changed = msgspec.structs.replace
    return [changed(one, envelope=changed(one.envelope, recordedtime=recorded_at)) for one in written.recorded]


def test_a_body_votes_with_the_members_it_had() -> None:
    council = body(COUNCIL, "Council", "ana", "bo")
    council.write(
        MemberAppointed(account("eve"), person("eve"), False, None, LONG_AGO, None), MORNING + timedelta(days=9)
    )
    voters = Electorate((), (), COUNCIL, by_value_band=False)
    compared = what_if(divided(), registers(bodies=(council,)), electorate=voters, quorum=Quorum(2, Decimal(0)))
    assert "1 of 2 approve, 1 reject or return, 0 abstain." in compared.supposed.because


def banded() -> Life:
    policy = replace(POLICY, electorate=Electorate((), (), None, by_value_band=True))
    return Life(policy).drafted().submitted(ANA, BO, CY).vote("ana", APPROVE).vote("bo", APPROVE)


def test_other_bands_send_a_value_to_another_body() -> None:
    board, council = body(BOARD, "Board", "ana", "bo", "cy"), body(COUNCIL, "Council", "ede", "eli")
    lower = bands_of(("500000", BOARD), (None, COUNCIL))
    compared = what_if(banded(), registers(bodies=(board, council)), bands=lower)
    assert {each.refusal for each in compared.uncounted} == {"not-an-elector"}
    assert compared.unheard == (account("ede"), account("eli"))
    higher = bands_of(("5000000", BOARD), (None, COUNCIL))
    assert not what_if(banded(), registers(bodies=(board, council)), bands=higher).changed
    assert not what_if(quick(), registers(), bands=lower).changed
    with pytest.raises(BandsNotRising):
        other_bands(PORTFOLIO, bands_of((None, BOARD), ("5", COUNCIL)))


def test_an_electorate_by_band_asks_the_table_that_held_at_the_submission() -> None:
    board, council = body(BOARD, "Board", "ana", "bo", "cy"), body(COUNCIL, "Council", "ede", "eli")
    table = stream(Written(VALUE_BANDS, UUID(int=5)), ValueBandsPublished(PORTFOLIO, bands_of((None, BOARD)), None))
    table.write(ValueBandsPublished(PORTFOLIO, bands_of((None, COUNCIL)), None), MORNING + timedelta(days=9))
    voters = Electorate((), (), None, by_value_band=True)
    compared = what_if(divided(), registers(bodies=(board, council), bands=table), electorate=voters)
    assert (compared.uncounted, compared.supposed.outcome) == ((), Outcome.GO)


def test_a_value_that_no_body_decides_on_could_not_have_been_put_to_a_vote() -> None:
    compared = what_if(banded(), registers(bodies=(body(BOARD, "Board", "ana", "bo"),)), bands=bands_of(("5", BOARD)))
    assert (compared.supposed.end, compared.supposed.outcome) == (End.NOT_PUT, None)
    assert compared.reasons[0].startswith("no-band-for-value: ")


def test_a_veto_that_nobody_had_wants_its_holder_to_be_heard() -> None:
    board = registers(bodies=(body(BOARD, "Board", "ana", "bo", "cy"),), known=("bo", "cy"))
    assert "A holder of a veto rejects." in what_if(divided(), board, veto=(account("bo"),)).supposed.because
    compared = what_if(quick(), board, veto=(account("cy"),))
    assert (compared.supposed.end, compared.unheard) == (End.UNDECIDED, (account("cy"),))
    assert compared.supposed.because == "It is not decided: a holder of a veto has not voted."
    assert what_if(quick(), rule=Rule.CONSENSUS).supposed.because == (
        "It is not decided: the votes that 1 have not cast could still turn it."
    )


def test_a_sponsor_who_may_vote_has_a_seat_and_was_not_heard() -> None:
    board = registers(bodies=(body(BOARD, "Board", "ana", "bo", "sol"),))
    life = Life(replace(POLICY, quorum=Quorum(1, Decimal(1)))).drafted().submitted(ANA, BO)
    life.vote("ana", APPROVE).vote("bo", APPROVE)
    compared = what_if(life, board, sponsor_may_vote=True)
    assert compared.unheard == (account("sol"),)
    assert life.review.recorded[1].event.tied[2].duty is Duty.SPONSOR


def test_an_alternate_who_would_be_no_alternate_is_not_counted() -> None:
    life = Life().drafted().submitted(seat("ana", "al"), BO, CY).vote("al", APPROVE).vote("bo", APPROVE)
    assert what_if(life).supposed == what_if(life).recorded
    board = registers(bodies=(body(BOARD, "Board", "ana", "bo", "cy"),))
    (uncounted,) = what_if(life, board, sponsor_may_vote=True).uncounted
    assert (uncounted.voter, uncounted.refusal) == (account("al"), "not-an-elector")


def test_the_bodies_that_might_vote_are_those_named_those_in_the_bands_and_the_one_above() -> None:
    table = other_bands(PORTFOLIO, bands_of(("5", BOARD), (None, COUNCIL)))
    assert isinstance(table, Published)
    above = BodyId(UUID(int=9))
    assert bodies_asked(Life(replace(POLICY, escalate_to=above)).edition, table) == {BOARD, above}
    assert bodies_asked(banded().edition, table) == {BOARD, COUNCIL}


def test_decisions_are_chosen_by_kind_gate_and_the_portfolios_day_of_submission() -> None:
    gate = divided().review
    drafted = Life(name="draft").drafted().review
    budget = Life(replace(POLICY, kind=ReviewKind.BUDGET, gate=None), name="budget").drafted().submitted(ANA, BO).review
    late = Life(name="late").later(hours=3).drafted().submitted(ANA, BO).review
    reviews = [each.recorded for each in (gate, drafted, budget, late)]
    monday, tuesday = date(2026, 3, 2), date(2026, 3, 3)
    assert chosen(reviews) == {gate.stream, budget.stream, late.stream}
    assert chosen(reviews, kind=ReviewKind.BUDGET) == {budget.stream}
    assert chosen(reviews, gate="G2") == {gate.stream, late.stream}
    # Submitted at 13:00 in UTC, which is past midnight in Melbourne.
    assert chosen(reviews, first_day=tuesday) == {late.stream}
    assert chosen(reviews, last_day=monday) == {gate.stream, budget.stream}


def test_more_decisions_than_are_tried_at_once_are_refused_with_their_number() -> None:
    beginnings = [Life(name=f"review {number}").drafted().submitted(ANA, BO).review.recorded for number in range(501)]
    assert len(chosen(beginnings[:500])) == 500
    with pytest.raises(TooManyDecisions) as refused:
        chosen(beginnings)
    assert refused.value.facts == {"decisions": "501", "most": "500"}


def test_totals_count_the_turns() -> None:
    compared = [
        what_if(divided(), rule=Rule.CONSENSUS),
        what_if(divided(), rule=Rule.CONSENSUS),
        what_if(quick(), rule=Rule.CONSENSUS),
        what_if(quick()),
    ]
    counted = totals(compared)
    assert (counted.decisions, counted.changed, counted.undecided, counted.not_reproduced) == (4, 3, 1, 0)
    assert counted.turns == (Turn(Outcome.GO, None, 1), Turn(Outcome.GO, Outcome.RECYCLE, 2))


def test_a_record_that_todays_rules_do_not_come_to_is_pointed_out() -> None:
    life = divided()
    compared = compare(replace(case_of(life), policy=replace(life.edition, rule=Rule.CONSENSUS)), Changes())
    assert (compared.reproduced, compared.supposed.outcome) == (False, Outcome.RECYCLE)

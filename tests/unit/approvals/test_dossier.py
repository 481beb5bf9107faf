"""What the dossier of a decision says, given what the ledger holds."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest
from tests.unit.approvals.lives import (
    BODIES,
    CASE,
    MORNING,
    PLAN,
    POLICY,
    TIED,
    Life,
    Written,
    condition,
    panel,
    seat,
    seen,
)
from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO, PROJECT, account, person

from approvals.application.dossier import (
    Dossier,
    Recorded,
    Referred,
    Standing,
    accounts_in,
    digest_of,
    dossier_of,
    imported_dossier_of,
    persons_in,
    references,
)
from approvals.domain.decision import DECISION
from approvals.domain.review import (
    CloseCondition,
    LapseCondition,
    NoteMeasure,
    ReferReview,
    RemindOfCondition,
    RemindVoters,
    WaiveCondition,
    WithdrawReview,
)
from govevents.approvals import (
    Authority,
    Breach,
    Choice,
    Comparison,
    Criterion,
    DecisionRecorded,
    Ending,
    KpiThreshold,
    Measure,
    Met,
    Need,
    OnLapse,
    Outcome,
    ReviewKind,
    ReviewRequested,
    Seen,
)
from govevents.values import Source

APPROVE, CONDITIONALLY, REJECT, RETURN, ABSTAIN = Choice
ANA, BO, CY = seat("ana"), seat("bo"), seat("cy")


def ledger_of(life: Life, *more: Recorded) -> dict[str, Recorded]:
    """Everything besides the review that the ledger holds."""
    written = [*life.policy.recorded, *(one for each in life.delegations.values() for one in each.recorded)]
    return {one.id: one for one in (*written, *BODIES, *more)}


def told(life: Life, *more: Recorded, without: frozenset[str] = frozenset()) -> Dossier:
    """The dossier, from what the ledger holds of what it refers to."""
    ledger = {event: one for event, one in ledger_of(life, *more).items() if event not in without}
    wanted = references(life.review.recorded)
    found: Mapping[str, Recorded] = {
        event: one
        for event, one in ledger.items()
        if one.envelope.stream in wanted.streams or (one.envelope.stream, one.envelope.version) in wanted.places
    }
    return dossier_of(life.review.recorded, Referred(found, frozenset(one.envelope.stream for one in ledger.values())))


def decided() -> Life:
    return Life().drafted(CASE).submitted(ANA, BO, CY).vote("ana", APPROVE).vote("bo", APPROVE)


def test_a_decision_says_what_was_asked_by_whom_and_what_came_of_it() -> None:
    dossier = told(decided())
    asked, proposal, outcome = dossier.asked, dossier.proposal, dossier.outcome
    assert proposal is not None
    assert outcome is not None
    assert (asked.question, asked.kind, asked.gate) == ("May we build?", ReviewKind.GATE, "G2")
    assert asked.record.actor == str(account("max"))
    assert (proposal.submitter, proposal.proposed, proposal.tied) == (account("sam"), Outcome.GO, TIED)
    assert (dossier.state, dossier.decided) == ("concluded", True)
    assert (outcome.outcome, outcome.ending, outcome.body_name) == (Outcome.GO, Ending.DECIDED, "Board")
    assert outcome.because == decided().review.recorded[-1].event.because
    assert not outcome.after_the_fact
    assert dossier.withdrawn is None


def test_each_statement_names_its_event_and_all_events_are_listed_up_to_the_head_of_the_chain() -> None:
    life = decided()
    dossier = told(life)
    documents = life.review.documents
    assert [(record.event, record.hash) for record in dossier.events] == [
        (f"{life.review.stream}@{each.version}", each.hash.hex()) for each in documents
    ]
    assert [record.previous for record in dossier.events] == [None, *(record.hash for record in dossier.events[:-1])]
    assert dossier.head == documents[-1].hash.hex()
    assert [vote.record for vote in dossier.votes] == list(dossier.events[2:4])
    assert dossier.outcome is not None
    assert dossier.outcome.record == dossier.events[-1]


def test_the_policy_is_the_very_edition_that_the_review_was_opened_under() -> None:
    life = decided()
    life.policy.send(replace(POLICY, quorum=replace(POLICY.quorum, minimum=3)), life.now)
    policy = told(life).policy
    assert policy is not None
    assert policy.seen.verified
    assert (policy.edition, policy.number) == (life.policy.recorded[0].event, 1)
    assert policy.record is not None
    assert policy.record.hash == life.policy.documents[0].hash.hex()


def test_an_edition_that_the_ledger_has_with_another_hash_is_not_passed_off_as_the_one_that_held() -> None:
    life = Life().drafted()
    life.submitted(ANA, BO, policy_seen=replace(life.policy.head, hash="f" * 64))
    policy = told(life).policy
    assert policy is not None
    assert (policy.seen.verified, policy.edition, policy.record) == (False, None, None)


def test_who_could_vote_is_listed_with_authority_and_alternates_and_who_was_kept_out_with_the_duty() -> None:
    (voters,) = told(Life().drafted().submitted(seat("ana", "al"), BO)).voters
    assert (voters.body, voters.body_name) == (BOARD, "Board")
    assert voters.electorate == (seat("ana", "al"), BO)
    assert voters.excluded == TIED


def test_a_vote_says_what_its_voter_saw_and_whether_that_is_what_the_ledger_has() -> None:
    life = Life().drafted().submitted(ANA, BO, CY)
    basis = life.basis()
    wrong = Seen(str(life.policy.stream), 1, "0" * 64)
    beyond = Seen(str(life.policy.stream), 9, "0" * 64)
    elsewhere = Seen("risks-register", 4, "e" * 64)
    life.vote("ana", APPROVE, seen=(basis, life.policy.head, wrong, beyond, elsewhere))
    (vote,) = told(life).votes
    assert [(sight.version, sight.verified) for sight in vote.seen] == [
        (basis.version, True),
        (1, True),
        (1, False),
        (9, False),
        (4, None),
    ]
    assert vote.seen[0].type == "approvals.ReviewSubmitted"


def test_a_replaced_vote_stays_in_the_list_with_the_vote_that_replaced_it() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", REJECT).vote("ana", APPROVE)
    first, second = told(life).votes
    assert (first.choice, first.standing, first.ended_by) == (REJECT, Standing.REPLACED, second.record.event)
    assert (second.number, second.standing, second.ended_by) == (2, Standing.STANDS, None)


def test_changed_evidence_is_shown_beside_what_it_replaced_and_sets_the_votes_before_it_aside() -> None:
    revised = replace(CASE, sha256="c" * 64)
    life = Life().drafted(CASE).submitted(ANA, BO, CY).vote("ana", APPROVE).evidence(revised, PLAN)
    dossier = told(life)
    drafted, submitted, changed = dossier.evidence
    assert (drafted.evidence, submitted.added, submitted.removed) == ((CASE,), (), ())
    assert (changed.added, changed.removed, changed.remark) == ((revised, PLAN), (CASE,), "The case was revised.")
    assert changed.record.actor == str(account("sam"))
    (vote,) = dossier.votes
    assert (vote.standing, vote.ended_by) == (Standing.SET_ASIDE, changed.record.event)


def test_a_recusal_has_its_reason_and_sets_the_persons_vote_aside() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", APPROVE).recused("ana")
    dossier = told(life)
    (recusal,) = dossier.recusals
    assert (recusal.person, recusal.recused_by, recusal.reason) == (person("ana"), account("ana"), "I own the land.")
    assert (dossier.votes[0].standing, dossier.votes[0].ended_by) == (Standing.SET_ASIDE, recusal.record.event)


def test_an_alternate_speaks_for_the_seat_of_another() -> None:
    life = Life().drafted().submitted(seat("ana", "al"), BO).vote("al", APPROVE)
    (vote,) = told(life).votes
    assert (vote.person, vote.seat, vote.authority) == (person("al"), person("ana"), Authority.ALTERNATE)


def test_a_delegation_is_shown_at_the_version_relied_on_and_with_its_revocation_since() -> None:
    life = Life().drafted().submitted(ANA, BO, CY)
    delegation = life.granted("ana", "dee")
    life.vote("dee", APPROVE).vote("bo", APPROVE).revoked("dee")
    dossier = told(life)
    (used,) = dossier.delegations
    vote = dossier.votes[0]
    assert (used.seen.verified, used.seen.version, used.granted) == (True, 1, delegation.recorded[0].event)
    assert used.votes == (vote.record.event,)
    assert used.revoked is not None
    assert (used.revoked.reason, used.revoked.record.hash) == ("Back again.", delegation.documents[1].hash.hex())
    assert vote.mark is not None
    assert (vote.mark.reason, vote.standing) == ("Back again.", Standing.STANDS)
    assert dossier.outcome is not None
    assert dossier.outcome.outcome is Outcome.GO


def test_a_delegation_that_holds_is_shown_as_not_revoked() -> None:
    life = Life().drafted().submitted(ANA, BO, CY)
    life.granted("ana", "dee")
    (used,) = told(life.vote("dee", APPROVE)).delegations
    assert used.revoked is None


def test_questions_stand_with_their_answers_and_those_without_one() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).asked("ana", "Who pays?", "The utility.").asked("bo", "When?")
    first, second = told(life).questions
    assert (first.number, first.asker, first.text) == (1, account("ana"), "Who pays?")
    assert first.answer is not None
    assert (first.answer.answerer, first.answer.text) == (account("sam"), "The utility.")
    assert (second.number, second.answer) == (2, None)


def test_reminders_say_who_was_reminded() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", APPROVE)
    life.send(RemindVoters(life.now))
    (reminder,) = told(life).reminders
    assert reminder.recipients == (account("bo"), account("cy"))


def test_an_escalation_says_why_and_who_votes_then() -> None:
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life = Life(replace(POLICY, escalate_to=COUNCIL)).drafted()
    life.submitted(ANA, BO, CY, escalation=above).vote("ana", APPROVE).time_is_over()
    life.vote("ede", APPROVE).vote("eli", APPROVE)
    dossier = told(life)
    (escalation,) = dossier.escalations
    assert escalation.reason.startswith("The time limit was reached without a result")
    assert escalation.to == COUNCIL
    board, council = dossier.voters
    assert (board.reason, council.reason, council.body_name) == (None, escalation.reason, "Council")
    assert [each.person for each in council.electorate] == [person("ede"), person("eli")]
    assert (dossier.votes[0].standing, dossier.votes[0].ended_by) == (Standing.SET_ASIDE, escalation.record.event)
    assert dossier.outcome is not None
    assert dossier.outcome.body_name == "Council"


def test_a_referral_says_who_sent_it_to_whom_and_why() -> None:
    life = Life().drafted().submitted(ANA, BO, CY).vote("ana", ABSTAIN).vote("bo", ABSTAIN).vote("cy", ABSTAIN)
    assert told(life).state == "escalated"
    assert not told(life).decided
    above = panel(seat("ede"), seat("eli"), body=COUNCIL)
    life.send(ReferReview(account("pia"), above, "The council decides.", life.now), account("pia"))
    dossier = told(life)
    assert [voters.reason for voters in dossier.voters] == [None, "The council decides."]
    assert dossier.voters[1].record.actor == str(account("pia"))
    assert [escalation.to for escalation in dossier.escalations] == [None]


def test_readiness_is_shown_as_found_on_submission_on_opening_and_after_each_change() -> None:
    threshold = KpiThreshold("cost_variance", Comparison.AT_LEAST, Decimal("-0.1"), decides=False)
    cost = Criterion("COST", "Costs are under control.", Need.MUST, ("report",), threshold)
    life = Life(replace(POLICY, criteria=(cost,))).drafted().submitted(ANA, BO)
    assert told(life).state == "submitted"
    figure = Measure("cost_variance", Decimal("-0.05"), "share", None, Seen("projections", 3, "d" * 64))
    life.send(NoteMeasure(figure, life.now))
    life.evidence(replace(CASE, kind="report"))
    first, opened, changed = told(life).readiness
    assert [[each.met for each in found.findings] for found in (first, opened, changed)] == [
        [Met.NO],
        [Met.NO],
        [Met.YES],
    ]
    assert (first.measures, opened.measures, changed.measures) == ((), (figure,), (figure,))
    assert [found.ready for found in (first, opened, changed)] == [False, False, True]


def test_a_decision_on_what_had_begun_by_stealth_is_marked_as_made_after_the_fact() -> None:
    breach = Breach("delivery", "G2", date(2026, 2, 1))
    life = Life().drafted().submitted(ANA, BO, breaches=(breach,)).vote("ana", APPROVE).vote("bo", APPROVE)
    dossier = told(life)
    assert dossier.proposal is not None
    assert dossier.outcome is not None
    assert (dossier.proposal.breaches, dossier.outcome.breaches) == ((breach,), (breach,))
    assert dossier.outcome.after_the_fact


def conditional(*texts: str) -> Life:
    conditions = [condition(text) for text in texts]
    life = Life().drafted().submitted(ANA, BO)
    return life.vote("ana", CONDITIONALLY, *conditions).vote("bo", APPROVE)


def test_each_condition_says_how_it_turned_out() -> None:
    life = conditional("one", "two", "three", "four")
    waiver = Life(replace(POLICY, kind=ReviewKind.METHODOLOGY_DEVIATION, gate=None), name="waiver").drafted()
    waiver.submitted(ANA, BO).vote("ana", APPROVE).vote("bo", APPROVE)
    by = seen(waiver.review.recorded[-1])
    life.send(CloseCondition(1, (PLAN,), "Here it is."), account("max"))
    life.send(WaiveCondition(2, by, "The law has changed."))
    life.send(RemindOfCondition(3))
    life.later(days=120).send(LapseCondition(3, life.now))
    dossier = told(life, *waiver.review.recorded)
    met, waived, lapsed, open_ = dossier.conditions
    assert met.met is not None
    assert (met.met.evidence, met.met.remark) == ((PLAN,), "Here it is.")
    assert waived.waived is not None
    assert (waived.waived.decision.verified, waived.waived.outcome) == (True, Outcome.GO)
    assert lapsed.lapsed is not None
    assert (lapsed.lapsed.then, len(lapsed.reminded)) == (OnLapse.HOLD, 1)
    assert (open_.met, open_.waived, open_.lapsed, open_.reminded) == (None, None, None, ())
    assert [each.condition.text for each in dossier.conditions] == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("life", "state"),
    [
        (Life().drafted(), "draft"),
        (Life().drafted().submitted(ANA, BO), "open"),
        (Life().drafted().submitted(ANA), "escalated"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_review_without_an_outcome_is_marked_as_not_decided(life: Life, state: str) -> None:
    dossier = told(life)
    assert (dossier.state, dossier.decided, dossier.outcome) == (state, False, None)


def test_a_withdrawn_review_says_why_and_keeps_its_votes() -> None:
    life = Life().drafted().submitted(ANA, BO).vote("ana", APPROVE)
    life.send(WithdrawReview("not needed any more"), account("pia"))
    dossier = told(life)
    assert dossier.withdrawn is not None
    assert (dossier.decided, dossier.withdrawn.reason) == (False, "not needed any more")
    assert [vote.standing for vote in dossier.votes] == [Standing.STANDS]


def test_what_was_requested_names_who_asked_for_the_review() -> None:
    request = uuid5(PROJECT, "request")
    written = Written(DECISION, request)
    life = Life().drafted(requested=request)
    asked = ReviewRequested(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", account("con"), "It is time.")
    written.aggregate = replace(DECISION, evolve=lambda state, _event: state)
    written.write(asked, MORNING)
    found = told(life, *written.recorded).asked.request
    assert found is not None
    assert (found.requester, found.reason) == (account("con"), "It is time.")


def test_the_same_ledger_gives_the_same_digest_and_another_vote_another() -> None:
    assert digest_of(told(decided())) == digest_of(told(decided()))
    other = Life().drafted(CASE).submitted(ANA, BO, CY).vote("ana", APPROVE).vote("bo", APPROVE, reason="Else.")
    assert digest_of(told(other)) != digest_of(told(decided()))


def test_the_accounts_and_persons_whose_names_are_looked_up_are_all_that_it_speaks_of() -> None:
    life = Life().drafted().submitted(seat("ana", "al"), BO, CY).asked("bo", "Who pays?", "We do.").recused("cy")
    life.granted("ana", "dee")
    life.vote("dee", CONDITIONALLY, condition()).vote("bo", APPROVE).revoked("dee")
    dossier = told(life)
    assert accounts_in(dossier) == {account(name) for name in ("pia", "max", "sam", "ana", "al", "bo", "cy", "dee")}
    assert persons_in(dossier) == {person(name) for name in ("sam", "max", "sol", "ana", "al", "bo", "cy", "dee")}


def test_a_decision_that_was_made_elsewhere_has_a_dossier_of_what_its_source_says() -> None:
    written = Written(DECISION, uuid5(PROJECT, "decision"))
    said = DecisionRecorded(
        PROJECT, PORTFOLIO, ReviewKind.GATE, "G1", date(2019, 5, 6), "Council", None, Source("gates.csv", "a" * 64, 7)
    )
    written.write(said, MORNING, str(account("pia")))
    dossier: Any = imported_dossier_of(written.recorded)
    assert (dossier.decided_on, dossier.body_name, dossier.outcome) == (date(2019, 5, 6), "Council", None)
    assert dossier.source.row == 7
    assert dossier.head == written.documents[0].hash.hex()
    assert accounts_in(dossier) == {account("pia")}

"""The folds of what approvals says: reviews, the inbox, conditions, decisions and delegations, with what takes them back."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from tests.support.streams import Stream
from tests.support.telling import ANA, BO, MAX, Teller, condition, day, seat

from govevents.approvals import (
    Authority,
    Breach,
    MeasureNoted,
    OnLapse,
    Outcome,
    Panel,
    Quorum,
    ReviewKind,
    ReviewReminded,
    ReviewRequestAccepted,
    ReviewRequestDeclined,
    ReviewWithdrawn,
    VoteMarked,
)
from govevents.approvals import Measure as Measured
from govevents.document import Recorded
from govevents.projects import GateBreached, ProjectMoved
from govevents.values import BodyId, NodeId, PersonId, PortfolioId, ProjectId, ReviewId, SubjectId
from govkernel.readmodels import ReadModel
from projections.application.body_seats import BODY_SEATS
from projections.application.breaches import BREACHES
from projections.application.conditions import CONDITIONS, Standing
from projections.application.decision_register import DECISION_REGISTER
from projections.application.delegations import DELEGATIONS
from projections.application.inbox import INBOX, InboxItem, Wanted
from projections.application.reviews import REVIEWS, Review, ReviewState

Row = TypeVar("Row")

PORTFOLIO, PROJECT = uuid4(), uuid4()
CAT, DAN = SubjectId(uuid4()), SubjectId(uuid4())
BOARD = (seat(BO, CAT), seat(DAN))
COUNCIL = Panel(BodyId(uuid4()), (seat(CAT),), ())
DUE = date(2026, 4, 1)


def fold(model: ReadModel[Row], events: Iterable[Recorded[Any]]) -> Mapping[str, Row]:
    rows: Mapping[str, Row] = {}
    for recorded in events:
        if recorded.envelope.type in model.subscribes:
            rows = model.evolve(rows, recorded)
    return rows


class Told:
    """A review and what has happened to it."""

    def __init__(self, **submitted: Any) -> None:
        self.teller = Teller()
        self.stream, self.events = self.teller.submitted(
            PORTFOLIO, PROJECT, day(1), **{"electorate": BOARD, **submitted}
        )

    def then(self, name: str, moment: float, *given: Any, **more: Any) -> "Told":
        """Let something happen that the teller has a word for."""
        made = getattr(self.teller, name)(self.stream, PROJECT, day(moment), *given, **more)
        self.events.append(made)
        return self

    def said(self, moment: float, event: object) -> "Told":
        """Let something else happen."""
        self.events.append(self.teller.at(self.stream, day(moment), event))
        return self

    def concluded(self, moment: float, **more: Any) -> "Told":
        """Let the review be decided."""
        self.events += self.teller.concluded(self.stream, PORTFOLIO, PROJECT, day(moment), **more)
        return self

    @property
    def review(self) -> Review:
        (row,) = fold(REVIEWS, self.events).values()
        return row

    @property
    def inbox(self) -> list[InboxItem]:
        return [each for each in fold(INBOX, self.events).values() if each.waiting_since is not None]

    @property
    def asked(self) -> set[tuple[Wanted, SubjectId | None]]:
        """What is wanted of which account."""
        return {(each.wanted, each.subject) for each in self.inbox}


EVERYONE = {(Wanted.VOTE, BO), (Wanted.VOTE, CAT), (Wanted.VOTE, DAN)}


def test_a_vote_is_wanted_of_each_holder_and_alternate_until_someone_has_spoken_for_the_seat() -> None:
    told = Told(closes_at=day(15))
    assert told.asked == EVERYONE
    (alternate,) = [each for each in told.inbox if each.subject == CAT]
    assert (alternate.authority, alternate.seat, alternate.because) == (
        Authority.ALTERNATE,
        PersonId(BO),
        "member of Board",
    )
    assert (alternate.waiting_since, alternate.closes_at) == (day(1), day(15))
    told.then("voted", 2, voter=CAT, for_seat=BO, authority=Authority.ALTERNATE)
    assert told.asked == {(Wanted.VOTE, DAN)}
    assert (told.review.votes, told.review.electorate) == (1, 2)


def test_a_review_that_awaits_figures_asks_nobody_before_it_is_open() -> None:
    told = Told(awaits=("conditions_open",), ready=False)
    assert (told.review.state, told.review.ready, told.asked) == (ReviewState.SUBMITTED, None, set())
    measure = Measured("conditions_open", Decimal(0), "conditions", None, None)
    told.said(1.5, MeasureNoted(ProjectId(PROJECT), measure)).then("opened", 2)
    assert (told.review.state, told.review.ready, told.review.opened_at) == (ReviewState.OPEN, True, day(2))
    assert {each.waiting_since for each in told.inbox} == {day(2)}
    assert told.asked == EVERYONE


def test_changed_evidence_asks_everyone_again_and_says_why() -> None:
    told = Told().then("voted", 2, voter=BO).then("evidence_changed", 3, ready=False)
    assert told.asked == EVERYONE
    assert {(each.waiting_since, each.again) for each in told.inbox} == {(day(3), "A newer deed.")}
    review = told.review
    assert (review.votes, review.asked_again, review.ready) == (0, 1, False)
    told.then("voted", 4, voter=BO)
    assert told.asked == {(Wanted.VOTE, DAN)}


def test_a_recusal_takes_back_what_the_person_said_and_the_seat_if_nobody_else_may_speak_for_it() -> None:
    told = Told(quorum=Quorum(1, Decimal(1))).then("voted", 2, voter=BO).then("recused", 3, DAN)
    review = told.review
    assert (review.electorate, review.votes_needed, review.votes, review.recused) == (1, 1, 1, (PersonId(DAN),))
    told.then("recused", 4, BO)
    assert (told.review.electorate, told.review.votes) == (1, 0), "the alternate has the seat"
    assert (Wanted.VOTE, CAT) in told.asked


def test_a_recusal_takes_back_what_a_delegate_said_and_not_what_an_alternate_said() -> None:
    by_delegate = Told().then("voted", 2, voter=MAX, for_seat=BO, authority=Authority.DELEGATE, delegation=uuid4())
    assert by_delegate.then("recused", 3, BO).review.votes == 0
    by_alternate = Told().then("voted", 2, voter=CAT, for_seat=BO, authority=Authority.ALTERNATE)
    assert by_alternate.then("recused", 3, BO).review.votes == 1
    assert (Wanted.VOTE, CAT) not in by_alternate.asked


@pytest.mark.parametrize("word", ["escalated", "referred"])
def test_another_panel_is_asked_anew_and_the_one_before_no_longer(word: str) -> None:
    told = Told(closes_at=day(5)).then("voted", 2, voter=BO)
    if word == "referred":
        told.then("escalated", 3).then("referred", 4, COUNCIL, closes_at=day(9))
    else:
        told.then("escalated", 4, to=COUNCIL, closes_at=day(9))
    assert told.asked == {(Wanted.VOTE, CAT)}
    assert {each.closes_at for each in told.inbox} == {day(9)}
    review = told.review
    assert (review.state, review.body, review.electorate, review.votes) == (ReviewState.OPEN, COUNCIL.body, 1, 0)
    assert (review.closes_at, review.escalations) == (day(9), 1)


def test_a_review_that_nobody_above_is_named_for_waits_for_whoever_may_refer_it() -> None:
    told = Told(closes_at=day(5)).then("asked", 2).then("escalated", 3)
    assert told.asked == {(Wanted.REFERRAL, None), (Wanted.ANSWER, None)}
    assert (told.review.state, told.review.closes_at) == (ReviewState.ESCALATED, None)


def test_whoever_is_recused_stays_so_before_another_panel() -> None:
    told = Told().then("recused", 2, CAT).then("escalated", 3, to=COUNCIL)
    assert told.review.recused == (PersonId(CAT),)
    assert told.review.electorate == 0


def test_a_question_waits_for_an_answer() -> None:
    told = Told().then("asked", 2, 1).then("asked", 3, 2)
    answers = [(each.number, each.text) for each in told.inbox if each.wanted is Wanted.ANSWER]
    assert answers == [(1, "Who pays?"), (2, "Who pays?")]
    told.then("answered", 4, 1)
    assert [each.number for each in told.inbox if each.wanted is Wanted.ANSWER] == [2]
    assert told.review.questions == (2,)


def test_a_conclusion_leaves_nothing_waiting_but_its_conditions() -> None:
    told = Told().then("asked", 2).concluded(3, conditions=(condition(DUE), condition(DUE, "Fence it.", BO)))
    assert told.asked == {(Wanted.CONDITION, MAX), (Wanted.CONDITION, BO)}
    assert {(each.due, each.closes_at) for each in told.inbox} == {(DUE, condition(DUE).lapses_at)}
    told.then("condition_met", 4, 2)
    assert told.asked == {(Wanted.CONDITION, MAX)}


def test_a_lapsed_condition_waits_on_and_a_waived_one_no_longer() -> None:
    told = Told().concluded(3, due=DUE)
    lapsed = told.teller.condition_lapsed(told.stream, PORTFOLIO, PROJECT, day(40), DUE, then=OnLapse.HOLD)
    told.events.append(lapsed)
    (waiting,) = told.inbox
    assert (waiting.lapsed, waiting.waiting_since) == (OnLapse.HOLD, day(3))
    assert told.then("condition_waived", 41, uuid4()).inbox == []


def test_a_condition_that_lapses_into_escalation_waits_for_a_body_until_it_is_met() -> None:
    body = uuid4()
    told = Told().concluded(3, due=DUE)
    told.events.append(
        told.teller.condition_lapsed(
            told.stream, PORTFOLIO, PROJECT, day(40), DUE, then=OnLapse.ESCALATION, escalated_to=body
        )
    )
    assert told.asked == {(Wanted.CONDITION, MAX), (Wanted.ESCALATION, None)}
    (escalated,) = [each for each in told.inbox if each.wanted is Wanted.ESCALATION]
    assert (escalated.body, escalated.waiting_since, escalated.number, escalated.due) == (body, day(40), 1, DUE)
    assert told.then("condition_met", 41).inbox == []


def test_a_condition_that_escalates_to_no_body_waits_for_whoever_may_refer_reviews() -> None:
    told = Told().concluded(3, due=DUE)
    lapsed = told.teller.condition_lapsed(told.stream, PORTFOLIO, PROJECT, day(40), DUE, then=OnLapse.ESCALATION)
    told.events.append(lapsed)
    (escalated,) = [each for each in told.inbox if each.wanted is Wanted.ESCALATION]
    assert (escalated.body, escalated.subject, escalated.waiting_since) == (None, None, day(40))
    assert escalated.because.startswith("may refer reviews")


def test_another_panel_is_told_why_it_is_asked() -> None:
    told = Told().then("escalated", 3, to=COUNCIL)
    assert [each.text for each in told.inbox] == ["All abstain."]


def test_a_recycled_gate_waits_to_be_brought_again_and_nothing_else_does() -> None:
    told = Told().concluded(3, outcome=Outcome.RECYCLE)
    (again,) = told.inbox
    assert (again.wanted, again.waiting_since, again.subject) == (Wanted.RESUBMISSION, day(3), None)
    assert again.text == "1 approves, 0 reject or return, 0 abstain, of 1."
    for outcome in (Outcome.GO, Outcome.HOLD, Outcome.KILL):
        assert Told().concluded(3, outcome=outcome).inbox == []


def test_whoever_is_released_from_a_body_takes_their_alternates_along() -> None:
    teller = Teller()
    body = teller.body(PORTFOLIO)
    events = [body, teller.seated(body, BO), teller.seated(body, CAT, alternate_for=BO), teller.seated(body, DAN)]
    rows = fold(BODY_SEATS, events).values()
    assert [(each.member, each.alternate_for) for each in rows] == [(BO, None), (CAT, BO), (DAN, None)]
    after = fold(BODY_SEATS, [*events, teller.released(body, BO, day(3))]).values()
    assert [each.member for each in after] == [DAN]


def test_a_withdrawn_review_leaves_nothing_waiting() -> None:
    told = Told().then("asked", 2).said(3, ReviewWithdrawn(ProjectId(PROJECT), "Too early."))
    assert told.inbox == []
    assert (told.review.state, told.review.ended_at) == (ReviewState.WITHDRAWN, day(3))


@pytest.mark.parametrize("ending", [ReviewRequestAccepted, ReviewRequestDeclined])
def test_a_request_waits_until_it_is_taken_up_or_declined(ending: type[Any]) -> None:
    teller = Teller()
    stream, requested = teller.requested(PORTFOLIO, PROJECT, day(1))
    (row,) = fold(INBOX, [requested]).values()
    assert (row.wanted, row.subject, row.kind, row.gate, row.text) == (
        Wanted.REQUEST,
        None,
        ReviewKind.GATE,
        "G2",
        "It has drifted.",
    )
    ended = (
        ending(ProjectId(PROJECT), ReviewId(uuid4()))
        if ending is ReviewRequestAccepted
        else ending(ProjectId(PROJECT), MAX, "Next month.")
    )
    assert fold(INBOX, [requested, teller.at(stream, day(2), ended)]) == {}


def test_a_mark_belongs_to_the_vote_that_stands() -> None:
    delegation = uuid4()
    told = Told().then("voted", 2, voter=MAX, for_seat=BO, authority=Authority.DELEGATE, delegation=delegation)
    told.said(3, VoteMarked(ProjectId(PROJECT), PersonId(BO), MAX, delegation, "Back early."))
    assert told.review.marked == 1
    assert told.then("voted", 4, voter=BO).review.marked == 0, "the holder has spoken since"


def test_a_review_knows_the_version_of_its_stream_also_when_nothing_else_has_changed() -> None:
    told = Told(closes_at=day(9))
    before = told.review
    told.said(8, ReviewReminded(ProjectId(PROJECT), (BO,), day(9)))
    assert (before.head, told.review.head) == (2, 3)


def test_a_review_s_life_is_told_by_its_edition_of_the_policy_and_who_is_tied() -> None:
    told = Told(policy_number=3, tied=(PersonId(MAX),))
    assert (told.review.policy_number, told.review.tied, told.review.submitter) == (3, (PersonId(MAX),), ANA)
    concluded = told.concluded(3)
    assert (concluded.review.state, concluded.review.outcome) == (ReviewState.CONCLUDED, Outcome.GO)


def test_a_condition_is_reminded_of_lapses_and_is_waived_by_a_decision() -> None:
    told = Told().concluded(3, due=DUE).then("condition_reminded", 20, DUE)
    body, decision = uuid4(), uuid4()
    lapsed = told.teller.condition_lapsed(told.stream, PORTFOLIO, PROJECT, day(31), DUE, escalated_to=body)
    told.events.append(lapsed)
    (row,) = fold(CONDITIONS, told.events).values()
    assert (row.state, row.reminders, row.reminded_at) == (Standing.OPEN, 1, day(20))
    assert (row.lapsed_at, row.escalated_to, row.ended_at) == (day(31), body, None)
    assert (row.shown_by, row.on_lapse) == ("The deed.", OnLapse.REMINDER)
    told.then("condition_waived", 33, decision)
    (row,) = fold(CONDITIONS, told.events).values()
    assert (row.state, row.ended_at, row.waived_by, row.remark) == (
        Standing.WAIVED,
        day(33),
        str(decision),
        "Not needed.",
    )
    assert row.lapsed_at == day(31), "that it lapsed stays on record"


def test_a_decision_that_came_after_a_breach_says_so() -> None:
    breach = Breach("delivery", "G2", date(2026, 3, 1))
    (row,) = fold(DECISION_REGISTER, Told().concluded(3, breaches=(breach,)).events).values()
    assert (row.breaches, row.because) == ((breach,), "1 approves, 0 reject or return, 0 abstain, of 1.")


def test_a_delegation_is_gone_once_it_is_revoked() -> None:
    teller = Teller()
    stream, granted = teller.delegated(PORTFOLIO, day(1), kinds=(ReviewKind.GATE,))
    (row,) = fold(DELEGATIONS, [granted]).values()
    assert (row.delegator, row.delegate, row.node, row.kinds) == (BO, MAX, PORTFOLIO, (ReviewKind.GATE,))
    assert fold(DELEGATIONS, [granted, teller.revoked(stream, PORTFOLIO, day(2))]) == {}


def test_a_breach_stays_on_record_once_for_each_phase_and_day_also_when_the_project_moves() -> None:
    teller = Teller()
    stream, registered = teller.project(PORTFOLIO)
    began = date(2026, 3, 1)

    def reported(moment: float, phase: str, on: date) -> Recorded[Any]:
        return breached(teller, stream, moment, phase, on)

    events = [
        registered,
        reported(1, "planning", began),
        reported(2, "planning", began + timedelta(days=1)),
        reported(3, "delivery", began),
    ]
    other = PortfolioId(uuid4())
    moved = teller.at(stream, day(4), ProjectMoved(other, NodeId(other)))
    rows = fold(BREACHES, [*events, moved]).values()
    assert [(each.phase, each.began_on) for each in rows] == [
        ("planning", began),
        ("planning", began + timedelta(days=1)),
        ("delivery", began),
    ]
    assert {each.portfolio for each in rows} == {other}


def breached(teller: Teller, project: Stream, moment: float, phase: str, on: date) -> Recorded[Any]:
    """Somebody has reported that work in a phase had begun."""
    return teller.at(project, day(moment), GateBreached(PortfolioId(PORTFOLIO), phase, "G1", on, MAX, "Diggers."))

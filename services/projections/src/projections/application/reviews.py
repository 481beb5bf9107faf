"""Reviews as they stand: what is asked, since when, and how many of the electorate have spoken."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from fractions import Fraction
from math import ceil
from typing import Any, Final

from govevents import approvals
from govevents.approvals import Authority, Outcome, Panel, Quorum, ReviewKind
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, Money, PersonId, PortfolioId, ProjectId, SubjectId, Text
from govkernel.readmodels import ReadModel


class ReviewState(Enum):
    """Where a review stands: one that is submitted takes votes once what it awaits is measured."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    OPEN = "open"
    CONCLUDED = "concluded"
    ESCALATED = "escalated"
    WITHDRAWN = "withdrawn"


@value
class Seat:
    """A seat among the voters, with who may speak for it besides its holder.

    `spoken_by` is whose vote counts for it, `spoken_as` by what; both are None while there is none. `marked` says that
    it came by a delegation which was revoked afterwards.
    """

    holder: PersonId
    alternates: tuple[PersonId, ...]
    spoken_by: PersonId | None = None
    spoken_as: Authority | None = None
    marked: bool = False


@value
class Review:
    """A review. What belongs to its submission is None before, what belongs to its end is None until then.

    `head` is the version of its stream, which a command on it names. `seats` are those of the panel that it is before,
    which `escalations` and referrals replace. `ready` is None until it is open. `questions` wait for an answer.
    `asked_again` is how often its evidence has changed.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    state: ReviewState
    head: int
    submitter: SubjectId | None = None
    proposed: Outcome | None = None
    policy: Code | None = None
    policy_number: int | None = None
    value: Money | None = None
    body: BodyId | None = None
    quorum: Quorum | None = None
    seats: tuple[Seat, ...] = ()
    tied: tuple[PersonId, ...] = ()
    recused: tuple[PersonId, ...] = ()
    submitted_at: datetime | None = None
    opened_at: datetime | None = None
    closes_at: datetime | None = None
    ready: bool | None = None
    questions: tuple[int, ...] = ()
    asked_again: int = 0
    escalations: int = 0
    outcome: Outcome | None = None
    ended_at: datetime | None = None

    @property
    def electorate(self) -> int | None:
        """How many seats count: a seat stays while its holder or an alternate is not recused."""
        if self.submitted_at is None:
            return None
        return sum(any(each not in self.recused for each in (seat.holder, *seat.alternates)) for seat in self.seats)

    @property
    def votes_needed(self) -> int | None:
        """max(the quorum's minimum, its share of the electorate rounded up), abstentions included."""
        electorate = self.electorate
        if self.quorum is None or electorate is None:
            return None
        return max(self.quorum.minimum, ceil(Fraction(self.quorum.share) * electorate))

    @property
    def votes(self) -> int:
        """For how many seats a vote counts."""
        return sum(seat.spoken_by is not None for seat in self.seats)

    @property
    def marked(self) -> int:
        """For how many seats the vote that counts came by a delegation which was revoked afterwards."""
        return sum(seat.marked for seat in self.seats)


def evolve(rows: Mapping[str, Review], recorded: Recorded[Any]) -> Mapping[str, Review]:
    """One stream is one review; of other streams there is nothing here."""
    envelope = recorded.envelope
    key = str(envelope.stream)
    match recorded.event:
        case approvals.ReviewDrafted() as drafted:
            made = Review(
                project=drafted.project,
                portfolio=drafted.portfolio,
                kind=drafted.kind,
                gate=drafted.gate,
                question=drafted.question,
                state=ReviewState.DRAFT,
                head=envelope.version,
                value=drafted.value,
            )
            return {key: made}
        case event:
            return {
                key: replace(_changed(known, event, envelope.time), head=envelope.version)
                for key, known in rows.items()
            }


def _changed(known: Review, event: Any, time: datetime) -> Review:
    match event:
        case approvals.ReviewSubmitted() as submitted:
            return _submitted(known, submitted)
        case approvals.ReviewOpened(ready=ready):
            return replace(known, state=ReviewState.OPEN, opened_at=time, ready=ready)
        case approvals.VoteCast() as cast:
            return replace(known, seats=_with_vote(known.seats, cast))
        case approvals.VoterRecused(person=person):
            return replace(known, seats=_without(known.seats, person), recused=(*known.recused, person))
        case approvals.VoteMarked(seat=holder):
            return replace(
                known,
                seats=tuple(replace(each, marked=True) if each.holder == holder else each for each in known.seats),
            )
        case approvals.EvidenceChanged(ready=ready):
            return replace(known, seats=_silent(known.seats), ready=ready, asked_again=known.asked_again + 1)
        case approvals.QuestionAsked(number=number):
            return replace(known, questions=(*known.questions, number))
        case approvals.QuestionAnswered(number=number):
            return replace(known, questions=tuple(each for each in known.questions if each != number))
        case approvals.ReviewEscalated(to=None):
            waiting = replace(known, state=ReviewState.ESCALATED, closes_at=None)
            return replace(waiting, escalations=known.escalations + 1)
        case approvals.ReviewEscalated(to=Panel() as above, closes_at=closes_at):
            return replace(_before(known, above, closes_at), escalations=known.escalations + 1)
        case approvals.ReviewReferred(to=above, closes_at=closes_at):
            return _before(known, above, closes_at)
        case approvals.ReviewConcluded(outcome=outcome):
            return replace(known, state=ReviewState.CONCLUDED, outcome=outcome, ended_at=time)
        case approvals.ReviewWithdrawn():
            return replace(known, state=ReviewState.WITHDRAWN, ended_at=time)
        case _:
            return known


def _submitted(known: Review, submitted: approvals.ReviewSubmitted) -> Review:
    awaits = bool(submitted.awaits)
    return replace(
        known,
        state=ReviewState.SUBMITTED if awaits else ReviewState.OPEN,
        submitter=submitted.submitter,
        proposed=submitted.proposed,
        policy=submitted.policy.stream,
        policy_number=submitted.policy_number,
        value=submitted.value,
        body=submitted.body,
        quorum=submitted.quorum,
        seats=_seats(submitted.electorate),
        tied=tuple(dict.fromkeys(each.person for each in submitted.tied)),
        submitted_at=submitted.submitted_at,
        opened_at=None if awaits else submitted.submitted_at,
        closes_at=submitted.closes_at,
        ready=None if awaits else submitted.ready,
    )


def _before(known: Review, panel: Panel, closes_at: datetime | None) -> Review:
    """The review before another panel, which votes anew; whoever is recused stays so."""
    return replace(known, state=ReviewState.OPEN, body=panel.body, seats=_seats(panel.electorate), closes_at=closes_at)


def _seats(electorate: tuple[approvals.Elector, ...]) -> tuple[Seat, ...]:
    return tuple(Seat(each.person, tuple(other.person for other in each.alternates)) for each in electorate)


def _with_vote(seats: tuple[Seat, ...], cast: approvals.VoteCast) -> tuple[Seat, ...]:
    return tuple(
        replace(seat, spoken_by=cast.person, spoken_as=cast.authority, marked=False)
        if seat.holder == cast.seat
        else seat
        for seat in seats
    )


def _without(seats: tuple[Seat, ...], person: PersonId) -> tuple[Seat, ...]:
    """Neither a vote that the recused person cast counts, nor one that a delegate cast for them."""
    return tuple(
        _unspoken(seat)
        if seat.spoken_by == person or (seat.holder == person and seat.spoken_as is Authority.DELEGATE)
        else seat
        for seat in seats
    )


def _silent(seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    return tuple(_unspoken(seat) for seat in seats)


def _unspoken(seat: Seat) -> Seat:
    return replace(seat, spoken_by=None, spoken_as=None, marked=False)


REVIEWS: Final = ReadModel(
    name="reviews",
    service="approvals",
    version=2,
    row=Review,
    # Also those that only move a review's version on: whoever sends a command on it names the version they saw.
    events=(
        approvals.ReviewDrafted,
        approvals.ReviewSubmitted,
        approvals.MeasureNoted,
        approvals.ReviewOpened,
        approvals.EvidenceChanged,
        approvals.VoteCast,
        approvals.VoterRecused,
        approvals.VoteMarked,
        approvals.QuestionAsked,
        approvals.QuestionAnswered,
        approvals.ReviewReminded,
        approvals.ReviewConcluded,
        approvals.ReviewEscalated,
        approvals.ReviewReferred,
        approvals.ReviewWithdrawn,
        approvals.ConditionClosed,
        approvals.ConditionWaived,
        approvals.ConditionReminded,
        approvals.ConditionLapsed,
    ),
    evolve=evolve,
    indexes=(("project",), ("portfolio",)),
)

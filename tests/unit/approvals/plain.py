"""How a review goes, counted the plain way: names for people, and every way in which the votes still out could go; and
what a secretary has on paper of a gate meeting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

from tests.unit.approvals.people import BOARD, COUNCIL

from approvals.domain import delegation as delegations
from approvals.domain import meeting as meetings
from approvals.domain import review as reviews
from govevents import approvals as events
from govevents.approvals import (
    Attendance,
    AtTimeLimit,
    Choice,
    Condition,
    ConditionTerms,
    Disposition,
    Duty,
    OnLapse,
    Outcome,
    ReviewKind,
    Rule,
    Seen,
)
from govkernel.domain import Money, PersonId, Refusal, ReviewId, SubjectId

BODIES = {"board": BOARD, "council": COUNCIL}
APPROVALS = {Choice.APPROVE, Choice.APPROVE_WITH_CONDITIONS}
KEPT_OUT: Mapping[Duty, type[Refusal]] = {
    Duty.SUBMITTER: reviews.SubmitterMayNotVote,
    Duty.PROJECT_MANAGER: reviews.ProjectManagerMayNotVote,
    Duty.SPONSOR: reviews.SponsorMayNotVote,
}
Refusals = set[type[Refusal]]
Step = tuple[Any, ...]


@dataclass(frozen=True)
class Seat:
    """Whose seat it is, and who may speak for it while they don't."""

    holder: str
    alternates: tuple[str, ...] = ()
    veto: bool = False
    account: str | None = None

    def account_of(self, name: str) -> str:
        """With which account somebody speaks for it: the one of their name, but for a holder who has it by another."""
        return self.account if self.account is not None and name == self.holder else name


@dataclass(frozen=True)
class Sitting:
    """Who votes, as which body."""

    body: str
    seats: tuple[Seat, ...]


@dataclass(frozen=True)
class Terms:
    """How it is decided. `duration` is how long voters have, None without limit."""

    rule: Rule
    threshold: Fraction | None
    minimum: int
    share: Fraction
    proposed: Outcome
    failed: Outcome
    duration: timedelta | None
    at_limit: AtTimeLimit | None
    conditions: ConditionTerms | None
    value: Money | None = None
    kind: ReviewKind = ReviewKind.GATE


@dataclass
class Delegated:
    """Who lets whom speak for them; `here` says that the project lies in its scope."""

    by: str
    to: str
    here: bool
    kinds: tuple[ReviewKind, ...]
    limit: Decimal | None
    first_day: date
    last_day: date
    revoked: bool = False

    def against(self, account: str, terms: Terms, day: date) -> Refusals:
        """Why an account may not act under it."""
        found: Refusals = set()
        if self.revoked:
            found.add(delegations.DelegationWasRevoked)
        if account != self.to:
            found.add(delegations.NotTheDelegate)
        if day < self.first_day or day > self.last_day:
            found.add(delegations.DelegationNotInForce)
        if not self.here or (len(self.kinds) > 0 and terms.kind not in self.kinds):
            found.add(delegations.DelegationOutOfScope)
        if self.limit is not None:
            if terms.value is None or terms.value.currency != "AUD":
                found.add(delegations.DelegationLimitNotComparable)
            elif terms.value.amount > self.limit:
                found.add(delegations.DelegationLimitExceeded)
        return found


@dataclass(frozen=True)
class Said:
    """A vote as it was sent; `under` is the delegation and how often it had been written."""

    speaker: str
    account: str
    choice: Choice
    conditions: tuple[Condition, ...]
    seen: tuple[Any, ...]
    words: str
    under: tuple[str, int] | None
    seat: str | None = field(default=None, compare=False)


def step(event: object) -> Step | None:
    """What an event says of how a review goes on; None for the others."""
    match event:
        case events.ReviewConcluded(outcome=outcome, ending=ending):
            return "concluded", outcome, ending.value
        case events.ReviewEscalated(to=to):
            return "escalated", next((name for name, body in BODIES.items() if to and to.body == body), None)
        case events.ReviewWithdrawn():
            return ("withdrawn",)
        case _:
            return None


@cache
def result(rule: Rule, threshold: Fraction | None, electors: int, said: tuple[Choice, ...], vetoed: bool) -> str:
    """What votes come to by the rule."""
    for_it = len([choice for choice in said if choice in APPROVALS])
    against = len([choice for choice in said if choice in (Choice.REJECT, Choice.RETURN)])
    if for_it == 0 and against == 0:
        return "nothing"
    if vetoed:
        return "failed"
    if rule is Rule.MAJORITY:
        return "passed" if for_it > against else "failed"
    if rule is Rule.THRESHOLD:
        assert threshold is not None
        return "passed" if for_it >= threshold * electors else "failed"
    return "passed" if len(said) == electors and for_it >= 1 and against == 0 else "failed"


@cache
def completions(
    rule: Rule, threshold: Fraction | None, electors: int, said: tuple[Choice, ...], vetoed: bool
) -> frozenset[str]:
    """What a review could still come to: every choice of everyone who has not voted is tried."""
    out = electors - len(said)
    return frozenset(result(rule, threshold, electors, (*said, *more), vetoed) for more in product(Choice, repeat=out))


@dataclass
class PlainReview:
    """A review from its submission on. What is done to it returns the steps that must follow.

    `excluded` and `tied` are by name what people are to the project; `above` decides where `first` can't.
    """

    terms: Terms
    first: Sitting
    above: Sitting | None
    excluded: Mapping[str, set[Duty]]
    tied: set[str]
    submitted_at: datetime
    awaits: list[str] = field(default_factory=list)
    deciding: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    state: str = "submitted"
    put_by: str = "submission"
    votes: dict[str, Said] = field(default_factory=dict)
    set_aside: list[Said] = field(default_factory=list)
    recused: set[str] = field(default_factory=set)
    marked: set[tuple[str, str]] = field(default_factory=set)
    questions: list[list[str | None]] = field(default_factory=list)
    conditions: tuple[Condition, ...] = ()
    ended: dict[int, str] = field(default_factory=dict)
    lapsed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sitting = self.first
        self.closes_at = self.submitted_at + self.terms.duration if self.terms.duration else None

    def submit(self) -> list[Step]:
        """What follows from the submission itself."""
        return [] if self.awaits else self.open(self.submitted_at)

    def open(self, now: datetime) -> list[Step]:
        """Take votes from now on, unless a criterion has decided."""
        self.state = "open"
        if self.missed & self.deciding and self.terms.proposed is Outcome.GO:
            return [self.conclude("failed", "criterion", now)]
        return self.settle(now)

    def seats(self) -> list[Seat]:
        """The electorate less the recused."""
        return [seat for seat in self.sitting.seats if not {seat.holder, *seat.alternates} <= self.recused]

    def needed(self) -> int:
        """How many votes are needed now."""
        share = self.terms.share * len(self.seats())
        rounded_up = share.numerator // share.denominator + (1 if share.numerator % share.denominator else 0)
        return max(self.terms.minimum, rounded_up)

    def veto_holders(self) -> set[str]:
        """Whose reject fails it: a holder who keeps out has no veto."""
        return {seat.holder for seat in self.sitting.seats if seat.veto and seat.holder not in self.recused}

    def heard(self) -> bool:
        """Whether as many as needed, and all who have a veto, have spoken."""
        return len(self.votes) >= self.needed() and all(holder in self.votes for holder in self.veto_holders())

    def vetoed(self) -> bool:
        """Whether a veto stands."""
        return any(self.votes[name].choice is Choice.REJECT for name in self.veto_holders() if name in self.votes)

    def counted(self) -> tuple[Rule, Fraction | None, int, tuple[Choice, ...], bool]:
        """What the result comes from."""
        said = tuple(sorted((vote.choice for vote in self.votes.values()), key=list(Choice).index))
        return self.terms.rule, self.terms.threshold, len(self.seats()), said, self.vetoed()

    def settle(self, now: datetime) -> list[Step]:
        """End it if no vote still out could change what it comes to, or if nobody is there to decide."""
        if len(self.seats()) == 0 or len(self.seats()) < self.needed():
            return self.escalate(now)
        if not self.heard():
            return []
        possible = completions(*self.counted())
        if len(possible) > 1:
            return []
        (only,) = possible
        return self.escalate(now) if only == "nothing" else [self.conclude(only, "decided", now)]

    def conclude(self, result: str, ending: str, now: datetime) -> Step:
        """Give it its outcome."""
        self.state = "concluded"
        if result == "failed":
            return "concluded", self.terms.failed, ending
        asked: list[Condition] = []
        for vote in self.votes.values():
            asked.extend(condition for condition in vote.conditions if condition not in asked)
        self.conditions = tuple(
            replace(each, reminders=tuple(moment for moment in each.reminders if moment > now)) for each in asked
        )
        return "concluded", Outcome.CONDITIONAL_GO if asked else self.terms.proposed, ending

    def escalate(self, now: datetime) -> list[Step]:
        """Put it before those above, from the first who were asked; else let it wait."""
        if self.above is None or self.put_by != "submission" or self.above == self.first:
            self.state = "escalated"
            return [("escalated", None)]
        self.sit(self.above, now, "escalation")
        return [("escalated", self.above.body), *self.settle(now)]

    def sit(self, sitting: Sitting, now: datetime, put_by: str) -> None:
        """Let others vote anew, for as long as the first had."""
        self.state = "open"
        self.put_by = put_by
        self.set_aside.extend(self.votes.values())
        self.sitting = sitting
        self.votes = {}
        self.closes_at = now + self.terms.duration if self.terms.duration else None

    def time_is_over(self, now: datetime) -> list[Step]:
        """What the time limit makes of it."""
        if self.state not in ("submitted", "open") or self.closes_at is None or now < self.closes_at:
            return []
        if self.state == "submitted":
            return [*self.open(now), *self.time_is_over(now)]
        came_to = result(*self.counted()) if self.heard() else "nothing"
        if came_to == "passed" or (came_to == "failed" and self.terms.rule is Rule.MAJORITY):
            return [self.conclude(came_to, "time_limit", now)]
        if self.terms.at_limit is AtTimeLimit.LAPSE:
            self.state = "withdrawn"
            return [("withdrawn",)]
        return self.escalate(now)

    def against_speaking(
        self, speaker: str, account: str, under: Delegated | None, day: date
    ) -> tuple[Seat | None, Refusals]:
        """For which seat somebody would speak, and why they may not."""
        against = {KEPT_OUT[duty] for duty in self.excluded.get(speaker, ())}
        if speaker in self.recused:
            against.add(reviews.VoterIsRecused)
        held = [seat for seat in self.sitting.seats if seat.holder == speaker]
        if under is not None:
            against |= under.against(account, self.terms, day)
            delegators = [seat for seat in self.sitting.seats if seat.holder == under.by]
            if not delegators or under.by in self.recused or under.by in self.excluded:
                against.add(reviews.DelegatorMayNotVote)
            if speaker in self.tied:
                against.add(reviews.DecidesForOwnBenefit)
            if held:
                against.add(reviews.OneVoiceOnly)
            return (delegators[0] if delegators else None), against
        found = held or [seat for seat in self.sitting.seats if speaker in seat.alternates]
        if not found:
            return None, against | {reviews.NotAnElector}
        if account != found[0].account_of(speaker):
            against.add(reviews.SecondAccount)
        return found[0], against

    def against_vote(
        self, said: Said, under: Delegated | None, basis: object, now: datetime
    ) -> tuple[Seat | None, Refusals]:
        """For which seat a vote would be, and every reason against it."""
        if self.state != "open" or (self.closes_at is not None and now >= self.closes_at):
            return None, {reviews.ReviewNotOpen}
        seat, against = self.against_speaking(said.speaker, said.account, under, now.date())
        if seat is not None:
            spoken_for = [held for held, vote in self.votes.items() if vote.speaker == said.speaker]
            if any(held != seat.holder for held in spoken_for):
                against.add(reviews.OneVoiceOnly)
            before = self.votes.get(seat.holder)
            if before is not None and said.speaker not in (before.speaker, seat.holder):
                against.add(reviews.SeatHasVoted)
        if said.words == "":
            against.add(reviews.ReasonMissing)
        if basis not in said.seen:
            against.add(reviews.SeenIncomplete)
        return seat, against | self._against_conditions(said, seat, now.date())

    def _against_conditions(self, said: Said, seat: Seat | None, day: date) -> Refusals:
        against: Refusals = set()
        if (said.choice is Choice.APPROVE_WITH_CONDITIONS) != (len(said.conditions) > 0):
            against.add(reviews.ConditionsDoNotFitChoice)
        if not said.conditions:
            return against
        if self.terms.proposed is not Outcome.GO:
            against.add(reviews.ConditionsDoNotFitProposal)
        allowed = self.terms.conditions
        if allowed is None:
            return against | {reviews.ConditionsNotAllowed}
        others = [vote.conditions for held, vote in self.votes.items() if seat is None or held != seat.holder]
        together = {condition for conditions in [*others, said.conditions] for condition in conditions}
        if allowed.most is not None and len(together) > allowed.most:
            against.add(reviews.TooManyConditions)
        for condition in said.conditions:
            ahead_days = (condition.due - day).days
            if ahead_days < 0 or (allowed.longest_days is not None and ahead_days > allowed.longest_days):
                against.add(reviews.ConditionDueOutOfRange)
            to_nobody = condition.on_lapse is OnLapse.ESCALATION and self.above is None
            if condition.on_lapse not in allowed.lapses or to_nobody:
                against.add(reviews.LapseNotAllowed)
        return against

    def vote(self, said: Said, seat: Seat, now: datetime) -> list[Step]:
        """Take a vote, the newest last."""
        self.votes.pop(seat.holder, None)
        self.votes[seat.holder] = replace(said, seat=seat.holder)
        return self.settle(now)

    def is_over(self, now: datetime) -> bool:
        """Whether the voters' time is over, whether or not somebody has said so."""
        return self.closes_at is not None and now >= self.closes_at

    def recuse(self, name: str, now: datetime) -> list[Step]:
        """Keep somebody out: what they said counts no longer, nor what was said for them by delegation."""
        self.recused.add(name)
        self.set_aside = [
            vote
            for vote in self.set_aside
            if vote.speaker != name and not (vote.under is not None and vote.seat == name)
        ]
        for held, vote in list(self.votes.items()):
            if vote.speaker == name or (held == name and vote.under is not None):
                del self.votes[held]
        return self.settle(now)

    def under(self, delegation: str) -> Sequence[str]:
        """The seats whose votes stand under a delegation, and are not marked."""
        return [
            held
            for held, vote in self.votes.items()
            if vote.under is not None and vote.under[0] == delegation and (held, delegation) not in self.marked
        ]


@dataclass
class PlainMeeting:
    """A meeting as its secretary has it on paper, lengths in minutes. What is done to it returns what it is refused
    with; None where it is done, or was before."""

    length: int = 60
    revision: int = 0
    phase: str = "scheduled"
    agenda: list[tuple[ReviewId, int]] = field(default_factory=list)
    attendance: dict[PersonId, tuple[SubjectId, Attendance]] = field(default_factory=dict)
    minutes: list[tuple[ReviewId | None, str, int | None]] = field(default_factory=list)
    dispositions: dict[ReviewId, tuple[Disposition, str, Seen | None]] = field(default_factory=dict)

    def not_ahead(self) -> type[Refusal] | None:
        """What somebody hears who would move a meeting that isn't ahead any more."""
        return {
            "scheduled": None,
            "session": meetings.MeetingAlreadyOpened,
            "closed": meetings.MeetingIsClosed,
            "cancelled": meetings.MeetingIsCancelled,
        }[self.phase]

    def not_under_way(self) -> type[Refusal] | None:
        """What somebody hears who would minute something while the meeting is not under way."""
        return {
            "scheduled": meetings.MeetingNotOpened,
            "session": None,
            "closed": meetings.MeetingIsClosed,
            "cancelled": meetings.MeetingIsCancelled,
        }[self.phase]

    def set_agenda(self, items: list[tuple[ReviewId, int]]) -> type[Refusal] | None:
        """Look at these reviews, for so long each."""
        named = [review for review, _ in items]
        treated = self.dispositions.keys() | {review for review, _, _ in self.minutes}
        if not items:
            return meetings.AgendaMissing
        if items == self.agenda:
            return None
        if len(set(named)) < len(named):
            return meetings.ReviewListedTwice
        if self.phase in ("closed", "cancelled"):
            return self.not_under_way()
        if any(review in treated and review not in named for review, _ in self.agenda):
            return meetings.ItemAlreadyTreated
        if sum(minutes for _, minutes in items) > self.length:
            return meetings.AgendaTooLong
        self.agenda = items
        return None

    def move(self, length: int) -> type[Refusal] | None:
        """Let it take place elsewhere, for so long."""
        if self.phase != "scheduled":
            return self.not_ahead()
        if sum(minutes for _, minutes in self.agenda) > length:
            return meetings.AgendaTooLong
        self.length = length
        self.revision += 1
        return None

    def open(self) -> type[Refusal] | None:
        """Begin."""
        if self.phase == "cancelled":
            return meetings.MeetingIsCancelled
        if not self.agenda:
            return meetings.AgendaMissing
        if self.phase == "scheduled":
            self.phase = "session"
        return None

    def attend(self, who: PersonId, account: SubjectId, how: Attendance) -> type[Refusal] | None:
        """Write down whether a natural person takes part."""
        if self.phase == "closed" and self.attendance.get(who) == (account, how):
            return None
        if self.phase == "session":
            self.attendance[who] = (account, how)
        return self.not_under_way()

    def present(self) -> set[PersonId]:
        """Who takes part."""
        taking_part = (Attendance.PRESENT, Attendance.REMOTE)
        return {who for who, (_, how) in self.attendance.items() if how in taking_part}

    def minute(self, review: ReviewId | None, text: str, corrects: int | None) -> type[Refusal] | None:
        """Write down what was said."""
        struck = {number for _, _, number in self.minutes}
        standing = [each for number, each in enumerate(self.minutes, start=1) if number not in struck]
        if self.phase in ("session", "closed") and (review, text, corrects) in standing:
            return None
        if self.phase != "session":
            return self.not_under_way()
        if review is not None and review not in dict(self.agenda):
            return meetings.ItemNotOnAgenda
        if corrects is not None and not 1 <= corrects <= len(self.minutes):
            return meetings.MinuteNotKnown
        if corrects is not None and corrects in [number for _, _, number in self.minutes]:
            return meetings.MinuteAlreadyCorrected
        self.minutes.append((review, text, corrects))
        return None

    def dispose(
        self, review: ReviewId, standing: str, conclusion: Seen | None, disposition: Disposition, remark: str
    ) -> type[Refusal] | None:
        """Write down what became of a review that stands so."""
        disposed = disposition, remark, conclusion if disposition is Disposition.DECIDED else None
        if self.phase in ("session", "closed") and self.dispositions.get(review) == disposed:
            return None
        if self.phase != "session":
            return self.not_under_way()
        if review not in dict(self.agenda):
            return meetings.ItemNotOnAgenda
        if disposition is Disposition.DECIDED and standing != "concluded":
            return reviews.ReviewNotConcluded
        if disposition is not Disposition.DECIDED and standing == "concluded":
            return meetings.ItemAlreadyDecided
        if disposition is Disposition.LEFT_TO_VOTE and standing not in ("submitted", "open"):
            return reviews.ReviewNotOpen
        self.dispositions[review] = disposed
        return None

    def close(self) -> type[Refusal] | None:
        """End it."""
        if self.phase in ("scheduled", "cancelled"):
            return self.not_under_way()
        if any(review not in self.dispositions for review, _ in self.agenda):
            return meetings.ItemsNotDisposed
        if not self.minutes:
            return meetings.NothingMinuted
        self.phase = "closed"
        return None

    def cancel(self) -> type[Refusal] | None:
        """Call it off."""
        if self.phase in ("session", "closed"):
            return self.not_ahead()
        self.phase = "cancelled"
        return None


def on_paper(state: meetings.Meeting) -> PlainMeeting:
    """What a meeting's state would be on paper."""
    assert not isinstance(state, meetings.NotScheduled)
    plan = state.plan
    paper = PlainMeeting(
        length=(plan.ends_at - plan.starts_at) // timedelta(minutes=1),
        revision=plan.revision,
        phase="session" if isinstance(state, meetings.InSession) else type(state).__name__.lower(),
        agenda=[(item.review, item.minutes) for item in plan.agenda],
    )
    if isinstance(state, meetings.InSession | meetings.Closed):
        held = state.proceedings
        assert [minute.number for minute in held.minutes] == list(range(1, len(held.minutes) + 1))
        paper.attendance = {who: (each.attendee, each.attendance) for who, each in held.attendance.items()}
        paper.minutes = [(minute.review, minute.text, minute.corrects) for minute in held.minutes]
        paper.dispositions = {
            review: (each.disposition, each.remark, each.decision) for review, each in held.dispositions.items()
        }
        assert meetings.present(held) == paper.present()
    return paper

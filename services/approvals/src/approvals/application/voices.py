"""Who of those at a meeting may still vote in a review, for which seat, and by what authority."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from approvals.domain.delegation import NotGranted
from approvals.domain.review import Acting, Ballot, CastVote, Open, Review, decide, seats
from govevents.approvals import Authority, Choice, Elector, Seen, VoteCast
from govkernel.domain import PersonId, Refusal, SubjectId

TRIED: Final = Seen("tried", 0, "0" * 64)
"""What a vote that is only tried says to have seen."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A vote that could be cast now: with which account, for whose seat, by what authority, under which delegation."""

    voter: SubjectId
    person: PersonId
    seat: PersonId
    authority: Authority
    delegation: UUID | None


def silent_seats(ballot: Ballot) -> tuple[Elector, ...]:
    """The seats that count and have not spoken."""
    return tuple(seat for seat in seats(ballot) if seat.person not in ballot.votes)


def voices(
    review: Review, present: Collection[PersonId], delegations: Iterable[Acting], *, today: date, at: datetime
) -> tuple[Voice, ...]:
    """Every vote for a silent seat that somebody present could cast, none where the review takes no votes.

    `delegations` are those to people present, `today` is the day where the portfolio is. The review's own decider is
    asked of each, so that what is said here is what it would take.
    """
    if not isinstance(review, Open):
        return ()
    found: dict[Voice, None] = {}
    for voter, person, acting in _candidates(review.ballot, delegations):
        if person in present and (voice := _tried(review, voter, person, acting, today, at)) is not None:
            found[voice] = None
    return tuple(found)


def most_at_once(found: Sequence[Voice]) -> int:
    """For how many seats votes could be cast together, one for each natural person: a largest matching (Kuhn)."""
    people: dict[PersonId, list[PersonId]] = {}
    for voice in found:
        people.setdefault(voice.seat, []).append(voice.person)
    speaks_for: dict[PersonId, PersonId] = {}

    def speaker_for(seat: PersonId, asked: set[PersonId]) -> bool:
        for person in people[seat]:
            if person in asked:
                continue
            asked.add(person)
            if person not in speaks_for or speaker_for(speaks_for[person], asked):
                speaks_for[person] = seat
                return True
        return False

    return sum(speaker_for(seat, set()) for seat in people)


def _candidates(ballot: Ballot, delegations: Iterable[Acting]) -> Iterable[tuple[SubjectId, PersonId, Acting | None]]:
    for seat in ballot.panel.electorate:
        yield seat.subject, seat.person, None
        for alternate in seat.alternates:
            yield alternate.subject, alternate.person, None
    for acting in delegations:
        if not isinstance(acting.delegation, NotGranted):
            granted = acting.delegation.granted
            yield granted.delegate, granted.delegate_person, acting


def _tried(
    review: Open, voter: SubjectId, person: PersonId, acting: Acting | None, today: date, at: datetime
) -> Voice | None:
    trying = CastVote(voter, person, acting, Choice.ABSTAIN, (), TRIED, (TRIED,), "tried", today, at)
    try:
        cast = decide(trying, review)[0]
    except Refusal:
        return None
    assert isinstance(cast, VoteCast)
    if cast.seat in review.ballot.votes:
        return None  # The seat has spoken; a holder may say something else, but that is no new voice.
    return Voice(voter, person, cast.seat, cast.authority, UUID(acting.seen.stream) if acting else None)

"""A body that decides: who sits on it, for which term, who has the chair, and who are whose alternates.

An alternate sits by their member's seat and leaves with it, as an alternate director does (Model Articles for public
companies, Companies (Model Articles) Regulations 2008, schedule 3, article 27).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import BodyFormed, MemberAppointed, MemberReleased
from govkernel.domain import (
    Aggregate,
    Link,
    Name,
    NotKnownYet,
    PersonId,
    PortfolioId,
    Refusal,
    SubjectId,
    Text,
    differences,
)

BODY_OF: Final = "body_of"
"""The link from a portfolio to its bodies."""


@dataclass(frozen=True, slots=True)
class Unformed:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Formed:
    """The body exists; `seats` are the terms of members and alternates, and `released` who sits on it no longer."""

    formed: BodyFormed
    seats: tuple[MemberAppointed, ...]
    released: frozenset[SubjectId]


Body: TypeAlias = Unformed | Formed


@dataclass(frozen=True, slots=True)
class FormBody:
    """Form a body for a portfolio."""

    portfolio: PortfolioId
    name: Name


@dataclass(frozen=True, slots=True)
class AppointMember:
    """Give a person a seat from the first day to the last, both included; `last_day` None is until released.

    `alternate_for` is the member whose seat an alternate takes when that member does not; None for a member.
    """

    member: SubjectId
    person: PersonId
    chair: bool
    alternate_for: SubjectId | None
    first_day: date
    last_day: date | None


@dataclass(frozen=True, slots=True)
class ReleaseMember:
    """Take the seats of a member or an alternate back, at once, and with a member's those of their alternates."""

    member: SubjectId
    reason: Text


Command: TypeAlias = FormBody | AppointMember | ReleaseMember
Event: TypeAlias = BodyFormed | MemberAppointed | MemberReleased


class BodyNotKnown(NotKnownYet):
    """No body is known under this id."""


class BodyAlreadyFormed(Refusal):
    """The body exists already, with other particulars."""


class TermEndsBeforeItBegins(Refusal):
    """The last day of a term lies before its first."""


class PersonAlreadySits(Refusal):
    """The person has a seat on this body during that term, and one natural person has one seat."""


class ChairTaken(Refusal):
    """Someone else has the chair of this body during that term."""


class AlternateMayNotChair(Refusal):
    """An alternate takes a member's seat, and never the chair."""


class MemberNotSeatedThroughout(Refusal):
    """The member does not sit during the whole term of the alternate; end that term with theirs, or prolong theirs."""


class NotAMember(Refusal):
    """The account has never had a seat on this body."""


def decide(command: Command, body: Body) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above."""
    match command:
        case FormBody(portfolio=portfolio, name=name):
            formed = BodyFormed(portfolio, name)
            match body:
                case Unformed():
                    return (formed,)
                case Formed(formed=before) if before == formed:
                    return ()
                case Formed(formed=before):
                    raise BodyAlreadyFormed(**differences(before, formed))
                case _:
                    assert_never(body)
        case AppointMember():
            match body:
                case Unformed():
                    raise BodyNotKnown
                case Formed():
                    return _appoint(command, body)
                case _:
                    assert_never(body)
        case ReleaseMember(member=member, reason=reason):
            match body:
                case Unformed():
                    raise BodyNotKnown
                case Formed(seats=seats) if any(seat.member == member for seat in seats):
                    return (MemberReleased(member, reason),)
                case Formed(released=released) if member in released:
                    return ()
                case Formed():
                    raise NotAMember(member=str(member))
                case _:
                    assert_never(body)
        case _:
            assert_never(command)


def _appoint(command: AppointMember, body: Formed) -> tuple[Event, ...]:
    check_term(command.first_day, command.last_day)
    appointed = MemberAppointed(
        member=command.member,
        person=command.person,
        chair=command.chair,
        alternate_for=command.alternate_for,
        first_day=command.first_day,
        last_day=command.last_day,
    )
    if appointed in body.seats:
        return ()
    if command.alternate_for is not None:
        if command.chair:
            raise AlternateMayNotChair(alternate_for=str(command.alternate_for))
        _check_sits_throughout(command.alternate_for, appointed, body)
    for seat in body.seats:
        if not _overlap(seat, appointed):
            continue
        term = {"first_day": str(seat.first_day), "last_day": str(seat.last_day or "open")}
        if appointed.person == seat.person or appointed.member == seat.member:
            raise PersonAlreadySits(member=str(seat.member), **term)
        if appointed.chair and seat.chair:
            raise ChairTaken(chair=str(seat.member), **term)
    return (appointed,)


def _check_sits_throughout(member: SubjectId, alternate: MemberAppointed, body: Formed) -> None:
    not_yet_covered = alternate.first_day
    own = (seat for seat in body.seats if seat.member == member and seat.alternate_for is None)
    for seat in sorted(own, key=lambda seat: seat.first_day):
        if seat.first_day <= not_yet_covered <= _end(seat):
            if _end(seat) >= _end(alternate):
                return
            not_yet_covered = _end(seat) + timedelta(days=1)
    raise MemberNotSeatedThroughout(
        member=str(member), first_day=str(alternate.first_day), last_day=str(alternate.last_day or "open")
    )


def _end(seat: MemberAppointed) -> date:
    return seat.last_day or date.max


def _overlap(one: MemberAppointed, other: MemberAppointed) -> bool:
    return one.first_day <= _end(other) and other.first_day <= _end(one)


def check_term(first_day: date, last_day: date | None) -> None:
    """Raise TermEndsBeforeItBegins unless the term has at least one day."""
    if last_day is not None and last_day < first_day:
        raise TermEndsBeforeItBegins(first_day=str(first_day), last_day=str(last_day))


def evolve(body: Body, event: Event) -> Body:
    """The body after an event."""
    match event:
        case BodyFormed():
            return Formed(event, (), frozenset())
        case MemberAppointed(member=member):
            assert isinstance(body, Formed)
            return replace(body, seats=(*body.seats, event), released=body.released - {member})
        case MemberReleased(member=member):
            assert isinstance(body, Formed)
            left = {seat for seat in body.seats if member in (seat.member, seat.alternate_for)}
            remaining = tuple(seat for seat in body.seats if seat not in left)
            return replace(body, seats=remaining, released=body.released | {seat.member for seat in left})
        case _:
            assert_never(event)


def seated(body: Body, day: date) -> tuple[MemberAppointed, ...]:
    """The members who sit on the body on a day, the chair first, the others in the order of their ids."""
    members = [seat for seat in _sitting(body, day) if seat.alternate_for is None]
    return tuple(sorted(members, key=lambda seat: (not seat.chair, seat.member)))


def alternates_of(body: Body, member: SubjectId, day: date) -> tuple[MemberAppointed, ...]:
    """Who may take a member's seat on a day, in the order of their appointment."""
    return tuple(seat for seat in _sitting(body, day) if seat.alternate_for == member)


def _sitting(body: Body, day: date) -> Iterator[MemberAppointed]:
    match body:
        case Unformed():
            return
        case Formed(seats=seats):
            yield from (seat for seat in seats if seat.first_day <= day <= _end(seat))
        case _:
            assert_never(body)


def _links(body: Body) -> frozenset[Link]:
    match body:
        case Unformed():
            return frozenset()
        case Formed(formed=formed):
            return frozenset({Link(BODY_OF, formed.portfolio)})
        case _:
            assert_never(body)


BODY: Final[Aggregate[Body, Command, Event]] = Aggregate(
    "body", Unformed(), decide, evolve, links=_links, relied_on=True
)


def stream_of(portfolio: PortfolioId, name: Name) -> UUID:
    """The body's id: a portfolio has one body of a name."""
    return uuid5(portfolio, f"body/{name}")

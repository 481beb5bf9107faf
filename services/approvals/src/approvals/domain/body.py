"""A body that decides: who sits on it, for which term, and who has the chair."""

from dataclasses import dataclass, replace
from datetime import date
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
    """The body exists; `seats` are the terms of its members, and `released` who sits on it no longer."""

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
    """Give a person a seat from the first day to the last, both included; `last_day` None is until released."""

    member: SubjectId
    person: PersonId
    chair: bool
    first_day: date
    last_day: date | None


@dataclass(frozen=True, slots=True)
class ReleaseMember:
    """Take a member's seats back, at once."""

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
    appointed = MemberAppointed(command.member, command.person, command.chair, command.first_day, command.last_day)
    if appointed in body.seats:
        return ()
    for seat in body.seats:
        if not _overlap(seat, appointed):
            continue
        term = {"first_day": str(seat.first_day), "last_day": str(seat.last_day or "open")}
        if appointed.person == seat.person or appointed.member == seat.member:
            raise PersonAlreadySits(member=str(seat.member), **term)
        if appointed.chair and seat.chair:
            raise ChairTaken(chair=str(seat.member), **term)
    return (appointed,)


def _overlap(one: MemberAppointed, other: MemberAppointed) -> bool:
    return one.first_day <= (other.last_day or date.max) and other.first_day <= (one.last_day or date.max)


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
            remaining = tuple(seat for seat in body.seats if seat.member != member)
            return replace(body, seats=remaining, released=body.released | {member})
        case _:
            assert_never(event)


def seated(body: Body, day: date) -> tuple[MemberAppointed, ...]:
    """Who sits on the body on a day, the chair first, the others in the order of their ids."""
    match body:
        case Unformed():
            return ()
        case Formed(seats=seats):
            sitting = [seat for seat in seats if seat.first_day <= day <= (seat.last_day or date.max)]
            return tuple(sorted(sitting, key=lambda seat: (not seat.chair, seat.member)))
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

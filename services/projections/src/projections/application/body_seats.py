"""Who sits on which body, and when."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from govevents.approvals import MemberAppointed, MemberReleased
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, SubjectId
from govkernel.readmodels import ReadModel


@value
class BodySeat:
    """A member's or alternate's term on a body, from the first day to the last, both included."""

    body: BodyId
    member: SubjectId
    alternate_for: SubjectId | None
    first_day: date
    last_day: date | None


def evolve(rows: Mapping[str, BodySeat], recorded: Recorded[Any]) -> Mapping[str, BodySeat]:
    """One stream is one body, with a row for each term; whoever is released takes their alternates along."""
    match recorded.event:
        case MemberAppointed() as appointed:
            seat = BodySeat(
                body=BodyId(recorded.envelope.stream),
                member=appointed.member,
                alternate_for=appointed.alternate_for,
                first_day=appointed.first_day,
                last_day=appointed.last_day,
            )
            return {**rows, f"{appointed.member}/{appointed.first_day}": seat}
        case MemberReleased(member=member):
            return {key: each for key, each in rows.items() if member not in (each.member, each.alternate_for)}
        case _:
            return rows


BODY_SEATS: Final = ReadModel(
    name="body_seats",
    service="approvals",
    version=1,
    row=BodySeat,
    events=(MemberAppointed, MemberReleased),
    evolve=evolve,
    indexes=(("member",), ("body",)),
)

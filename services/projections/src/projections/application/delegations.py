"""The delegations that hold: who lets whom speak for their seats, where, on what, up to which value, and when."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from govevents.approvals import DelegationGranted, DelegationRevoked, ReviewKind
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import Money, NodeId, PersonId, SubjectId
from govkernel.readmodels import ReadModel


@value
class Delegation:
    """A person speaks for another's seats at a node and all below it, from the first day to the last, both included.

    `kinds` empty covers every kind of review; `limit` is the highest value that it covers, None is any.
    """

    delegator: SubjectId
    delegator_person: PersonId
    delegate: SubjectId
    delegate_person: PersonId
    node: NodeId
    kinds: tuple[ReviewKind, ...]
    limit: Money | None
    first_day: date
    last_day: date


def evolve(rows: Mapping[str, Delegation], recorded: Recorded[Any]) -> Mapping[str, Delegation]:
    """One stream is one delegation, which is gone once it is revoked."""
    match recorded.event:
        case DelegationGranted() as granted:
            row = Delegation(
                delegator=granted.delegator,
                delegator_person=granted.delegator_person,
                delegate=granted.delegate,
                delegate_person=granted.delegate_person,
                node=granted.node,
                kinds=granted.kinds,
                limit=granted.limit,
                first_day=granted.first_day,
                last_day=granted.last_day,
            )
            return {str(recorded.envelope.stream): row}
        case DelegationRevoked():
            return {}
        case _:
            return rows


DELEGATIONS: Final = ReadModel(
    name="delegations",
    service="approvals",
    version=1,
    row=Delegation,
    events=(DelegationGranted, DelegationRevoked),
    evolve=evolve,
    indexes=(("delegate",),),
)

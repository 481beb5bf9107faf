"""The API of approvals itself, and what many of its routes ask before they answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from approvals.adapters import queries
from approvals.adapters.queries import Entry, ProjectFacts
from approvals.application.electorate import (
    PersonNotKnown,
)
from approvals.domain import body as bodies
from approvals.domain.body import (
    BODY,
    BodyNotKnown,
)
from approvals.domain.delegation import NotTheDelegate
from approvals.domain.review import (
    DecidesForOwnBenefit,
    DelegatorMayNotVote,
    NotAnElector,
    OneVoiceOnly,
    ProjectManagerMayNotVote,
    SecondAccount,
    SponsorMayNotVote,
    SubmitterMayNotVote,
    TiedMayNotRecuse,
    VoterIsRecused,
)
from govevents.document import Origin
from govkernel.domain import (
    BodyId,
    NodeId,
    NotKnownYet,
    PersonId,
    PortfolioId,
    ProjectId,
    Refusal,
    SubjectId,
)
from govkernel.http import Ask, Call, InputError, ServiceApi, invalid
from govkernel.ledger import Head, Intent
from govkernel.logging import logger
from govkernel.tables import events

AnyIntent: TypeAlias = Intent[Any, Any, Any]


READ: Final = "node.read"


log = logger(__name__)


class PortfolioNotKnown(NotKnownYet):
    """No portfolio is known under this id; one that was just registered may not have arrived here yet."""


class ProjectNotKnown(NotKnownYet):
    """No project is known under this id; one that was just registered may not have arrived here yet."""


class NodeNotKnown(NotKnownYet):
    """No node of a portfolio is known under this id; one that was just registered may not have arrived here yet."""


class NotImportable(Refusal):
    """Nobody asks, votes or delegates in the past; a decision made elsewhere is recorded with POST /decisions."""


api = ServiceApi(
    "approvals",
    title="Gatehouse: approvals",
    refusals={
        PersonNotKnown: 409,
        SubmitterMayNotVote: 403,
        ProjectManagerMayNotVote: 403,
        SponsorMayNotVote: 403,
        NotAnElector: 403,
        SecondAccount: 403,
        TiedMayNotRecuse: 403,
        VoterIsRecused: 403,
        OneVoiceOnly: 403,
        NotTheDelegate: 403,
        DelegatorMayNotVote: 403,
        DecidesForOwnBenefit: 403,
    },
)


async def may(call: Call[Any], action: str, node: NodeId) -> None:
    """Ask for the right before anything is said that only those who have it may know."""
    await call.runtime.require(call.caller, node, call.context.now, action)


def check_happens_now(call: Call[Any]) -> None:
    """Raise NotImportable where the caller speaks of the past."""
    if call.origin is Origin.IMPORTED:
        raise NotImportable


async def check_portfolio(call: Call[Any], action: str, portfolio: PortfolioId) -> None:
    """Raise what `may` does, or PortfolioNotKnown."""
    await may(call, action, NodeId(portfolio))
    if not await queries.is_portfolio(call.runtime.engine, portfolio):
        raise PortfolioNotKnown(portfolio=str(portfolio))


async def head_of_body(call: Call[Any], portfolio: PortfolioId, body: BodyId) -> Head:
    """The head of a body of this portfolio, to rely on. Raises BodyNotKnown."""
    loaded = await call.ledger.load(BODY, body)
    if not isinstance(loaded.state, bodies.Formed) or loaded.state.formed.portfolio != portfolio:
        raise BodyNotKnown("The portfolio has no such body; form it with POST /bodies.", body=str(body))
    return loaded.head


async def facts_of(call: Call[Any], project: ProjectId) -> ProjectFacts:
    """What is known here of a project. Raises ProjectNotKnown."""
    facts = await queries.project_facts(call.runtime.engine, NodeId(project))
    if facts is None:
        raise ProjectNotKnown(project=str(project))
    return facts


async def person_of(call: Call[Any], subject: SubjectId) -> PersonId:
    """Whose account it is. Raises PersonNotKnown."""
    return (await check_accounts(call, [subject]))[subject]


async def check_accounts(call: Call[Any], subjects: Iterable[SubjectId]) -> dict[SubjectId, PersonId]:
    """Whose accounts these are. Raises PersonNotKnown for the first that is not in the directory."""
    wanted = tuple(subjects)
    persons = await persons_of(call, wanted)
    for subject in wanted:
        if subject not in persons:
            raise PersonNotKnown(subject)
    return persons


async def persons_of(call: Call[Any], subjects: Iterable[SubjectId | None]) -> dict[SubjectId, PersonId]:
    """Whose accounts these are; who is not in the directory is missing."""
    wanted = [subject for subject in subjects if subject is not None]
    found = await queries.entries(call.runtime.engine, wanted)
    return {subject: entry.person for subject, entry in found.items()}


def each_once(heads: Iterable[Head]) -> tuple[Head, ...]:
    """The heads, one for each stream."""
    return tuple({head.stream: head for head in heads}.values())


async def linked(ask: Ask, kind: str, target: UUID) -> Sequence[Any]:
    """A page of the streams that have this link, in the order in which they began."""
    query = ask.keyset(queries.linked(kind, target), events.c.seq)
    async with ask.connection() as connection:
        rows: Sequence[Any] = (await connection.execute(query)).all()
    return rows


def name_in(known: Mapping[SubjectId, Entry], subject: SubjectId) -> str | None:
    """What an account's person is called, None where nobody knows, or nobody is to know any more."""
    entry = known.get(subject)
    return entry.name if entry else None


def body_fault(pointer: str, value: object, detail: str, remedy: str) -> Exception:
    """A 422 that names a field of the body, its value and the remedy."""
    return invalid([InputError(pointer=pointer, detail=detail, value=str(value), remedy=remedy)])


def parameter_fault(parameter: str, value: str, remedy: str) -> Exception:
    """A 422 that names a parameter, its value and the remedy."""
    return invalid([InputError(parameter=parameter, detail="can't be decided on", value=value[:80], remedy=remedy)])

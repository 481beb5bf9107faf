"""Whose an account is, and what they are called."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from approvals.adapters import queries
from approvals.adapters.queries import AccountErased, AccountOfOtherPerson, Entry
from approvals.adapters.tables import directory
from approvals.entrypoints.api.edge import (
    api,
    body_fault,
    log,
)
from govkernel.domain import (
    Name,
    PersonId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, Page, not_found


class EntryRequest(Body):
    """An account and its person's name and address; a second account of one person names that person.

    Without a person an account that is known keeps its own, and a new one is its person's first.
    """

    subject: SubjectId
    person: PersonId | None = None
    name: Name
    email: Text


class EntryView(BaseModel):
    """An account in the directory; name and address are null once the person is erased."""

    subject: SubjectId
    person: PersonId
    name: str | None
    email: str | None
    erased_at: datetime | None


class ErasureRequest(Body):
    """Why a person's name and addresses are to be forgotten."""

    reason: Text


class ErasureView(BaseModel):
    """Whose names are gone, and from how many accounts."""

    person: PersonId
    accounts: int


@api.operate(
    "/directory",
    operation="registerAccount",
    action="directory.keep",
    body=EntryRequest,
    response=EntryView,
    status=200,
)
async def register_account(call: Call[EntryRequest]) -> EntryView:
    """Put an account into the directory, or correct its name and address."""
    body = call.body
    try:
        entry = await queries.register(
            call.runtime.engine, subject=body.subject, person=body.person, name=body.name, email=body.email
        )
    except AccountOfOtherPerson as refusal:
        remedy = f"leave the person out, or give {refusal.facts['person']}, whom the account belongs to"
        raise body_fault("/person", body.person, refusal.detail, remedy) from None
    except AccountErased as refusal:
        raise body_fault("/subject", body.subject, refusal.detail, "give another account") from None
    return _entry_view(entry)


@api.query("/directory/{subject}", operation="getAccount", response=EntryView)
async def get_account(ask: Ask, subject: UUID) -> EntryView:
    """Read an account's entry in the directory."""
    await ask.require("directory.keep", None)
    entry = (await queries.entries(ask.runtime.engine, [subject])).get(SubjectId(subject))
    if entry is None:
        raise ask.missing("account", subject)
    return _entry_view(entry)


@api.query("/directory", operation="listAccounts", response=Page[EntryView], paged=True, found=False)
async def list_accounts(ask: Ask, person: UUID) -> Page[EntryView]:
    """List the accounts of a person."""
    await ask.require("directory.keep", None)
    query = ask.keyset(queries.accounts_of(PersonId(person)), directory.c.subject)
    async with ask.connection() as connection:
        rows = (await connection.execute(query)).all()
    return ask.page(rows, lambda row: _entry_view(queries.entry_of(row)), lambda row: (row.subject,))


@api.operate(
    "/directory/{person}/erasures",
    operation="erasePerson",
    action="directory.erase",
    body=ErasureRequest,
    response=ErasureView,
    texts=("person",),
)
async def erase_person(call: Call[ErasureRequest]) -> ErasureView:
    """Forget a person's name and addresses; the log keeps its opaque ids and stays valid.

    The reason and who gave it are kept in the service's own log, for the ledger is not to know of the person.
    """
    person = PersonId(call.path_id("person"))
    accounts = await queries.erase(call.runtime.engine, person=person, at=call.context.now)
    if accounts == 0:
        raise not_found("person", person)
    log.info("person erased", person=str(person), accounts=accounts, reason=call.body.reason)
    return ErasureView(person=person, accounts=accounts)


def _entry_view(entry: Entry) -> EntryView:
    return EntryView(
        subject=entry.subject, person=entry.person, name=entry.name, email=entry.email, erased_at=entry.erased_at
    )

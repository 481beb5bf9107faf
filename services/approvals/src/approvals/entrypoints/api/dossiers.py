"""Dossiers: for each decision one document that is complete from the ledger alone, as JSON and to be read."""

from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.application.dossier import (
    Dossier,
    ImportedDossier,
    Referred,
    accounts_in,
    digest_of,
    dossier_of,
    imported_dossier_of,
    persons_in,
    references,
)
from approvals.domain import decision as decisions
from approvals.domain.decision import DECISION
from approvals.domain.review import REVIEW, NotDrafted
from approvals.entrypoints import pages
from approvals.entrypoints.api.edge import READ, api
from govkernel.domain import NodeId, PersonId, ProjectId, SubjectId
from govkernel.http import Ask

DIGEST = "SHA-256 of the dossier's canonical JSON (RFC 8785): the same ledger gives the same, whoever was erased"


class NamesView(BaseModel):
    """What is called what, from the directory and not from the ledger; null where nobody knows (any more)."""

    project: str | None
    reference: str | None
    accounts: dict[SubjectId, str | None]
    persons: dict[PersonId, str | None]


class DossierView(BaseModel):
    """The dossier of a review, and apart from it the names."""

    dossier: Dossier
    digest: str = Field(description=DIGEST)
    names: NamesView


class ImportedDossierView(BaseModel):
    """The dossier of a decision that was made elsewhere, and apart from it the names."""

    dossier: ImportedDossier
    digest: str = Field(description=DIGEST)
    names: NamesView


AnyDossier = TypeVar("AnyDossier", Dossier, ImportedDossier)


@api.query("/reviews/{review}/dossier", operation="getDossier", response=DossierView)
async def get_dossier(ask: Ask, review: UUID) -> DossierView:
    """Read all that the ledger says of a review: asked, proposed, voted, decided, and how it turned out.

    Each statement comes with the event that says so. A review without an outcome is marked as not decided.
    """
    return await _of_review(ask, review)


@api.query("/reviews/{review}/dossier.html", operation="getDossierPage", response=pages.Page)
async def get_dossier_page(ask: Ask, review: UUID) -> pages.Page:
    """Read a review's dossier as a page that prints well; it says what the JSON says."""
    view = await _of_review(ask, review)
    return pages.dossier(view.dossier, view.digest, _names(view.names))


@api.query("/decisions/{decision}/dossier", operation="getImportedDossier", response=ImportedDossierView)
async def get_imported_dossier(ask: Ask, decision: UUID) -> ImportedDossierView:
    """Read all that the ledger says of a decision that was made elsewhere, which is what its source says."""
    return await _of_decision(ask, decision)


@api.query("/decisions/{decision}/dossier.html", operation="getImportedDossierPage", response=pages.Page)
async def get_imported_dossier_page(ask: Ask, decision: UUID) -> pages.Page:
    """Read the dossier of a decision that was made elsewhere as a page that prints well."""
    view = await _of_decision(ask, decision)
    return pages.imported_dossier(view.dossier, view.digest, _names(view.names))


async def _of_review(ask: Ask, review: UUID) -> DossierView:
    loaded = await ask.runtime.ledger.load(REVIEW, review)
    if isinstance(loaded.state, NotDrafted):
        raise ask.missing("review", review)
    await ask.require(READ, NodeId(loaded.state.drafted.project))
    recorded = await ask.runtime.ledger.events(review)
    wanted = references(recorded)
    catalogue, engine = ask.runtime.ledger.catalogue, ask.runtime.engine
    documents = [catalogue.decode(each) for each in await queries.documents_at(engine, wanted.places, wanted.streams)]
    named = {stream for stream, _ in wanted.places}
    there = await queries.streams_in_ledger(engine, named | wanted.streams)
    composed = dossier_of(recorded, Referred({one.id: one for one in documents}, there))
    _show(ask, recorded[-1].id)
    return DossierView(
        dossier=composed,
        digest=digest_of(composed),
        names=await _names_view(ask, composed.asked.project, accounts_in(composed), persons_in(composed)),
    )


async def _of_decision(ask: Ask, decision: UUID) -> ImportedDossierView:
    loaded = await ask.runtime.ledger.load(DECISION, decision)
    if not isinstance(loaded.state, decisions.Recorded):
        raise ask.missing("decision", decision)
    await ask.require(READ, NodeId(loaded.state.decision.project))
    composed = imported_dossier_of(await ask.runtime.ledger.events(decision))
    _show(ask, f"{decision}@{loaded.head.version}")
    return ImportedDossierView(
        dossier=composed,
        digest=digest_of(composed),
        names=await _names_view(ask, composed.project, accounts_in(composed), frozenset()),
    )


def _show(ask: Ask, version: str) -> None:
    """Say which version the answer shows. It has no ETag, for names and delegations change without the review."""
    ask.headers["Gov-Version"] = version


async def _names_view(
    ask: Ask, project: ProjectId, accounts: frozenset[SubjectId], persons: frozenset[PersonId]
) -> NamesView:
    facts = await queries.project_facts(ask.runtime.engine, NodeId(project))
    entries = await queries.entries(ask.runtime.engine, accounts)
    names = await queries.names_of(ask.runtime.engine, persons)
    return NamesView(
        project=facts.name if facts else None,
        reference=facts.reference if facts else None,
        accounts={each: entries[each].name if each in entries else None for each in sorted(accounts)},
        persons={each: names.get(each) for each in sorted(persons)},
    )


def _names(view: NamesView) -> pages.Names:
    called: dict[UUID, str | None] = dict(view.accounts.items())
    called.update(view.persons.items())
    return pages.Names(view.project, view.reference, called)

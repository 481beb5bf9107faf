"""What the command says of dossiers and of what-if, given what approvals answers with."""

import json
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest
from pydantic import BaseModel
from tests.unit.approvals.lives import MORNING, Life, Written, seat
from tests.unit.approvals.people import PORTFOLIO, PROJECT, account, person
from tests.unit.approvals.test_dossier import conditional, told
from tests.unit.approvals.test_what_if import divided, quick, what_if

from approvals.application.dossier import digest_of, imported_dossier_of
from approvals.application.what_if import totals
from approvals.domain.decision import DECISION
from approvals.domain.review import CloseCondition, LapseCondition, WithdrawReview
from approvals.entrypoints.api.dossiers import DossierView, ImportedDossierView, NamesView
from approvals.entrypoints.api.what_ifs import WhatIfView
from gov.cli.dossiers import show_dossier, show_what_if
from gov.cli.output import Output
from govevents.approvals import Choice, DecisionRecorded, Quorum, ReviewKind, Rule, Seen
from govevents.values import Money, Source, SubjectId


def answered(view: BaseModel) -> Any:
    return json.loads(view.model_dump_json())


def of(life: Life) -> Any:
    dossier = told(life)
    known = ("ana", "bo", "dee")
    names = NamesView(
        project="Main 12",
        reference="P-1",
        accounts={account(name): name.title() for name in known},
        persons={person(name): name.title() for name in known},
    )
    return answered(DossierView(dossier=dossier, digest=digest_of(dossier), names=names))


def lines(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_dossier_says_what_was_decided_who_voted_and_how_conditions_turned_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    life = conditional("Obtain the permit.", "Hire a surveyor.")
    life.later(days=120).send(LapseCondition(1, life.now))
    life.send(CloseCondition(1, told(life).evidence[-1].evidence, "Here it is."))
    show_dossier(Output(json=False), of(life))
    said = lines(capsys)
    assert "May we build? (gate G2, Main 12)" in said
    assert "conditional_go: 2 of 2 approve" in said
    assert "Ana Ana own approve_with_conditions stands verified" in said
    assert "1 Obtain the permit. 2026-05-31 lapsed, met" in said
    assert "2 Hire a surveyor. 2026-05-31 open" in said
    assert f"Head of the chain {life.review.documents[-1].hash.hex()}" in said


def test_a_vote_whose_delegation_was_revoked_and_one_with_a_false_claim_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    life = Life().drafted().submitted(seat("ana"), seat("bo"), seat("cy"))
    life.granted("ana", "dee")
    life.vote("dee", Choice.APPROVE, seen=(life.basis(), Seen("elsewhere", 1, "e" * 64)))
    life.revoked("dee")
    show_dossier(Output(json=False), of(life))
    said = lines(capsys)
    assert "Not decided (open)" in said
    assert "Dee Ana delegate approve stands, delegation revoked since not all verified" in said


def test_a_withdrawn_review_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    life = Life().drafted()
    life.send(WithdrawReview("not needed"))
    show_dossier(Output(json=False), of(life))
    assert "Not decided (withdrawn): not needed" in lines(capsys)


def test_a_decision_that_was_made_elsewhere_names_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(DECISION, uuid5(PROJECT, "decision"))
    source, day = Source("gates.csv", "a" * 64, 7), date(2019, 5, 6)
    written.write(DecisionRecorded(PROJECT, PORTFOLIO, ReviewKind.GATE, "G1", day, "Council", None, source), MORNING)
    dossier = imported_dossier_of(written.recorded)
    names = NamesView(project=None, reference=None, accounts={}, persons={})
    show_dossier(
        Output(json=False), answered(ImportedDossierView(dossier=dossier, digest=digest_of(dossier), names=names))
    )
    assert "gate G1: not stated by its source, on 2019-05-06 Made elsewhere; gates.csv, row 7." in lines(capsys)


def test_programs_get_the_answer_as_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    answer = of(divided())
    show_dossier(Output(json=True), answer)
    assert json.loads(capsys.readouterr().out) == answer


def test_what_if_says_how_many_would_have_turned_from_what_to_what_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    delegated = Life().drafted().submitted(seat("ana"), seat("bo"), seat("cy"))
    delegated.granted("ana", "dee")
    delegated.vote("dee", Choice.APPROVE).vote("bo", Choice.APPROVE)
    compared = [
        what_if(divided(), rule=Rule.CONSENSUS),
        what_if(quick(), quorum=Quorum(3, Decimal(1))),
        what_if(delegated, delegation_limit=Money(Decimal(5), "AUD")),
    ]
    names: dict[SubjectId, str | None] = {account(name): name.title() for name in ("ana", "cy", "dee")}
    view = answered(WhatIfView(totals=totals(compared), decisions=compared, names=names))
    show_what_if(Output(json=False), view)
    said = lines(capsys)
    assert "3 decisions: 3 would have come out otherwise, 2 would have no outcome." in said
    assert "2 from go to no outcome 1 from go to recycle" in said
    assert "It is not decided: 3 votes are needed, and 2 count. Cy" in said
    assert "Dee: The value lies above the delegation's limit. Ana, Cy" in said
    show_what_if(Output(json=True), view)
    assert json.loads(capsys.readouterr().out) == view

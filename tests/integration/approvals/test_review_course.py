"""What comes between a submission and an outcome, over HTTP: evidence, questions, figures, conditions, waivers, panels."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import EVIDENCE, Room
from tests.support.services import done, problem, subject
from tests.support.streams import Stream

from govevents.approvals import (
    ConditionLapsed,
    ConditionReminded,
    ConditionWaived,
    EvidenceChanged,
    MeasureNoted,
    ReviewEscalated,
    ReviewOpened,
    ReviewReminded,
)
from govevents.projections import KpiMeasured
from govevents.projects import GateBreached
from govkernel.domain import ProjectId

PLAN = {"title": "Plan", "uri": "https://documents.example/plan", "sha256": "b" * 64, "kind": "plan"}


async def conditional_go(room: Room, *, due: str, then: str = "hold", **changed: Any) -> str:
    """A review that ended with a Conditional Go, whose condition is max's; its id."""
    review = await room.opened(**changed)
    wanted = {
        "text": "Survey the ground.",
        "owner": str(subject("max")),
        "due": due,
        "shown_by": "A survey.",
        "on_lapse": then,
    }
    done(await room.vote(review, "ana", seen=2, choice="approve_with_conditions", conditions=[wanted]))
    done(await room.vote(review, "bo", seen=3))
    return review


async def fire(room: Room, at: datetime) -> None:
    """Let every deadline up to a moment be answered."""
    timers = room.service.runtime.timers
    assert timers is not None, "the service has timers"
    while await timers.fire_due(at):
        pass


async def test_changed_evidence_asks_everyone_again(room: Room) -> None:
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2))
    change = {"evidence": [EVIDENCE, PLAN], "remark": "The plan is there now."}
    manager = await room.as_("max")
    path = f"/reviews/{review}/evidence"
    problem(await manager.post(path, json=change), 428, "if-match-required")
    problem(await manager.post(path, json=change, headers={"If-Match": '"2"'}), 412, "stale-version")
    done(await manager.post(path, json=change, headers={"If-Match": '"3"'}))
    shown = await room.shown(review)
    assert (shown["tally"]["approve"], [each["title"] for each in shown["evidence"]]) == (0, ["Business case", "Plan"])
    old = (await room.service.runtime.ledger.events(UUID(review)))[1]
    stale = {"stream": review, "version": 2, "hash": old.hash.hex()}
    told = problem(await room.vote(review, "bo", seen=4, claims=[stale]), 409, "seen-incomplete")
    assert told["facts"]["version"] == "4"
    done(await room.vote(review, "bo", seen=4))
    assert (await room.shown(review))["state"] == "open"
    done(await room.vote(review, "ana", seen=5))
    assert (await room.shown(review))["outcome"] == "go"
    assert any(isinstance(fact, EvidenceChanged) for fact in await room.facts(review))


async def test_a_voter_asks_and_the_submitter_answers_on_record(room: Room) -> None:
    review = await room.opened()
    problem(
        await (await room.as_("con")).post(f"/reviews/{review}/questions", json={"text": "Why?"}), 403, "not-an-elector"
    )
    done(await (await room.as_("ana")).post(f"/reviews/{review}/questions", json={"text": "Who pays?"}))
    answer = {"question": 1, "text": "The city."}
    problem(await (await room.as_("bo")).post(f"/reviews/{review}/answers", json=answer), 403, "not-allowed")
    manager = await room.as_("max")
    none = problem(
        await manager.post(f"/reviews/{review}/answers", json={**answer, "question": 2}), 409, "question-not-known"
    )
    assert none["facts"] == {"question": "2", "questions": "1"}
    done(await manager.post(f"/reviews/{review}/answers", json=answer))
    (shown,) = (await room.shown(review))["questions"]
    assert (shown["asker_name"], shown["text"], shown["answer"], shown["answerer_name"]) == (
        "Ana",
        "Who pays?",
        "The city.",
        "Max",
    )
    problem(
        await manager.post(f"/reviews/{review}/answers", json={**answer, "text": "We."}),
        409,
        "question-already-answered",
    )


SPI = {
    "code": "on_schedule",
    "text": "The work is on schedule.",
    "need": "must",
    "evidence_kinds": [],
    "kpi": {"kpi": "spi", "comparison": "at_least", "threshold": "0.9", "decides": False},
}


def measured(room: Room, review: str, value: str) -> Any:
    """What projections says of the review's project."""
    return Stream("projections").event(
        KpiMeasured(
            project=ProjectId(UUID(room.project)),
            cause=f"{review}@2",
            kpi="spi",
            kpi_version=1,
            data_date=datetime.now(UTC).date(),
            value=Decimal(value),
            unit="ratio",
            undefined_because=None,
            offsets=(),
            fold_versions=(),
        )
    )


async def test_a_review_opens_when_its_figures_are_measured(room: Room) -> None:
    await room.publish(gate="G3", criteria=[SPI])
    review = await room.opened(gate="G3")
    assert (await room.shown(review))["state"] == "submitted"
    early = problem(await room.vote(review, "ana", seen=2), 409, "review-not-open")
    assert early["facts"] == {"state": "submitted"}
    await room.service.hear(measured(room, str(uuid4()), "0.1"), measured(room, review, "0.95"))
    shown = await room.shown(review)
    assert (shown["state"], shown["ready"], shown["measures"][0]["value"]) == ("open", True, "0.95")
    assert [type(fact) for fact in (await room.facts(review))[2:]] == [MeasureNoted, ReviewOpened]
    await room.service.hear(measured(room, review, "0.1"))
    assert len(await room.facts(review)) == 4
    done(await room.vote(review, "ana", seen=4))


async def test_a_review_opens_without_figures_that_do_not_come(room: Room) -> None:
    await room.publish(gate="G3", criteria=[SPI])
    review = await room.opened(gate="G3")
    await fire(room, datetime.now(UTC) + timedelta(seconds=61))
    shown = await room.shown(review)
    assert (shown["state"], shown["ready"]) == ("open", False)
    assert shown["measures"][0]["undefined_because"] == "Nothing was measured within 60 s of the submission."
    assert [(each["code"], each["met"]) for each in shown["findings"]] == [("on_schedule", "unknown")]


async def test_readiness_is_computed_from_deliverables_open_conditions_and_breaches(room: Room) -> None:
    plan = {"code": "plan", "name": "Project plan", "evidence_kind": "plan"}
    first = await conditional_go(room, due="2030-06-30")
    breached = GateBreached(
        portfolio=UUID(room.portfolio),  # type: ignore[arg-type]
        phase="design",
        gate="G4",
        began_on=datetime.now(UTC).date(),
        reported_by=subject("aud"),
        remark="The diggers are there.",
    )
    await room.service.hear(room.project_stream.event(breached))
    await room.publish(gate="G4", deliverables=[plan])
    review = await room.opened(gate="G4")
    shown = await room.shown(review)
    assert not shown["ready"]
    assert {(each["aspect"], each["met"]) for each in shown["findings"]} == {
        ("deliverable", "no"),
        ("condition", "no"),
        ("breach", "no"),
    }
    assert shown["open_conditions"] == [{"review": first, "condition": 1}]
    assert [each["gate"] for each in shown["breaches"]] == ["G4"]
    change = {"evidence": [PLAN], "remark": "Here it is."}
    done(await (await room.as_("max")).post(f"/reviews/{review}/evidence", json=change, headers={"If-Match": '"2"'}))
    found = {each["aspect"]: each["met"] for each in (await room.shown(review))["findings"]}
    assert found == {"deliverable": "yes", "condition": "no", "breach": "no"}


async def council(room: Room, *members: str) -> str:
    """A body beside the board; its id."""
    pmo = await room.as_("pia")
    body = str(done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)["stream"])
    for name in members:
        done(await pmo.post(f"/bodies/{body}/members", json={"member": str(subject(name)), "first_day": "2020-01-01"}))
    return body


@pytest.mark.parametrize("then", ["reminder", "escalation", "hold"])
async def test_a_condition_that_is_not_met_lapses_into_what_was_said(room: Room, then: str) -> None:
    await room.publish(gate="G7", escalate_to=await council(room, "con", "vic"))
    review = await conditional_go(room, due="2030-06-30", then=then, gate="G7")
    # The portfolio's days are those of Melbourne, which are over at 14:00 UTC in winter.
    await fire(room, datetime(2030, 6, 30, 13, 59, 59, tzinfo=UTC))
    assert not any(isinstance(fact, ConditionLapsed) for fact in await room.facts(review))
    await fire(room, datetime(2030, 6, 30, 14, tzinfo=UTC))
    (lapsed,) = [fact for fact in await room.facts(review) if isinstance(fact, ConditionLapsed)]
    assert (lapsed.condition, lapsed.owner, lapsed.then.value) == (1, subject("max"), then)
    (shown,) = (await room.shown(review))["conditions"]
    assert (shown["lapsed"], shown["closed"]) == (True, False)


async def test_the_owner_of_a_condition_and_silent_voters_are_reminded(room: Room) -> None:
    terms = {"most": None, "longest_days": None, "lapses": ["hold"], "reminder_days": [3]}
    limit = {"days": 14, "then": "lapse", "reminder_days": [2]}
    await room.publish(gate="G5", conditions=terms, time_limit=limit)
    await room.publish(gate="G6", time_limit=limit)
    conditional = await conditional_go(room, due="2030-06-30", gate="G5")
    silent = await room.opened(gate="G6")
    await fire(room, datetime.now(UTC) + timedelta(days=12, minutes=1))
    (reminded,) = [fact for fact in await room.facts(silent) if isinstance(fact, ReviewReminded)]
    assert set(reminded.recipients) == {subject(name) for name in ("ana", "bo", "cy")}
    await fire(room, datetime(2030, 6, 28, tzinfo=UTC))
    (owner,) = [fact for fact in await room.facts(conditional) if isinstance(fact, ConditionReminded)]
    assert owner.owner == subject("max")


async def test_a_condition_is_waived_by_a_decision_on_a_deviation(room: Room) -> None:
    await room.publish(kind="methodology_deviation", gate=None)
    first = await conditional_go(room, due="2030-06-30")
    waives = {"review": first, "condition": 1}
    manager = await room.as_("max")
    deviation = room.question(kind="methodology_deviation", gate=None, waives=waives)
    problem(await manager.post("/reviews", json=room.question(gate="G1", waives=waives)), 409, "waiver-is-a-deviation")
    none = problem(
        await manager.post("/reviews", json={**deviation, "waives": {**waives, "condition": 2}}),
        409,
        "condition-not-known",
    )
    assert none["facts"] == {"condition": "2", "conditions": "1"}
    problem(
        await manager.post("/reviews", json={**deviation, "waives": {**waives, "review": str(uuid4())}}),
        404,
        "review-not-known",
    )
    waiver = await room.opened(kind="methodology_deviation", gate=None, waives=waives)
    done(await room.vote(waiver, "ana", seen=2))
    done(await room.vote(waiver, "bo", seen=3))
    await room.service.follow_itself()
    (waived,) = [fact for fact in await room.facts(first) if isinstance(fact, ConditionWaived)]
    assert (waived.decision.stream, waived.decision.version) == (waiver, 5)
    (shown,) = (await room.shown(first))["conditions"]
    assert (shown["closed"], shown["waived_by"]["stream"]) == (True, waiver)


async def test_a_deviation_that_fails_waives_nothing(room: Room) -> None:
    await room.publish(kind="methodology_deviation", gate=None)
    first = await conditional_go(room, due="2030-06-30")
    waives = {"review": first, "condition": 1}
    waiver = await room.opened(kind="methodology_deviation", gate=None, waives=waives)
    done(await room.vote(waiver, "ana", seen=2, choice="reject"))
    done(await room.vote(waiver, "bo", seen=3, choice="reject"))
    await room.service.follow_itself()
    assert not any(isinstance(fact, ConditionWaived) for fact in await room.facts(first))


async def test_the_body_that_the_policy_names_decides_what_the_electorate_does_not(room: Room) -> None:
    above = await council(room, "con", "vic")
    await room.publish(gate="G7", time_limit={"days": 5, "then": "escalate"}, escalate_to=above)
    review = await room.opened(gate="G7")
    done(await room.vote(review, "ana", seen=2))
    await fire(room, datetime.now(UTC) + timedelta(days=5, minutes=1))
    (up,) = [fact for fact in await room.facts(review) if isinstance(fact, ReviewEscalated)]
    assert up.to is not None
    shown = await room.shown(review)
    assert (shown["state"], shown["body"], shown["tally"]["approve"]) == ("open", above, 0)
    problem(await room.vote(review, "bo", seen=4), 403, "not-an-elector")
    done(await room.vote(review, "con", seen=4, choice="reject"))


async def test_the_vote_that_sent_a_review_up_sent_again_without_its_key_is_no_error(room: Room) -> None:
    above = await council(room, "con", "vic")
    await room.publish(gate="G7", escalate_to=above)
    review = await room.opened(gate="G7")
    for number, name in enumerate(("ana", "bo"), start=2):
        done(await room.vote(review, name, seen=number, choice="abstain"))
    basis = (await room.service.runtime.ledger.events(UUID(review)))[1]
    claims = [{"stream": review, "version": 2, "hash": basis.hash.hex()}]
    sent: dict[str, Any] = {"choice": "abstain", "claims": claims}
    assert len(done(await room.vote(review, "cy", seen=4, **sent))["events"]) == 2
    assert (await room.shown(review))["body"] == above
    assert done(await room.vote(review, "cy", seen=6, **sent))["events"] == []
    problem(await room.vote(review, "cy", seen=6, choice="abstain"), 403, "not-an-elector")


async def test_conditions_keep_to_the_terms_of_the_policy(room: Room) -> None:
    await room.publish(
        gate="G8", conditions={"most": 1, "longest_days": 30, "lapses": ["reminder"], "reminder_days": []}
    )
    await room.publish(gate="G9", conditions=None)
    review, without = await room.opened(gate="G8"), await room.opened(gate="G9")
    soon = str(datetime.now(UTC).date() + timedelta(days=10))
    wanted = {"text": "Survey.", "owner": str(subject("max")), "due": soon}

    async def ask(on: str, *conditions: dict[str, Any]) -> Any:
        return await room.vote(on, "ana", seen=2, choice="approve_with_conditions", conditions=list(conditions))

    problem(await ask(without, wanted), 409, "conditions-not-allowed")
    problem(await ask(review, wanted, {**wanted, "text": "Again."}), 409, "too-many-conditions")
    problem(await ask(review, {**wanted, "due": "2099-01-01"}), 409, "condition-due-out-of-range")
    problem(await ask(review, {**wanted, "on_lapse": "hold"}), 409, "lapse-not-allowed")
    done(await ask(review, wanted))

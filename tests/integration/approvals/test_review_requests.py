"""Requests for a review over HTTP: who asks, who answers, and the review that takes one up."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import Room
from tests.support.services import done, problem, subject

from govevents.projects import ProjectTerminated

REASON = "The ground is not what was said."


def wanted(room: Room, **changed: Any) -> dict[str, Any]:
    return {"project": room.project, "kind": "gate", "gate": "G1", "reason": REASON, **changed}


async def asked(room: Room, who: str = "vic", **changed: Any) -> str:
    answer = await (await room.as_(who)).post("/review-requests", json=wanted(room, **changed))
    return str(done(answer, 201)["stream"])


async def test_someone_who_may_not_approve_asks_for_a_review_and_it_is_on_record(room: Room) -> None:
    request = await asked(room)
    shown = await (await room.as_("aud")).get(f"/review-requests/{request}")
    assert shown.headers["etag"] == '"1"'
    assert done(shown) == {
        "request": request,
        "portfolio": room.portfolio,
        "requester": str(subject("vic")),
        "requester_name": "Vic",
        "state": "open",
        "review": None,
        "declined_by": None,
        "declined_by_name": None,
        "declined_because": None,
        **wanted(room),
    }


async def test_the_same_request_again_adds_nothing_until_it_is_answered(room: Room) -> None:
    vic, request = await room.as_("vic"), await asked(room)
    again = done(await vic.post("/review-requests", json=wanted(room)))
    assert again == {"stream": request, "version": 1, "events": []}
    said = problem(
        await vic.post("/review-requests", json=wanted(room, reason="Now.")), 409, "review-already-requested"
    )
    assert said["facts"] == {"reason": f"{REASON} on record, Now. given"}
    declines = f"/review-requests/{request}/declines"
    done(await (await room.as_("max")).post(declines, json={"reason": "The survey is under way."}))
    second = await asked(room)
    assert second != request
    assert await asked(room, "con") != second


async def test_those_who_prepare_reviews_decline_a_request_with_a_reason(room: Room) -> None:
    declines, because = f"/review-requests/{await asked(room)}/declines", {"reason": "The survey is under way."}
    for name in ("vic", "ana", "aud", "eve"):
        denied = await (await room.as_(name)).post(declines, json=because)
        assert problem(denied, 403, "not-allowed")["facts"]["action"] == "review.draft"
    manager = await room.as_("max")
    problem(await manager.post(declines, json={"reason": ""}), 409, "reason-missing")
    assert len(done(await manager.post(declines, json=because))["events"]) == 1
    assert done(await manager.post(declines, json=because))["events"] == []
    problem(await manager.post(declines, json={"reason": "No."}), 409, "request-already-declined")
    shown = done(await manager.get(declines.removesuffix("/declines")))
    assert (shown["state"], shown["declined_by_name"], shown["declined_because"]) == (
        "declined",
        "Max",
        "The survey is under way.",
    )
    problem(await manager.post(f"/review-requests/{uuid4()}/declines", json=because), 404, "not-found")


async def test_a_review_that_answers_a_request_takes_it_up(room: Room) -> None:
    request = await asked(room)
    review = await room.drafted(requested=request)
    await room.service.follow_itself()
    shown = done(await (await room.as_("vic")).get(f"/review-requests/{request}"))
    assert (shown["state"], shown["review"]) == ("accepted", review)
    declines = f"/review-requests/{request}/declines"
    said = problem(
        await (await room.as_("max")).post(declines, json={"reason": "No."}), 409, "request-already-accepted"
    )
    assert said["facts"] == {"review": review}


async def test_requests_are_listed_by_project_in_their_order(room: Room) -> None:
    first, second = await asked(room), await asked(room, "con", kind="closure", gate=None)
    aud = await room.as_("aud")
    listed = done(await aud.get("/review-requests", params={"project": room.project, "limit": 1}))
    assert [each["request"] for each in listed["items"]] == [first]
    rest = {"project": room.project, "cursor": listed["next"]}
    assert [each["request"] for each in done(await aud.get("/review-requests", params=rest))["items"]] == [second]
    eve = await room.as_("eve")
    problem(await eve.get("/review-requests", params={"project": room.project}), 403, "not-allowed")
    problem(await eve.get(f"/review-requests/{first}"), 403, "not-allowed")
    problem(await eve.get(f"/review-requests/{uuid4()}"), 404, "not-found")


async def test_strangers_ask_for_nothing_and_nobody_asks_in_the_past_or_of_an_unknown_project(room: Room) -> None:
    denied = await (await room.as_("eve")).post("/review-requests", json=wanted(room))
    assert problem(denied, 403, "not-allowed")["facts"]["action"] == "review.request"
    root, past = room.service.root, {"Gov-Time": "2020-05-02T00:00:00Z"}
    problem(await root.post("/review-requests", json=wanted(room), headers=past), 409, "not-importable")
    unknown = wanted(room, project=str(uuid4()))
    problem(await root.post("/review-requests", json=unknown), 404, "project-not-known")


@pytest.mark.parametrize(
    ("changed", "status", "slug"),
    [
        ({"gate": None}, 409, "gate-does-not-fit-kind"),
        ({"reason": " "}, 409, "reason-missing"),
        ({"kind": "coffee"}, 422, "invalid-input"),
        ({"requester": str(uuid4())}, 422, "invalid-input"),
    ],
)
async def test_a_request_says_which_review_and_why(room: Room, changed: dict[str, Any], status: int, slug: str) -> None:
    problem(await (await room.as_("vic")).post("/review-requests", json=wanted(room, **changed)), status, slug)


async def test_no_review_is_asked_for_of_a_project_that_has_ended(room: Room) -> None:
    await room.service.hear(room.project_stream.event(ProjectTerminated("no money left", None)))
    problem(await (await room.as_("vic")).post("/review-requests", json=wanted(room)), 409, "project-has-ended")
    assert await room.service.runtime.ledger.events(UUID(room.project)) == []


async def test_a_review_answers_a_request_that_is_there_and_not_answered_yet(room: Room) -> None:
    manager = await room.as_("max")
    nobody = room.question(requested=str(uuid4()))
    problem(await manager.post("/reviews", json=nobody), 409, "review-request-not-known")
    request = str(done(await (await room.as_("vic")).post("/review-requests", json=wanted(room)), 201)["stream"])
    first = await room.drafted(requested=request)
    await room.service.follow_itself()
    again = problem(
        await manager.post("/reviews", json=room.question(requested=request)), 409, "request-already-accepted"
    )
    assert again["facts"] == {"review": first}

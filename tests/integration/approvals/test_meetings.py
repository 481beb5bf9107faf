"""Gate meetings over HTTP: planned, invited to, held over three projects, minuted, closed."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import icalendar
import pytest
from tests.integration.approvals.room import CHARTER, Room, register
from tests.support.nodes import heard_portfolio, heard_project
from tests.support.services import done, person, problem, subject

from govevents.approvals import Role
from govevents.projects import GateBreached
from govkernel.domain import PortfolioId

CALENDAR = "text/calendar; charset=utf-8"
MARCH = {"starts_at": "2027-03-01T22:00:00Z", "ends_at": "2027-03-01T23:00:00Z", "place": "Room 4"}


@dataclass
class Sitting:
    """A meeting, and its steps over the API; `version` is what the caller has seen last."""

    room: Room
    meeting: str
    version: int = 1

    async def post(self, step: str, body: Any = None, *, who: str = "ana", status: int = 200) -> dict[str, Any]:
        """Take a step, having seen the newest version."""
        answer = await (await self.room.as_(who)).post(
            f"/meetings/{self.meeting}/{step}", json=body, headers={"If-Match": f'"{self.version}"'}
        )
        answered = dict(done(answer, status))
        self.version = answered["version"]
        return answered

    async def refused(self, step: str, body: Any, kind: str, *, who: str = "ana", status: int = 409) -> dict[str, Any]:
        """Try a step that is refused, having seen the newest version."""
        answer = await (await self.room.as_(who)).post(
            f"/meetings/{self.meeting}/{step}", json=body, headers={"If-Match": f'"{self.version}"'}
        )
        return dict(problem(answer, status, kind))

    async def shown(self, who: str = "aud") -> dict[str, Any]:
        """The meeting as it stands."""
        return dict(done(await (await self.room.as_(who)).get(f"/meetings/{self.meeting}")))

    async def invitation(self, who: str = "pia") -> tuple[icalendar.Calendar, Any]:
        """The invitation, read back, and the meeting in it."""
        answer = await (await self.room.as_(who)).get(f"/meetings/{self.meeting}/invitation.ics")
        assert (answer.status_code, answer.headers["content-type"]) == (200, CALENDAR), answer.text
        whole = icalendar.Calendar.from_ical(answer.content)
        assert isinstance(whole, icalendar.Calendar)
        (event,) = whole.events
        return whole, event


def plan(room: Room, **changed: Any) -> dict[str, Any]:
    """A meeting of the board, as a body."""
    invitees = [str(subject(name)) for name in ("bo", "cy")]
    body = {"portfolio": room.portfolio, "body": room.board, "title": "Gates of March", "chair": str(subject("ana"))}
    return {**body, **MARCH, "invitees": invitees, **changed}


async def scheduled(room: Room, **changed: Any) -> Sitting:
    answer = await (await room.as_("pia")).post("/meetings", json=plan(room, **changed))
    return Sitting(room, str(done(answer, 201)["stream"]))


async def three_reviews(room: Room) -> list[str]:
    """A review of gate G1 of each of three projects: two are open, the third is being prepared."""
    second = await heard_project(room.service, room.portfolio, reference="P-2", charter=CHARTER)
    third = await heard_project(room.service, room.portfolio, reference="P-3", charter=CHARTER)
    return [
        await room.opened(),
        await room.opened(project=str(second.stream)),
        await room.drafted(project=str(third.stream)),
    ]


def agenda(reviews: list[str], minutes: int = 20) -> dict[str, Any]:
    return {"items": [{"review": review, "minutes": minutes} for review in reviews]}


async def begun(room: Room, reviews: list[str]) -> Sitting:
    sitting = await scheduled(room)
    await sitting.post("agendas", agenda(reviews), who="pia")
    await sitting.post("openings")
    return sitting


async def test_three_projects_in_one_sitting(room: Room) -> None:
    reviews = await three_reviews(room)
    sitting = await begun(room, reviews)
    for name, attendance in (("ana", "present"), ("bo", "remote"), ("cy", "apologies"), ("sol", "present")):
        await sitting.post("attendances", {"attendee": str(subject(name)), "attendance": attendance})
    done(await room.vote(reviews[0], "ana", seen=2))
    first, second, third = (await sitting.shown())["agenda"]
    assert [first["project_reference"], second["project_reference"], third["project_reference"]] == [
        "P-1",
        "P-2",
        "P-3",
    ]
    assert (first["votes_needed"], first["votes_cast"], first["quorum_met"]) == (2, 1, False)
    assert (first["still_to_vote"], first["still_to_vote_present"]) == (2, 1)
    assert (second["votes_cast"], second["still_to_vote"], second["still_to_vote_present"]) == (0, 3, 2)
    assert (first["ready"], first["findings"], first["breaches"], first["open_conditions"]) == (True, [], [], [])
    assert first["tally"]["approve"] == 1
    assert (third["state"], third["tally"], third["ready"]) == ("draft", None, None)
    # The board decides on the first project on the spot.
    said = await sitting.refused(
        "dispositions", {"review": reviews[0], "disposition": "decided"}, "review-not-concluded"
    )
    assert "votes decide" in said["detail"]
    done(await room.vote(reviews[0], "bo", seen=3))
    await sitting.post("dispositions", {"review": reviews[0], "disposition": "decided", "remark": "As proposed."})
    await sitting.post("dispositions", {"review": reviews[1], "disposition": "left_to_vote"})
    await sitting.post("dispositions", {"review": reviews[2], "disposition": "deferred", "remark": "To May."})
    await sitting.post("minutes", {"review": reviews[0], "text": "The board heard the cas."})
    await sitting.post("minutes", {"review": reviews[0], "text": "The board heard the case.", "corrects": 1})
    await sitting.post("closures")
    shown = await sitting.shown()
    assert shown["state"] == "closed"
    assert [item["disposition"] for item in shown["agenda"]] == ["decided", "left_to_vote", "deferred"]
    assert (shown["agenda"][0]["outcome"], shown["agenda"][0]["decision"]["stream"]) == ("go", reviews[0])
    concluded = (await room.service.runtime.ledger.events(UUID(reviews[0])))[-1]
    assert shown["agenda"][0]["decision"] == {
        "stream": reviews[0],
        "version": concluded.envelope.version,
        "hash": concluded.hash.hex(),
    }
    assert [(each["number"], each["corrects"], each["corrected_by"]) for each in shown["minutes"]] == [
        (1, None, 2),
        (2, 1, None),
    ]
    assert [(each["name"], each["attendance"], each["invited"]) for each in shown["attendance"]] == [
        ("Ana", "present", True),
        ("Bo", "remote", True),
        ("Cy", "apologies", True),
        ("Sol", "present", False),
    ]
    await sitting.refused("minutes", {"text": "More."}, "meeting-is-closed")


async def test_the_agenda_names_whose_votes_are_missing_and_who_is_there_to_cast_them(room: Room) -> None:
    review = await room.opened()
    for name, role in (("dee", Role.APPROVER), ("fay", Role.VIEWER)):
        await register(room.service, name)
        await room.service.assign(name, role, room.portfolio)
    delegations = {}
    for by, to in (("cy", "dee"), ("bo", "dee"), ("cy", "sol"), ("cy", "fay"), ("cy", "ana")):
        days = {"first_day": "2020-01-01", "last_day": "2099-12-31"}
        body = {"delegate": str(subject(to)), "node": room.portfolio, "reason": "Away.", **days}
        granted = await (await room.as_(by)).post("/delegations", json=body)
        delegations[by, to] = str(done(granted, 201)["stream"])
    sitting = await begun(room, [review])
    for name in ("ana", "dee", "sol", "fay"):
        await sitting.post("attendances", {"attendee": str(subject(name)), "attendance": "present"})
    await sitting.post("attendances", {"attendee": str(subject("cy")), "attendance": "apologies"})

    async def silent() -> dict[str, Any]:
        (item,) = (await sitting.shown())["agenda"]
        counts = (item["still_to_vote"], item["still_to_vote_present"], item["quorum_in_reach"])
        return {"counts": counts, **{each["name"]: each for each in item["silent"]}}

    def who(seat: dict[str, Any]) -> list[tuple[str, str, str | None]]:
        return [(each["name"], each["authority"], each["delegation"]) for each in seat["voices"]]

    shown = await silent()
    assert shown["counts"] == (3, 2, True), "Dee has one voice, for Bo or for Cy"
    assert who(shown["Ana"]) == [("Ana", "own", None)]
    assert who(shown["Bo"]) == [("Dee", "delegate", delegations["bo", "dee"])]
    # Sol is the sponsor, Fay may not vote at all, and Ana has a seat herself.
    assert who(shown["Cy"]) == [("Dee", "delegate", delegations["cy", "dee"])]
    assert [shown[name]["attendance"] for name in ("Ana", "Bo", "Cy")] == ["present", None, "apologies"]
    done(await room.vote(review, "dee", seen=2, delegation=delegations["cy", "dee"]))
    shown = await silent()
    assert (shown["counts"], set(shown)) == ((2, 1, True), {"counts", "Ana", "Bo"})
    assert who(shown["Bo"]) == [], "Dee has spoken"
    await sitting.post("attendances", {"attendee": str(subject("ana")), "attendance": "absent"})
    assert (await silent())["counts"] == (2, 0, False)


async def test_the_agenda_says_what_is_the_matter_with_a_review_that_is_not_ready(room: Room) -> None:
    condition = {
        "text": "Obtain the permit.",
        "owner": str(subject("max")),
        "due": "2099-05-31",
        "shown_by": "The permit.",
        "on_lapse": "reminder",
    }
    before = await room.opened()
    done(await room.vote(before, "ana", seen=2, choice="approve_with_conditions", conditions=[condition]))
    done(await room.vote(before, "bo", seen=3))
    began = date(2026, 3, 2)
    told = GateBreached(PortfolioId(UUID(room.portfolio)), "planning", "G1", began, subject("aud"), "Diggers on site.")
    await room.service.hear(room.project_stream.event(told))
    permit = {"code": "permit", "text": "The permit is there.", "need": "must", "evidence_kinds": ["permit"]}
    done(await (await room.as_("pia")).post("/gate-policies", json=room.policy(criteria=[permit])))
    review = await room.opened()
    (item,) = (await (await begun(room, [review])).shown())["agenda"]
    assert item["ready"] is False
    assert ("permit", "no") in [(each["code"], each["met"]) for each in item["findings"]]
    assert [(each["phase"], each["gate"]) for each in item["breaches"]] == [("planning", "G1")]
    assert item["open_conditions"] == [{"review": before, "condition": 1}]


async def test_a_meeting_does_not_close_with_an_item_left_open_or_nothing_minuted(room: Room) -> None:
    reviews = await three_reviews(room)
    sitting = await begun(room, reviews[:2])
    await sitting.post("dispositions", {"review": reviews[0], "disposition": "deferred"})
    assert (await sitting.refused("closures", None, "items-not-disposed"))["facts"] == {"reviews": reviews[1]}
    await sitting.post("dispositions", {"review": reviews[1], "disposition": "left_to_vote"})
    await sitting.refused("closures", None, "nothing-minuted")
    await sitting.refused("minutes", {"text": " "}, "minute-empty")
    await sitting.refused("minutes", {"text": "So.", "corrects": 3}, "minute-not-known")
    await sitting.refused("minutes", {"review": reviews[2], "text": "So."}, "item-not-on-agenda")
    await sitting.post("minutes", {"text": "So."})
    await sitting.post("minutes", {"text": "So it is.", "corrects": 1})
    await sitting.refused("minutes", {"text": "So it was.", "corrects": 1}, "minute-already-corrected")
    await sitting.post("closures")


async def test_what_has_an_outcome_is_not_left_to_vote_and_what_is_not_open_neither(room: Room) -> None:
    reviews = await three_reviews(room)
    sitting = await begun(room, reviews)
    for name, seen in (("ana", 2), ("bo", 3)):
        done(await room.vote(reviews[0], name, seen=seen))
    left = {"disposition": "left_to_vote"}
    await sitting.refused("dispositions", {"review": reviews[0], **left}, "item-already-decided")
    await sitting.refused("dispositions", {"review": reviews[2], **left}, "review-not-open")
    await sitting.refused("dispositions", {"review": str(uuid4()), **left}, "item-not-on-agenda")


async def test_an_agenda_names_reviews_of_the_portfolio_once_within_the_time(room: Room) -> None:
    reviews = await three_reviews(room)
    sitting = await scheduled(room)
    await sitting.refused("openings", None, "agenda-missing")
    await sitting.refused("agendas", agenda([]), "agenda-missing")
    await sitting.refused("agendas", agenda([reviews[0], reviews[0]]), "review-listed-twice")
    await sitting.refused("agendas", agenda(reviews, 0), "minutes-not-positive")
    said = await sitting.refused("agendas", agenda(reviews, 21), "agenda-too-long")
    assert said["facts"] == {"items_minutes": "63", "meeting_minutes": "60"}
    unknown = str(uuid4())
    said = await sitting.refused("agendas", agenda([unknown]), "review-not-known", status=404)
    assert said["facts"] == {"review": unknown}
    elsewhere = await heard_portfolio(room.service, "Roads")
    await room.service.assign("pia", Role.PMO, elsewhere)
    other = await (await room.as_("pia")).post("/meetings", json=plan(room, portfolio=elsewhere, body=None))
    stranger = Sitting(room, str(done(other, 201)["stream"]))
    await stranger.refused("agendas", agenda(reviews), "review-not-known", who="pia", status=404)
    await sitting.post("agendas", agenda(reviews))
    await sitting.post("openings")
    await sitting.post("minutes", {"review": reviews[0], "text": "Heard."})
    await sitting.refused("agendas", agenda(reviews[1:]), "item-already-treated")
    await sitting.post("agendas", agenda([reviews[2], reviews[0]]))
    assert [item["review"] for item in (await sitting.shown())["agenda"]] == [reviews[2], reviews[0]]


async def test_whoever_was_overtaken_looks_at_the_agenda_again(room: Room) -> None:
    reviews = await three_reviews(room)
    sitting = await scheduled(room)
    await sitting.post("agendas", agenda(reviews))
    sitting.version = 1
    await sitting.refused("agendas", agenda(reviews[1:]), "stale-version", status=412)
    unseen = await (await room.as_("ana")).post(f"/meetings/{sitting.meeting}/agendas", json=agenda(reviews))
    problem(unseen, 428, "if-match-required")


async def test_the_invitation_follows_the_meeting(room: Room) -> None:
    review = await room.opened()
    sitting = await scheduled(room)
    await sitting.post("agendas", agenda([review]), who="pia")
    whole, event = await sitting.invitation("bo")
    assert (whole["METHOD"], event["UID"], event["SEQUENCE"], event["STATUS"]) == (
        "REQUEST",
        sitting.meeting,
        0,
        "CONFIRMED",
    )
    assert (event["SUMMARY"], event["LOCATION"]) == ("Gates of March", "Room 4")
    assert event["DESCRIPTION"] == "1. Main 12, G1: May it begin? (20 min)"
    assert (event["DTSTART"].to_ical(), event["DTSTART"].params["TZID"]) == (b"20270302T090000", "Australia/Melbourne")
    assert event.end.isoformat() == "2027-03-02T10:00:00+11:00"
    assert [zone.tz_name for zone in whole.timezones] == ["Australia/Melbourne"]
    assert (event["ORGANIZER"], event["ORGANIZER"].params["CN"]) == ("mailto:ana@example.org", "Ana")
    assert [(each, each.params["CN"], each.params["ROLE"]) for each in event["ATTENDEE"]] == [
        ("mailto:ana@example.org", "Ana", "CHAIR"),
        ("mailto:bo@example.org", "Bo", "REQ-PARTICIPANT"),
        ("mailto:cy@example.org", "Cy", "REQ-PARTICIPANT"),
    ]
    moved = {"starts_at": "2027-04-05T23:00:00Z", "ends_at": "2027-04-05T23:30:00Z", "reason": "Easter."}
    await sitting.post("reschedulings", moved, who="pia")
    await sitting.post("invitations", {"invitees": [str(subject("sol"))]}, who="pia")
    _, event = await sitting.invitation()
    assert (event["UID"], event["SEQUENCE"], event.start.isoformat()) == (
        sitting.meeting,
        1,
        "2027-04-06T09:00:00+10:00",
    )
    assert [each.params["CN"] for each in event["ATTENDEE"]] == ["Ana", "Sol"]
    await sitting.refused("cancellations", {"reason": ""}, "meeting-reason-missing")
    await sitting.post("cancellations", {"reason": "Nothing is ready."})
    whole, event = await sitting.invitation()
    assert (whole["METHOD"], event["UID"], event["SEQUENCE"], event["STATUS"]) == (
        "CANCEL",
        sitting.meeting,
        2,
        "CANCELLED",
    )
    assert (await sitting.shown())["cancelled_because"] == "Nothing is ready."
    await sitting.refused("openings", None, "meeting-is-cancelled")


async def test_a_meeting_in_the_last_year_that_is_taken_has_an_invitation(room: Room) -> None:
    last = await scheduled(room, starts_at="1900-01-01T00:00:00Z", ends_at="9998-12-31T23:59:59Z")
    _, event = await last.invitation()
    assert (event.start.year, event.end.year) == (1900, 9999), "in Melbourne the new year has begun"


async def test_an_erased_person_is_not_in_the_invitation(room: Room) -> None:
    sitting = await scheduled(room)
    for name in ("ana", "bo"):
        done(await room.service.root.post(f"/directory/{person(name)}/erasures", json={"reason": "They asked."}))
    _, event = await sitting.invitation()
    assert (event["ORGANIZER"], dict(event["ORGANIZER"].params)) == (subject("ana").urn, {})
    assert event["ATTENDEE"].params["CN"] == "Cy"
    shown = await sitting.shown()
    assert (shown["chair"]["name"], [each["name"] for each in shown["invitees"]]) == (None, [None, "Cy"])


async def test_addresses_are_for_those_who_are_invited(room: Room) -> None:
    sitting = await scheduled(room)
    for name in ("sol", "aud", "eve"):
        answer = await (await room.as_(name)).get(f"/meetings/{sitting.meeting}/invitation.ics")
        problem(answer, 403, "not-allowed")
    for name in ("ana", "cy", "pia"):
        await sitting.invitation(name)
    problem(await (await room.as_("pia")).get(f"/meetings/{uuid4()}/invitation.ics"), 404, "not-found")


@pytest.mark.parametrize("name", ["Ana\r\nATTENDEE:mailto:eve@example.org", 'An"a; "B', "Ana, <b>"])
async def test_no_name_changes_what_the_invitation_says(room: Room, name: str) -> None:
    await register(room.service, "ana", name=name)
    _, event = await (await scheduled(room, title=name)).invitation()
    assert event["ORGANIZER"].params["CN"] == name.replace("\r\n", "\n")
    assert event["SUMMARY"] == name.replace("\r\n", "\n")
    assert len(event["ATTENDEE"]) == 3


async def test_the_pmo_plans_and_the_chair_runs_and_nobody_else(room: Room) -> None:
    for name in ("ana", "max", "aud", "eve"):
        problem(await (await room.as_(name)).post("/meetings", json=plan(room)), 403, "not-allowed")
    review = await room.drafted()
    sitting = await scheduled(room)
    for name in ("bo", "max", "aud", "eve"):
        await sitting.refused("agendas", agenda([review]), "not-allowed", who=name, status=403)
    await sitting.post("agendas", agenda([review]))
    for name in ("bo", "max", "eve"):
        await sitting.refused("openings", None, "not-allowed", who=name, status=403)
    await sitting.post("openings")
    attended = {"attendee": str(subject("bo")), "attendance": "present"}
    for step, body in (("attendances", attended), ("minutes", {"text": "So."})):
        await sitting.refused(step, body, "not-allowed", who="bo", status=403)
        await sitting.post(step, body, who="pia")
    await sitting.post("dispositions", {"review": review, "disposition": "deferred"}, who="pia")
    await sitting.refused("closures", None, "not-allowed", who="bo", status=403)
    await sitting.post("closures", who="pia")


async def test_a_meeting_is_planned_with_people_a_body_and_times_that_can_be(room: Room) -> None:
    pmo = await room.as_("pia")

    async def refused(kind: str, status: int = 409, **changed: Any) -> dict[str, Any]:
        return dict(problem(await pmo.post("/meetings", json=plan(room, **changed)), status, kind))

    ghost = str(subject("ghost"))
    assert (await refused("person-not-known", chair=ghost))["facts"] == {"account": ghost}
    assert (await refused("person-not-known", invitees=[ghost]))["facts"] == {"account": ghost}
    await refused("invitee-listed-twice", invitees=[str(subject("bo"))] * 2)
    await refused("meeting-ends-before-it-begins", ends_at=MARCH["starts_at"])
    await refused("body-not-known", 404, body=str(uuid4()))
    await refused("not-found", 404, portfolio=str(uuid4()))
    (error,) = (await refused("invalid-input", 422, time_zone="Mars/Olympus"))["errors"]
    assert (error["pointer"], error["value"]) == ("/time_zone", "Mars/Olympus")
    for year in ("0001", "1899", "9999"):
        (error,) = (await refused("invalid-input", 422, starts_at=f"{year}-01-01T00:00:00Z"))["errors"]
        assert (error["pointer"], error["value"]) == ("/starts_at", f"{year}-01-01T00:00:00+00:00")
    sitting = await scheduled(room)
    never = {**MARCH, "ends_at": "9999-12-31T23:00:00Z", "reason": "Never."}
    (error,) = (await sitting.refused("reschedulings", never, "invalid-input", status=422))["errors"]
    assert error["pointer"] == "/ends_at"
    await sitting.refused("attendances", {"attendee": ghost, "attendance": "present"}, "person-not-known")
    await sitting.refused("invitations", {"invitees": [ghost]}, "person-not-known")
    await sitting.refused("minutes", {"text": "Too early."}, "meeting-not-opened")
    for step in ("agendas", "openings", "minutes", "closures"):
        body = {"agendas": agenda([str(uuid4())]), "minutes": {"text": "So."}}.get(step)
        unknown = await pmo.post(f"/meetings/{uuid4()}/{step}", json=body, headers={"If-Match": '"1"'})
        problem(unknown, 404, "not-found")


async def test_a_meeting_that_has_begun_is_not_moved(room: Room) -> None:
    sitting = await begun(room, [await room.drafted()])
    await sitting.refused("reschedulings", {**MARCH, "place": "Room 5", "reason": "Cold."}, "meeting-already-opened")
    await sitting.refused("cancellations", {"reason": "Cold."}, "meeting-already-opened")
    await sitting.refused("invitations", {"invitees": []}, "meeting-already-opened")


async def test_the_same_request_again_is_the_same_meeting(room: Room) -> None:
    pmo, key = await room.as_("pia"), {"Idempotency-Key": "march"}
    first = done(await pmo.post("/meetings", json=plan(room), headers=key), 201)
    assert done(await pmo.post("/meetings", json=plan(room), headers=key), 201)["stream"] == first["stream"]


async def test_meetings_are_listed_page_by_page(room: Room) -> None:
    meetings = [(await scheduled(room, title=title)).meeting for title in ("March", "April", "May")]
    client = await room.as_("aud")
    first = done(await client.get("/meetings", params={"portfolio": room.portfolio, "limit": 2}))
    assert [(each["meeting"], each["state"], each["chair"]["name"]) for each in first["items"]] == [
        (meetings[0], "scheduled", "Ana"),
        (meetings[1], "scheduled", "Ana"),
    ]
    rest = done(await client.get("/meetings", params={"portfolio": room.portfolio, "cursor": first["next"]}))
    assert [each["title"] for each in rest["items"]] == ["May"]
    eve = await room.as_("eve")
    problem(await eve.get("/meetings", params={"portfolio": room.portfolio}), 403, "not-allowed")
    problem(await eve.get(f"/meetings/{meetings[0]}"), 403, "not-allowed")
    problem(await client.get(f"/meetings/{uuid4()}"), 404, "not-found")


async def test_the_time_zone_is_the_portfolios_where_none_is_said(room: Room) -> None:
    assert (await (await scheduled(room)).shown())["time_zone"] == "Australia/Melbourne"
    assert (await (await scheduled(room, time_zone="Europe/Oslo")).shown())["time_zone"] == "Europe/Oslo"

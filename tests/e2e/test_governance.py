"""Three projects at one gate: what their reviews, the meeting and the decisions lead to, over the whole system."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from tests.e2e.conftest import Office, open_office
from tests.support.system import RunningSystem, eventually, problem, subject

EVIDENCE = {"title": "Business case", "uri": "https://documents.example/case", "sha256": "a" * 64, "kind": "case"}
CONDITION = {
    "text": "Survey the ground.",
    "owner": subject("max"),
    "due": "2030-06-20",
    "shown_by": "The survey's report.",
    "on_lapse": "hold",
}


@dataclass
class Sitting:
    """The office at a time of the demo clock, which each step sets."""

    system: RunningSystem
    office: Office
    now: str = "2030-06-01T09:00:00Z"
    versions: dict[str, int] = field(default_factory=dict)

    def tell(self, who: str, path: str, body: Any, **headers: str) -> Any:
        """Let approvals take a command."""
        return self.system.done(who, "approvals", path, body, Gov_Demo_Time=self.now, **headers)

    def on(self, review: str, who: str, noun: str, body: Any) -> Any:
        """Let approvals take a command on a review whose newest state the caller has read."""
        return self.tell(who, f"/reviews/{review}/{noun}", body, If_Match=self.tag(review))

    def refused(self, review: str, who: str, noun: str, body: Any) -> str:
        """The name under which approvals refuses a command on a review."""
        headers = {"If_Match": self.tag(review), "Gov_Demo_Time": self.now}
        answered = self.system.say(who, "approvals", f"/reviews/{review}/{noun}", body, **headers)
        return str(problem(answered)["type"]).rpartition(":")[2]

    def vote(self, review: str, who: str, choice: str = "approve", **more: Any) -> Any:
        """Vote, having read the review."""
        return self.on(review, who, "votes", {"choice": choice, "reason": f"{who} has read it.", **more})

    def tag(self, review: str) -> str:
        """The ETag of a review as it stands."""
        return self.read(f"/reviews/{review}").headers["etag"]

    def read(self, path: str, **parameters: str) -> httpx2.Response:
        """What approvals answers."""
        answered = self.system.ask("ana", "approvals", path, **parameters)
        assert answered.status_code == 200, answered.text
        return answered

    def shown(self, review: str) -> dict[str, Any]:
        """A review as it stands."""
        return dict(self.read(f"/reviews/{review}").json())


@pytest.fixture(scope="module")
def sitting(system: RunningSystem) -> Iterator[Sitting]:
    """An office of its own, with a council besides its board, of mia, eve and olu."""
    office = open_office(system, "Office of Gates")
    council = ("mia", "eve", "olu")
    for username in council[1:]:
        entry = {"subject": subject(username), "person": None, "name": username, "email": f"{username}@example.org"}
        system.done("ana", "approvals", "/directory", entry)
    for username in council:
        role = {"holder": subject(username), "role": "approver", "node": office.portfolio, "first_day": "2020-01-01"}
        system.done("ana", "approvals", "/role-assignments", role)
    yield Sitting(system, office)


async def test_three_projects_meet_and_each_goes_its_way(sitting: Sitting) -> None:
    system, office = sitting.system, sitting.office
    names = ("surveyed", "sent-back", "disputed")
    projects = {name: office.project(name) for name in names}
    reviews = {}
    for name, project in projects.items():
        drafted = {
            "project": project,
            "kind": "gate",
            "gate": "G1",
            "question": "May it begin?",
            "evidence": [EVIDENCE],
        }
        review = str(sitting.tell("max", "/reviews", drafted)["stream"])
        sitting.on(review, "max", "submissions", {"proposed": "go"})
        reviews[name] = review

    meeting = scheduled(sitting, reviews)
    sitting.now = "2030-06-03T10:00:00Z"
    conditional_go(sitting, reviews["surveyed"])
    recycled(sitting, reviews["sent-back"])
    await disputed(sitting, reviews["disputed"])
    held(sitting, meeting, reviews)

    async def phase_of(project: str, code: str) -> str:
        phases = system.ask("ana", "projects", f"/projects/{project}").json()["phases"]
        return str(next(phase["progress"] for phase in phases if phase["code"] == code))

    for name, progress in (("surveyed", "authorised"), ("sent-back", "waiting"), ("disputed", "authorised")):

        async def moved(project: str = projects[name], progress: str = progress) -> bool:
            return await phase_of(project, "planning") == progress

        await eventually(f"planning of {name} is {progress}", moved)

    sitting.now = "2030-06-21T09:00:00Z"
    another = {"project": projects["sent-back"], "kind": "gate", "gate": "G1", "question": "Now?", "evidence": []}
    sitting.tell("max", "/reviews", another)
    (condition,) = sitting.shown(reviews["surveyed"])["conditions"]
    assert (condition["lapsed"], condition["closed"], condition["on_lapse"]) == (True, False, "hold")

    async def on_hold() -> bool:
        return bool(system.ask("ana", "projects", f"/projects/{projects['surveyed']}").json()["status"] == "on_hold")

    await eventually("the project rests because its condition lapsed", on_hold)
    for name, review in reviews.items():
        dossier_is_complete(sitting, name, review)


async def test_a_change_that_is_killed_terminates_its_project(sitting: Sitting) -> None:
    system, office = sitting.system, sitting.office
    before, sitting.now = sitting.now, "2030-06-22T09:00:00Z"
    about_changes = {
        "portfolio": office.portfolio,
        "kind": "change",
        "electorate": {"roles": [], "people": [subject("bo"), subject("cy")], "body": None, "by_value_band": False},
        "quorum": {"minimum": 2, "share": "0.5"},
        "rule": "majority",
        "failed_outcome": "recycle",
    }
    sitting.tell("ana", "/gate-policies", about_changes)
    project = office.project("killed")
    asked = {"project": project, "kind": "change", "question": "Do we go on?", "evidence": [EVIDENCE]}
    review = str(sitting.tell("max", "/reviews", asked)["stream"])
    sitting.on(review, "max", "submissions", {"proposed": "kill"})
    for voter in ("bo", "cy"):
        sitting.vote(review, voter, "approve")
    assert sitting.shown(review)["outcome"] == "kill"

    async def terminated() -> bool:
        return bool(system.ask("ana", "projects", f"/projects/{project}").json()["status"] == "terminated")

    await eventually("the project has ended because its change was killed", terminated)
    sitting.now = before


def scheduled(sitting: Sitting, reviews: dict[str, str]) -> str:
    """A meeting of the board over the three reviews, in order, and its invitation."""
    body = {
        "portfolio": sitting.office.portfolio,
        "title": "Gate meeting of June",
        "starts_at": "2030-06-03T10:00:00Z",
        "ends_at": "2030-06-03T11:30:00Z",
        "place": "Room 4",
        "chair": subject("bo"),
        "invitees": [subject(username) for username in ("bo", "cy", "dee", "max")],
    }
    meeting = str(sitting.tell("ana", "/meetings", body)["stream"])
    items = [{"review": review, "minutes": 30} for review in reviews.values()]
    sitting.tell("ana", f"/meetings/{meeting}/agendas", {"items": items}, If_Match='"1"')
    invitation = sitting.read(f"/meetings/{meeting}/invitation.ics").text
    assert "SUMMARY:Gate meeting of June" in invitation
    assert invitation.count("ATTENDEE") == 4
    shown = sitting.read(f"/meetings/{meeting}").json()
    assert [item["review"] for item in shown["agenda"]] == list(reviews.values())
    assert [item["votes_needed"] for item in shown["agenda"]] == [2, 2, 2]
    return meeting


def conditional_go(sitting: Sitting, review: str) -> None:
    """Two approve, one of them on a condition that holds the project if it is not met."""
    sitting.vote(review, "bo", "approve_with_conditions", conditions=[CONDITION])
    sitting.vote(review, "cy")
    assert sitting.shown(review)["outcome"] == "conditional_go"


def recycled(sitting: Sitting, review: str) -> None:
    """Two send it back."""
    sitting.vote(review, "bo", "return")
    sitting.vote(review, "cy", "reject")
    assert sitting.shown(review)["outcome"] == "recycle"


async def disputed(sitting: Sitting, review: str) -> None:
    """A delegated vote is revoked; two keep out, so that too few are left; a council decides."""
    granted = {
        "delegate": subject("mia"),
        "node": sitting.office.portfolio,
        "first_day": "2030-06-01",
        "last_day": "2030-06-30",
        "reason": "On leave.",
    }
    delegation = str(sitting.tell("dee", "/delegations", granted)["stream"])
    sitting.vote(review, "mia", "reject", delegation=delegation)
    sitting.tell("dee", f"/delegations/{delegation}/revocations", {"reason": "Back early."})

    async def marked() -> bool:
        electorate = sitting.shown(review)["electorate"]
        return [seat["marked_because"] for seat in electorate if seat["name"] == "dee"] == ["Back early."]

    await eventually("the vote under the revoked delegation is marked", marked)
    again = {"choice": "approve", "reason": "On reflection.", "delegation": delegation}
    assert sitting.refused(review, "mia", "votes", again) == "delegation-was-revoked"
    for username in ("bo", "dee"):
        sitting.on(review, username, "recusals", {"reason": "Knows the bidder."})
    assert sitting.shown(review)["state"] == "escalated"
    council = str(sitting.tell("ana", "/bodies", {"portfolio": sitting.office.portfolio, "name": "Council"})["stream"])
    for username in ("mia", "eve", "olu"):
        sitting.tell("ana", f"/bodies/{council}/members", {"member": subject(username), "first_day": "2020-01-01"})
    sitting.on(review, "ana", "referrals", {"body": council, "reason": "Nobody of the board is left."})
    sitting.vote(review, "eve")
    sitting.vote(review, "olu")
    assert sitting.shown(review)["outcome"] == "go"


def held(sitting: Sitting, meeting: str, reviews: dict[str, str]) -> None:
    """The meeting takes place: who came, what was said, what was done with each item."""

    def tell(noun: str, body: Any) -> None:
        tag = sitting.read(f"/meetings/{meeting}").headers["etag"]
        sitting.tell("ana", f"/meetings/{meeting}/{noun}", body, If_Match=tag)

    tell("openings", {})
    for username, attendance in (("bo", "present"), ("cy", "remote"), ("dee", "apologies"), ("max", "present")):
        tell("attendances", {"attendee": subject(username), "attendance": attendance})
    for review in reviews.values():
        tell("minutes", {"review": review, "text": "Discussed and decided."})
        tell("dispositions", {"review": review, "disposition": "decided", "remark": ""})
    tell("closures", {})
    shown = sitting.read(f"/meetings/{meeting}").json()
    assert shown["state"] == "closed"
    assert [item["outcome"] for item in shown["agenda"]] == ["conditional_go", "recycle", "go"]
    assert [item["disposition"] for item in shown["agenda"]] == ["decided"] * 3


def dossier_is_complete(sitting: Sitting, name: str, review: str) -> None:
    """The dossier tells all that happened to a review, and each statement names its event."""
    dossier = sitting.read(f"/reviews/{review}/dossier")
    page = sitting.read(f"/reviews/{review}/dossier.html")
    assert page.headers["content-type"].startswith("text/html")
    said = dossier.text
    assert "May it begin?" in page.text
    assert EVIDENCE["sha256"] in said
    told = {"surveyed": "Survey the ground.", "sent-back": "recycle", "disputed": "Back early."}[name]
    assert told in said
    if name == "disputed":
        assert "Knows the bidder." in page.text
        assert "Nobody of the board is left." in page.text

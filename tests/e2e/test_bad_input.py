"""Whatever is sent to a running system, it answers with what is wrong and how to put it right, and records nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.e2e.conftest import Office, open_office
from tests.support.system import RunningSystem, problem, subject

NOWHERE = "00000000-0000-4000-8000-000000000000"
APPROVE = {"choice": "approve", "reason": "The case holds."}


@dataclass(frozen=True)
class Scene:
    """What the bad input is about: reviews of a project in several states, and a project of someone else."""

    system: RunningSystem
    office: Office
    project: str
    drafted: str
    opened: str
    concluded: str
    in_euros: str
    elsewhere: str
    elsewhere_portfolio: str

    def vote(self, username: str, review: str, version: int | None, **changes: Any) -> httpx2.Response:
        headers = {} if version is None else {"If_Match": f'"{version}"'}
        return self.system.say(username, "approvals", f"/reviews/{review}/votes", {**APPROVE, **changes}, **headers)

    def register(self, username: str = "ana", **changes: Any) -> httpx2.Response:
        return self.system.say(username, "projects", "/projects", self.registration(**changes))

    def registration(self, **changes: Any) -> dict[str, Any]:
        charter = {"purpose": "None.", "sponsor": None, "manager": None, "value": None}
        node = {"portfolio": self.office.portfolio, "parent": self.office.portfolio}
        return {**node, "reference": "BAD", "name": "Bad", "charter": charter, **changes}

    def raw(self, content: bytes, media_type: str = "application/json", path: str = "/portfolios") -> httpx2.Response:
        headers = {"Content-Type": media_type}
        return self.system.send("POST", "ana", "projects", path, content=content, headers=headers)

    def worth(self, amount: str) -> bytes:
        """A registration whose value is written with exactly these characters."""
        charter = {"purpose": "None.", "value": {"amount": "AMOUNT", "currency": "AUD"}}
        return json.dumps(self.registration(charter=charter)).replace('"AMOUNT"', amount).encode()


@pytest.fixture(scope="module")
def scene(system: RunningSystem, office: Office) -> Scene:
    other = open_office(system, "Office of Others")
    project = office.project("BI-1")
    elsewhere = other.project("BI-1")
    second = {"holder": subject("bo.second"), "role": "approver", "node": office.portfolio, "first_day": "2020-01-01"}
    system.done("ana", "approvals", "/role-assignments", second)
    opened = office.review(project, submit=False)
    system.done("ana", "approvals", f"/reviews/{opened}/submissions", {"proposed": "go"}, If_Match='"1"')
    system.done("bo", "approvals", f"/reviews/{opened}/votes", APPROVE, If_Match='"2"')
    concluded = office.review(office.project("BI-2"))
    office.decide(concluded)
    euros = {"purpose": "None.", "sponsor": None, "manager": None, "value": {"amount": "1", "currency": "EUR"}}
    in_euros = office.review(office.project("BI-3", charter=euros), submit=False)
    return Scene(
        system=system,
        office=office,
        project=project,
        drafted=office.review(project, submit=False),
        opened=opened,
        concluded=concluded,
        in_euros=in_euros,
        elsewhere=elsewhere,
        elsewhere_portfolio=other.portfolio,
    )


Case = tuple[Callable[[Scene], httpx2.Response], int, str, str | None]


def review_of_nothing(scene: Scene) -> httpx2.Response:
    body = {"project": NOWHERE, "kind": "gate", "gate": "G1", "question": "?"}
    return scene.system.say("ana", "approvals", "/reviews", body)


def reused_key(scene: Scene) -> httpx2.Response:
    key, path = str(uuid4()), f"/projects/{scene.project}/milestones"
    body = {"milestone": "Built", "basis": "planned", "date": "2031-01-01"}
    assert scene.system.say("ana", "projects", path, body, key=key).is_success
    return scene.system.say("ana", "projects", path, {**body, "date": "2032-01-01"}, key=key)


def another_currency(scene: Scene) -> httpx2.Response:
    path = f"/reviews/{scene.in_euros}/submissions"
    return scene.system.say("max", "approvals", path, {"proposed": "go"}, If_Match='"1"')


def future_import(scene: Scene) -> httpx2.Response:
    return scene.system.say("ana", "projects", "/projects", scene.registration(), Gov_Time="2999-01-01T00:00:00Z")


def assessed_beyond_the_matrix(scene: Scene) -> httpx2.Response:
    raised = {"project": scene.project, "kind": "threat", "title": "T", "cause": "C", "event": "E", "effect": "F"}
    more = {"category": "ground", "owner": subject("max"), "proximity": None}
    risk = scene.system.done("max", "risks", "/risks", {**raised, **more})["stream"]
    if not scene.system.ask("ana", "risks", f"/matrices/{scene.office.portfolio}").is_success:
        scene.system.done("ana", "risks", "/matrices", {"portfolio": scene.office.portfolio})
    assessed = {
        "basis": "current",
        "probability": 99,
        "impacts": [{"dimension": "cost", "level": 1}],
        "money_at_stake": None,
        "reason": "R",
    }
    return scene.system.say("max", "risks", f"/risks/{risk}/assessments", assessed)


def report_that_ends_before_it_begins(scene: Scene) -> httpx2.Response:
    body = {
        "project": scene.project,
        "period_start": "2030-02-01",
        "period_end": "2030-01-01",
        "scale": "three_point",
        "confidences": [],
        "narrative": "N",
    }
    return scene.system.say("max", "reporting", "/status-reports", body)


CASES: dict[str, Case] = {
    "a review of an unknown project": (review_of_nothing, 404, "project-not-known", None),
    "a hold of an unknown project": (
        lambda scene: scene.system.say("ana", "projects", f"/projects/{NOWHERE}/holds", {"reason": "R"}),
        404,
        "not-found",
        None,
    ),
    "an unknown review": (lambda scene: scene.vote("cy", NOWHERE, 1), 404, "not-found", None),
    "an id that is none": (lambda scene: scene.vote("cy", "7", 1), 404, "not-found", None),
    "a stale version": (lambda scene: scene.vote("cy", scene.opened, 2), 412, "stale-version", None),
    "no version": (lambda scene: scene.vote("cy", scene.opened, None), 428, "if-match-required", None),
    "a second account": (lambda scene: scene.vote("bo.second", scene.opened, 3), 403, "second-account", None),
    "the submitter's vote": (lambda scene: scene.vote("ana", scene.opened, 3), 403, "submitter-may-not-vote", None),
    "the manager's vote": (lambda scene: scene.vote("max", scene.opened, 3), 403, "project-manager-may-not-vote", None),
    "the sponsor's vote": (lambda scene: scene.vote("sol", scene.opened, 3), 403, "sponsor-may-not-vote", None),
    "a vote in a closed review": (lambda scene: scene.vote("dee", scene.concluded, 5), 409, "review-not-open", None),
    "a vote before the submission": (lambda scene: scene.vote("cy", scene.drafted, 1), 409, "review-not-open", None),
    "a choice that there is not": (
        lambda scene: scene.vote("cy", scene.opened, 3, choice="perhaps"),
        422,
        "invalid-input",
        "/choice",
    ),
    "a vote without a reason": (
        lambda scene: scene.vote("cy", scene.opened, 3, reason=" "),
        409,
        "reason-missing",
        None,
    ),
    "a value in another currency": (another_currency, 409, "currency-mismatch", None),
    "a body that breaks off": (lambda scene: scene.raw(b'{"name": '), 400, "malformed-json", ""),
    "a body that is no object": (lambda scene: scene.raw(b"[]"), 422, "invalid-input", ""),
    "a body that is no UTF-8": (lambda scene: scene.raw(b'{"name": "\xff"}'), 400, "malformed-json", ""),
    "a body of another kind": (lambda scene: scene.raw(b"name=x", "text/plain"), 415, "unsupported-media-type", None),
    "a body too large": (lambda scene: scene.raw(b'"' + b"x" * 300_000 + b'"'), 413, "body-too-large", None),
    "a body too deep": (lambda scene: scene.raw(b"[" * 90 + b"]" * 90), 400, "malformed-json", ""),
    "a key that comes twice": (lambda scene: scene.raw(b'{"name": "A", "name": "B"}'), 400, "malformed-json", "/name"),
    "an unknown field": (lambda scene: scene.register(colour="red"), 422, "invalid-input", "/colour"),
    "a missing field": (lambda scene: scene.raw(b'{"name": "A"}'), 422, "invalid-input", "/currency"),
    "a wrong type": (lambda scene: scene.register(name=7), 422, "invalid-input", "/name"),
    "U+0000": (lambda scene: scene.register(name="A\x00B"), 400, "malformed-json", "/name"),
    "half a character": (lambda scene: scene.raw(b'{"name": "\\ud800"}'), 400, "malformed-json", "/name"),
    "NaN": (
        lambda scene: scene.raw(scene.worth("NaN"), path="/projects"),
        400,
        "malformed-json",
        "/charter/value/amount",
    ),
    "NaN as a text": (
        lambda scene: scene.raw(scene.worth('"NaN"'), path="/projects"),
        422,
        "invalid-input",
        "/charter/value/amount",
    ),
    "a number for money": (
        lambda scene: scene.raw(scene.worth("12.5"), path="/projects"),
        400,
        "malformed-json",
        "/charter/value/amount",
    ),
    "10^20": (
        lambda scene: scene.register(methodology={"name": "waterfall", "version": 10**20}),
        400,
        "malformed-json",
        "/methodology/version",
    ),
    "a methodology that there is not": (
        lambda scene: scene.register(methodology={"name": "waterfall", "version": 9}),
        422,
        "invalid-input",
        "/methodology",
    ),
    "a name that is too long": (lambda scene: scene.register(name="x" * 5000), 422, "invalid-input", "/name"),
    "a currency that there is not": (
        lambda scene: scene.raw(b'{"name": "A", "currency": "dollars", "time_zone": "UTC"}'),
        422,
        "invalid-input",
        "/currency",
    ),
    "a time zone that there is not": (
        lambda scene: scene.raw(b'{"name": "A", "currency": "AUD", "time_zone": "Mars/Olympus"}'),
        422,
        "invalid-input",
        "/time_zone",
    ),
    "no token": (
        lambda scene: scene.system.ask(None, "projects", f"/projects/{scene.project}"),
        401,
        "not-authenticated",
        None,
    ),
    "a token that is none": (
        lambda scene: scene.system.send(
            "GET", None, "projects", f"/projects/{scene.project}", headers={"Authorization": "Bearer nonsense"}
        ),
        401,
        "not-authenticated",
        None,
    ),
    "a viewer who changes something": (lambda scene: scene.register("vic"), 403, "not-allowed", None),
    "someone without any role": (
        lambda scene: scene.system.ask("eve", "projects", f"/projects/{scene.project}"),
        403,
        "not-allowed",
        None,
    ),
    "a vote by someone without that right": (
        lambda scene: scene.vote("vic", scene.opened, 3),
        403,
        "not-allowed",
        None,
    ),
    "someone else's portfolio": (
        lambda scene: scene.system.ask("mia", "projects", f"/projects/{scene.elsewhere}"),
        403,
        "not-allowed",
        None,
    ),
    "a project below someone else's portfolio": (
        lambda scene: scene.register(parent=scene.elsewhere_portfolio),
        409,
        "parent-of-another-portfolio",
        None,
    ),
    "a demo clock set by hand to nonsense": (
        lambda scene: scene.system.say("ana", "projects", "/projects", scene.registration(), Gov_Demo_Time="yesterday"),
        400,
        "malformed-header",
        "Gov-Demo-Time",
    ),
    "an import from the future": (future_import, 400, "malformed-header", "Gov-Time"),
    "a key used for something else": (reused_key, 422, "idempotency-key-reused", None),
    "a cursor of one's own": (
        lambda scene: scene.system.ask("ana", "projects", "/projects", cursor="zzz"),
        400,
        "malformed-header",
        "cursor",
    ),
    "an address that there is not": (lambda scene: scene.system.ask("ana", "projects", "/x"), 404, "not-found", None),
    "a method that there is not": (
        lambda scene: scene.system.send("DELETE", "ana", "projects", f"/projects/{scene.project}"),
        405,
        "method-not-allowed",
        None,
    ),
    "a probability beyond the matrix": (assessed_beyond_the_matrix, 409, "level-outside-matrix", None),
    "a report that ends before it begins": (
        report_that_ends_before_it_begins,
        409,
        "period-reversed",
        None,
    ),
    "an unknown KPI": (lambda scene: scene.system.ask("ana", "projections", "/kpis/luck"), 404, "not-found", None),
    "a KPI of an unknown node": (
        lambda scene: scene.system.ask("ana", "projections", "/kpis/portfolio", node=NOWHERE),
        404,
        "not-found",
        None,
    ),
    "a past that is no moment": (
        lambda scene: scene.system.ask("ana", "projections", "/decisions", node=scene.project, as_of="then"),
        400,
        "malformed-header",
        "as_of",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_is_refused_with_its_reason_and_leaves_no_event(scene: Scene, name: str) -> None:
    send, status, slug, place = CASES[name]
    answered = send(scene)
    told = problem(answered)
    assert (answered.status_code, told["type"]) == (status, f"urn:gatehouse:problem:{slug}"), told
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    assert await events_caused_by(scene.system, told["correlation"]) == 0
    if place is not None:
        faults = {fault.get("pointer", fault.get("parameter")): fault for fault in told["errors"]}
        assert place in faults, told
        assert faults[place]["detail"]
        assert faults[place]["remedy"]


async def test_a_fault_names_what_was_given(scene: Scene) -> None:
    (fault,) = problem(scene.vote("cy", scene.opened, 3, choice="perhaps"))["errors"]
    assert fault["pointer"] == "/choice"
    assert fault["value"] == "perhaps"
    assert "approve" in fault["remedy"]


async def test_markup_in_a_name_is_kept_as_the_text_it_is(scene: Scene) -> None:
    name = "<script>alert('x')</script> & <b>Söhne</b>"
    answered = scene.register(reference="BI-HTML", name=name)
    assert answered.status_code == 201
    project = answered.json()["stream"]
    shown = scene.system.ask("ana", "projects", f"/projects/{project}")
    assert shown.headers["content-type"] == "application/json"
    assert shown.json()["name"] == name
    (row,) = await scene.system.fetch("projects", "SELECT document FROM events WHERE stream = $1", project)
    recorded = json.loads(row["document"])
    assert recorded["data"]["name"] == name
    assert await events_caused_by(scene.system, recorded["correlationid"]) == 1


async def events_caused_by(system: RunningSystem, correlation: str) -> int:
    """How many events in all ledgers say that this request has led to them."""
    query = "SELECT count(*) FROM events WHERE convert_from(document, 'UTF8')::jsonb ->> 'correlationid' = $1"
    counts = [await system.fetch(name, query, correlation) for name in system.names]
    return sum(int(rows[0][0]) for rows in counts)

"""What the PMO and the administrator keep: names, bodies, roles, bands, policies, and decisions made elsewhere."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import BOARD, DAY, VOTE, Room, assign, register
from tests.support.nodes import heard_portfolio, heard_project
from tests.support.services import Service, done, person, problem, subject

from govevents.approvals import Breach, DecisionRecorded, ReviewConcluded, Role
from govevents.document import Origin
from govevents.projects import GateBreached
from govkernel.domain import PortfolioId

SOURCE = {"file": "report.csv", "sha256": "a" * 64, "row": 7}
DECISION = {"kind": "gate", "gate": "G1", "decided_on": "2014-05-01", "source": SOURCE}
IMPORTED = {"Gov-Time": "2014-05-02T00:00:00Z"}


async def test_a_second_account_of_a_person_names_the_person(service: Service) -> None:
    first = await register(service, "ana")
    assert first["person"] == str(person("ana"))
    second = await register(service, "ana", "ana-admin", person=first["person"])
    assert second["person"] == first["person"]
    listed = done(await service.root.get("/directory", params={"person": first["person"]}))["items"]
    assert {entry["subject"] for entry in listed} == {first["subject"], second["subject"]}
    kept = await register(service, "ana", "ana-admin", email="new@example.org")
    assert (kept["person"], kept["email"]) == (first["person"], "new@example.org")
    assert done(await service.root.get(f"/directory/{second['subject']}")) == kept


async def test_an_account_never_changes_hands(service: Service) -> None:
    await register(service, "ana")
    body = {"subject": str(subject("ana")), "person": str(person("bo")), "name": "Bo", "email": "bo@example.org"}
    (error,) = problem(await service.root.post("/directory", json=body), 422, "invalid-input")["errors"]
    assert (error["pointer"], error["value"]) == ("/person", str(person("bo")))
    assert str(person("ana")) in error["remedy"]
    assert done(await service.root.get(f"/directory/{subject('ana')}"))["name"] == "Ana"


async def test_an_erased_person_is_gone_from_every_view_and_the_log_stays_valid(room: Room) -> None:
    await register(room.service, "ana", "ana-admin", person=str(person("ana")))
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2))
    erasures, because = f"/directory/{person('ana')}/erasures", {"reason": "She asked for it."}
    erased = done(await room.service.root.post(erasures, json=because))
    assert erased == {"person": str(person("ana")), "accounts": 2}
    entry = done(await room.service.root.get(f"/directory/{subject('ana')}"))
    assert (entry["name"], entry["email"]) == (None, None)
    assert entry["erased_at"] is not None
    done(await room.service.root.post(erasures, json=because))
    assert done(await room.service.root.get(f"/directory/{subject('ana')}"))["erased_at"] == entry["erased_at"]
    ana = (await room.shown(review))["electorate"][0]
    assert (ana["subject"], ana["name"], ana["choice"]) == (str(subject("ana")), None, "approve")
    # Reading checks every document against its hash and the hash before it.
    recorded = await room.service.runtime.ledger.events(UUID(review))
    assert len(recorded) == 3
    kept = await room.service.runtime.ledger.pool.fetch("SELECT document FROM events")
    assert not any(b"Ana" in row["document"] or b"ana@" in row["document"] for row in kept)
    back = {"subject": str(subject("ana")), "name": "Ana", "email": "ana@example.org"}
    (error,) = problem(await room.service.root.post("/directory", json=back), 422, "invalid-input")["errors"]
    assert error["pointer"] == "/subject"
    done(await room.vote(review, "bo", seen=3))
    assert (await room.shown(review))["outcome"] == "go"


async def test_who_is_not_in_the_directory_is_not_found_and_not_erased(service: Service) -> None:
    problem(await service.root.get(f"/directory/{uuid4()}"), 404, "not-found")
    for unknown in (uuid4(), "nonsense"):
        problem(await service.root.post(f"/directory/{unknown}/erasures", json={"reason": ""}), 404, "not-found")


async def test_only_administrators_see_and_keep_the_directory(room: Room) -> None:
    for name in ("pia", "aud", "ana", "eve"):
        client = await room.as_(name)
        body = {"subject": str(subject("ana")), "name": "Eve", "email": "eve@example.org"}
        problem(await client.post("/directory", json=body), 403, "not-allowed")
        problem(await client.get(f"/directory/{subject('ana')}"), 403, "not-allowed")
        problem(await client.get("/directory", params={"person": str(person("ana"))}), 403, "not-allowed")
        erasure = await client.post(f"/directory/{person('ana')}/erasures", json={"reason": ""})
        problem(erasure, 403, "not-allowed")


async def test_html_in_a_name_stays_text(room: Room) -> None:
    name = "<script>alert('1')</script> & <b>bold</b>"
    await register(room.service, "ana", name=name)
    review = await room.opened()
    answer = await (await room.as_("bo")).get(f"/reviews/{review}")
    assert answer.headers["content-type"] == "application/json"
    assert done(answer)["electorate"][0]["name"] == name


async def test_a_body_has_seats_for_terms_and_one_chair(room: Room) -> None:
    pmo, members = await room.as_("pia"), f"/bodies/{room.board}/members"

    def seat(name: str, **changed: Any) -> dict[str, Any]:
        return {"member": str(subject(name)), "first_day": DAY, **changed}

    assert done(await pmo.post(members, json=seat("ana", chair=True)))["events"] == []
    problem(await pmo.post(members, json=seat("ana")), 409, "person-already-sits")
    problem(await pmo.post(members, json=seat("sol", chair=True)), 409, "chair-taken")
    problem(await pmo.post(members, json=seat("sol", last_day="2019-12-31")), 409, "term-ends-before-it-begins")
    said = problem(await pmo.post(members, json=seat("ghost")), 409, "person-not-known")
    assert said["facts"] == {"account": str(subject("ghost"))}
    shown = await (await room.as_("aud")).get(f"/bodies/{room.board}")
    assert shown.headers["etag"] == '"4"'
    assert [(each["name"], each["chair"]) for each in done(shown)["seats"]] == [
        ("Ana", True),
        ("Bo", False),
        ("Cy", False),
    ]
    releases = f"/bodies/{room.board}/member-releases"
    leaving = {"member": str(subject("ana")), "reason": "She left."}
    assert len(done(await pmo.post(releases, json=leaving))["events"]) == 1
    assert done(await pmo.post(releases, json=leaving))["events"] == []
    stranger = {"member": str(subject("sol")), "reason": "Never sat."}
    problem(await pmo.post(releases, json=stranger), 409, "not-a-member")
    for path, body in ((members, seat("sol")), (releases, leaving)):
        problem(await pmo.post(path.replace(room.board, str(uuid4())), json=body), 404, "not-found")
    problem(await pmo.get(f"/bodies/{uuid4()}"), 404, "not-found")


async def test_a_member_has_an_alternate_who_leaves_with_them(room: Room) -> None:
    pmo, members, own = await room.as_("pia"), f"/bodies/{room.board}/members", f"/bodies/{room.board}"
    ana, con, vic = (str(subject(name)) for name in ("ana", "con", "vic"))
    seat = {"member": con, "alternate_for": ana, "first_day": DAY, "last_day": "2999-12-31"}
    assert len(done(await pmo.post(members, json=seat))["events"]) == 1
    assert done(await pmo.post(members, json=seat))["events"] == []
    early = {"member": vic, "alternate_for": ana, "first_day": "2019-12-31"}
    said = problem(await pmo.post(members, json=early), 409, "member-not-seated-throughout")
    assert said["facts"] == {"member": ana, "first_day": "2019-12-31", "last_day": "open"}
    problem(await pmo.post(members, json={**seat, "member": vic, "chair": True}), 409, "alternate-may-not-chair")
    problem(await pmo.post(members, json={"member": con, "first_day": DAY}), 409, "person-already-sits")
    seats = done(await pmo.get(own))["seats"]
    assert [(each["name"], each["alternate_for"]) for each in seats if each["member"] in (ana, con)] == [
        ("Ana", None),
        ("Con", ana),
    ]
    done(await pmo.post(f"{own}/member-releases", json={"member": ana, "reason": "She left."}))
    assert [each["name"] for each in done(await pmo.get(own))["seats"]] == ["Bo", "Cy"]


async def test_a_body_is_formed_once_under_its_name_and_listed_in_order(room: Room) -> None:
    pmo = await room.as_("pia")
    again = await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Board"})
    assert done(again)["events"] == []
    council = done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)["stream"]
    first = done(await pmo.get("/bodies", params={"portfolio": room.portfolio, "limit": 1}))
    assert [body["name"] for body in first["items"]] == ["Board"]
    rest = {"portfolio": room.portfolio, "limit": 1, "cursor": first["next"]}
    second = done(await pmo.get("/bodies", params=rest))
    assert ([body["body"] for body in second["items"]], second["next"]) == ([council], None)


async def test_roles_are_given_and_taken_back(room: Room) -> None:
    pmo, node = await room.as_("pia"), room.portfolio
    body = {"holder": str(subject("vic")), "role": "contributor", "node": node, "first_day": DAY}
    assigned = done(await pmo.post("/role-assignments", json=body), 201)
    assert done(await pmo.post("/role-assignments", json=body)) == {**assigned, "events": []}
    early = await pmo.post("/role-assignments", json={**body, "last_day": "2019-12-31"})
    problem(early, 409, "term-ends-before-it-begins")
    await room.service.follow_itself()
    first = done(await pmo.get("/role-assignments", params={"node": node, "limit": 3}))
    assert len(first["items"]) == 3
    rest = done(await pmo.get("/role-assignments", params={"node": node, "cursor": first["next"]}))
    listed = [(item["name"], item["role"]) for item in (*first["items"], *rest["items"])]
    assert ("Vic", "contributor") in listed
    assert len(set(listed)) == len(listed) == 10
    taken = {"holder": str(subject("vic")), "role": "contributor", "node": node, "reason": "Not any more."}
    assert len(done(await pmo.post("/role-revocations", json=taken))["events"]) == 1
    assert done(await pmo.post("/role-revocations", json=taken))["events"] == []
    never = await pmo.post("/role-revocations", json={**taken, "role": "sponsor"})
    problem(never, 404, "role-not-assigned")


async def test_a_role_is_given_at_a_node_to_an_account_that_are_known(room: Room) -> None:
    unknown = str(uuid4())
    said = problem(await assign(room.service, "vic", Role.VIEWER, unknown), 404, "node-not-known")
    assert said["facts"] == {"node": unknown}
    problem(await assign(room.service, "ghost", Role.VIEWER, room.portfolio), 409, "person-not-known")


async def test_nobody_but_an_administrator_makes_administrators(room: Room) -> None:
    pmo = await room.as_("pia")
    body = {"holder": str(subject("pia")), "role": "administrator", "node": room.portfolio, "first_day": DAY}
    denied = problem(await pmo.post("/role-assignments", json=body), 403, "not-allowed")
    assert denied["facts"]["action"] == "administrator.keep"
    done(await assign(room.service, "con", Role.ADMINISTRATOR, room.portfolio), 201)
    await room.service.follow_itself()
    revoked = {"holder": str(subject("con")), "role": "administrator", "node": room.portfolio, "reason": "Mine now."}
    problem(await pmo.post("/role-revocations", json=revoked), 403, "not-allowed")
    done(await (await room.as_("con")).post("/role-assignments", json=body), 201)


async def test_a_role_at_a_project_makes_a_voter_there(room: Room) -> None:
    electorate = {"roles": ["approver"], "people": [], "body": None, "by_value_band": False}
    await room.publish(gate="G2", electorate=electorate)
    done(await assign(room.service, "con", Role.APPROVER, room.project), 201)
    await room.service.follow_itself()
    review = await room.opened(gate="G2")
    authority = {elector["name"]: elector["authority"] for elector in (await room.shown(review))["electorate"]}
    assert (authority["Con"], authority["Ana"]) == ("approver of the project", "approver above the project")


async def test_value_bands_say_whose_decision_a_value_is(room: Room) -> None:
    pmo = await room.as_("pia")
    council = done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)["stream"]
    bands = [
        {"body": room.board, "upper": {"amount": "1000000.00", "currency": "AUD"}, "inclusive": False},
        {"body": council, "upper": {"amount": "2000000.00", "currency": "AUD"}, "inclusive": True},
    ]
    done(await pmo.post("/value-bands", json={"portfolio": room.portfolio, "bands": bands, "source": SOURCE}))
    shown = await pmo.get(f"/value-bands/{room.portfolio}")
    assert done(shown) == {"portfolio": room.portfolio, "bands": bands, "source": SOURCE}
    assert shown.headers["etag"] == '"2"'
    path = f"/value-bands/{room.portfolio}/decisions"
    for amount, name in (("999999.99", "Board"), ("1000000.00", "Council"), ("2000000.00", "Council")):
        decides = done(await pmo.get(path, params={"amount": amount, "currency": "AUD"}))
        assert decides["name"] == name
    for amount, currency, parameter in (
        ("2000000.01", "AUD", "amount"),
        ("1", "EUR", "amount"),
        ("NaN", "AUD", "amount"),
        ("1E+400", "AUD", "amount"),
        ("a lot", "AUD", "amount"),
        ("1", "dollars", "currency"),
    ):
        answer = await pmo.get(path, params={"amount": amount, "currency": currency})
        (error,) = problem(answer, 422, "invalid-input")["errors"]
        assert error["parameter"] == parameter
        assert error["remedy"]


async def test_bands_that_can_not_decide_are_refused(room: Room) -> None:
    pmo = await room.as_("pia")

    def band(amount: str | None, currency: str = "AUD", body: str = room.board) -> dict[str, Any]:
        upper = {"amount": amount, "currency": currency} if amount else None
        return {"body": body, "upper": upper, "inclusive": False}

    for bands, status, slug in (
        ([], 409, "no-bands"),
        ([band("2"), band("1")], 409, "bands-not-rising"),
        ([band(None), band("1")], 409, "bands-not-rising"),
        ([band("1"), band("2", "EUR")], 409, "bands-of-several-currencies"),
        ([band("1", body=str(uuid4()))], 404, "body-not-known"),
    ):
        problem(await pmo.post("/value-bands", json={"portfolio": room.portfolio, "bands": bands}), status, slug)
    other = await heard_portfolio(room.service, "Roads")
    theirs = {"portfolio": other, "bands": [band("1")]}
    problem(await room.service.root.post("/value-bands", json=theirs), 404, "body-not-known")
    problem(await pmo.post("/value-bands", json=theirs), 403, "not-allowed")
    problem(await room.service.root.get(f"/value-bands/{other}"), 404, "not-found")
    value = {"amount": "1", "currency": "AUD"}
    problem(await room.service.root.get(f"/value-bands/{other}/decisions", params=value), 404, "not-found")


async def test_a_policy_has_editions_and_is_read_back(room: Room) -> None:
    pmo = await room.as_("pia")
    assert done(await pmo.post("/gate-policies", json=room.policy()))["events"] == []
    done(await pmo.post("/gate-policies", json=room.policy(rule="threshold", threshold="0.66")))
    which = {"portfolio": room.portfolio, "kind": "gate", "gate": "G1"}
    shown = await pmo.get("/gate-policies", params=which)
    assert (done(shown)["number"], done(shown)["threshold"], shown.headers["etag"]) == (2, "0.66", '"2"')
    problem(await pmo.get("/gate-policies", params={**which, "gate": "G7"}), 404, "not-found")
    problem(await pmo.get("/gate-policies", params={**which, "kind": "coffee"}), 422, "invalid-input")


async def test_a_review_keeps_the_edition_it_was_opened_under(room: Room) -> None:
    review = await room.opened()
    done(await (await room.as_("pia")).post("/gate-policies", json=room.policy(rule="consensus")))
    shown = await room.shown(review)
    assert (shown["policy_number"], shown["rule"], shown["policy"]["version"]) == (1, "majority", 1)
    for seen, name in ((2, "ana"), (3, "bo")):
        done(await room.vote(review, name, seen=seen))
    assert (await room.shown(review))["outcome"] == "go"


NOBODY: dict[str, Any] = {"roles": [], "people": [], "body": None, "by_value_band": False}
BAD_POLICIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "gate without a name": ({"gate": None}, 409, "gate-does-not-fit-kind"),
    "nobody votes": ({"electorate": NOBODY}, 409, "electorate-empty"),
    "quorum": ({"quorum": {"minimum": 0, "share": "1.5"}}, 409, "quorum-out-of-range"),
    "threshold without its rule": ({"threshold": "0.5"}, 409, "threshold-does-not-fit-rule"),
    "threshold": ({"rule": "threshold", "threshold": "1.5"}, 409, "threshold-out-of-range"),
    "time limit": ({"time_limit": {"days": 0, "then": "lapse"}}, 409, "time-limit-out-of-range"),
    "a failure that passes": ({"failed_outcome": "go"}, 409, "failure-may-not-pass"),
    "unknown person": ({"electorate": {**NOBODY, "people": [str(subject("ghost"))]}}, 409, "person-not-known"),
    "unknown veto": ({"veto": [str(subject("ghost"))]}, 409, "person-not-known"),
    "unknown body": ({"electorate": {**NOBODY, "body": str(uuid4())}}, 404, "body-not-known"),
}


@pytest.mark.parametrize("case", BAD_POLICIES)
async def test_a_policy_that_can_not_decide_is_refused(room: Room, case: str) -> None:
    changed, status, slug = BAD_POLICIES[case]
    problem(await (await room.as_("pia")).post("/gate-policies", json=room.policy(**changed)), status, slug)


async def test_a_policy_names_one_body(room: Room) -> None:
    electorate = {"roles": [], "people": [], "body": room.board, "by_value_band": True}
    answer = await (await room.as_("pia")).post("/gate-policies", json=room.policy(electorate=electorate))
    problem(answer, 409, "electorate-names-two-bodies")


async def test_what_is_kept_for_a_portfolio_needs_one_that_is_known(room: Room) -> None:
    for unknown in (str(uuid4()), room.project):
        for path, body in (
            ("/bodies", {"portfolio": unknown, "name": "Council"}),
            ("/value-bands", {"portfolio": unknown, "bands": []}),
            ("/gate-policies", room.policy(portfolio=unknown)),
        ):
            said = problem(await room.service.root.post(path, json=body), 404, "portfolio-not-known")
            assert said["facts"] == {"portfolio": unknown}


async def test_only_the_pmo_keeps_what_decides(room: Room) -> None:
    for name in (*BOARD, "max", "sol", "con", "vic", "aud", "eve"):
        client = await room.as_(name)
        seat = {"member": str(subject("ghost")), "first_day": DAY}
        role = {"holder": str(subject("ghost")), "role": "viewer", "node": room.portfolio}
        for path, body in (
            ("/bodies", {"portfolio": room.portfolio, "name": "Council"}),
            (f"/bodies/{room.board}/members", seat),
            (f"/bodies/{room.board}/member-releases", {"member": str(subject("ana")), "reason": ""}),
            ("/role-assignments", {**role, "first_day": DAY}),
            ("/role-revocations", {**role, "reason": ""}),
            ("/value-bands", {"portfolio": room.portfolio, "bands": []}),
            ("/gate-policies", room.policy(rule="consensus")),
            ("/decisions", {**DECISION, "project": room.project}),
        ):
            problem(await client.post(path, json=body), 403, "not-allowed")
    stranger = await room.as_("eve")
    for path, which in (
        (f"/bodies/{room.board}", {}),
        ("/bodies", {"portfolio": room.portfolio}),
        ("/role-assignments", {"node": room.portfolio}),
        (f"/value-bands/{room.portfolio}", {}),
        (f"/value-bands/{room.portfolio}/decisions", {"amount": "1", "currency": "AUD"}),
        ("/gate-policies", {"portfolio": room.portfolio, "kind": "gate", "gate": "G1"}),
    ):
        problem(await stranger.get(path, params=which), 403, "not-allowed")


async def test_a_decision_made_elsewhere_is_recorded_with_its_time_and_source(room: Room) -> None:
    pmo = await room.as_("pia")
    body = {**DECISION, "project": room.project, "body_name": "Cabinet", "outcome": "go"}
    decision = done(await pmo.post("/decisions", json=body, headers=IMPORTED), 201)["stream"]
    (recorded,) = await room.service.runtime.ledger.events(UUID(decision))
    assert isinstance(recorded.event, DecisionRecorded)
    assert recorded.envelope.time == datetime(2014, 5, 2, tzinfo=UTC)
    assert recorded.envelope.origin is Origin.IMPORTED
    shown = await (await room.as_("aud")).get(f"/decisions/{decision}")
    assert shown.headers["etag"] == '"1"'
    assert done(shown) == {"decision": decision, "portfolio": room.portfolio, **body}
    assert done(await (await room.as_("aud")).get("/reviews", params={"project": room.project}))["items"] == []
    problem(await (await room.as_("eve")).get(f"/decisions/{decision}"), 403, "not-allowed")
    problem(await pmo.get(f"/decisions/{uuid4()}"), 404, "not-found")


async def test_the_same_decision_from_another_file_adds_nothing_and_a_differing_one_is_refused(room: Room) -> None:
    pmo, body = await room.as_("pia"), {**DECISION, "project": room.project}
    first = done(await pmo.post("/decisions", json=body, headers=IMPORTED), 201)
    again = await pmo.post("/decisions", json={**body, "source": {**SOURCE, "row": 8}}, headers=IMPORTED)
    assert done(again) == {"stream": first["stream"], "version": 1, "events": []}
    other = await pmo.post("/decisions", json={**body, "body_name": "Cabinet"}, headers=IMPORTED)
    said = problem(other, 409, "decision-already-recorded")
    assert said["facts"] == {"body_name": "None on record, Cabinet given"}


async def test_a_decision_is_of_a_known_project_and_lies_in_the_past(room: Room) -> None:
    pmo, body = await room.as_("pia"), {**DECISION, "project": room.project}
    problem(await pmo.post("/decisions", json={**body, "decided_on": "2999-01-01"}), 409, "decision-not-yet-made")
    before = {"Gov-Time": "2014-04-29T00:00:00Z"}
    said = problem(await pmo.post("/decisions", json=body, headers=before), 409, "decision-not-yet-made")
    assert said["facts"] == {"decided_on": "2014-05-01", "today": "2014-04-29"}
    problem(await pmo.post("/decisions", json={**body, "gate": None}), 409, "gate-does-not-fit-kind")
    unknown = {**body, "project": str(uuid4())}
    problem(await room.service.root.post("/decisions", json=unknown), 404, "project-not-known")
    ahead = await pmo.post("/decisions", json=body, headers={"Gov-Time": "2999-01-01T00:00:00Z"})
    problem(ahead, 400, "malformed-header")


async def test_the_day_of_a_decision_is_the_portfolio_s_own(service: Service) -> None:
    # At this moment it is the second of May in the east, and still the first in the west.
    noon, body = {"Gov-Time": "2014-05-01T20:00:00Z"}, {**DECISION, "decided_on": "2014-05-02"}
    for zone, status in (("Pacific/Kiritimati", 201), ("Pacific/Pago_Pago", 409)):
        portfolio = await heard_portfolio(service, zone, time_zone=zone)
        project = str((await heard_project(service, portfolio)).stream)
        answer = await service.root.post("/decisions", json={**body, "project": project}, headers=noon)
        assert answer.status_code == status, answer.text


async def test_only_the_pmo_says_that_something_was_known_before_today(room: Room) -> None:
    body = room.question()
    denied = await (await room.as_("max")).post("/reviews", json=body, headers=IMPORTED)
    assert problem(denied, 403, "not-allowed")["facts"]["action"] == "import"


GOOD: dict[str, dict[str, Any]] = {
    "/reviews": {"kind": "gate", "gate": "G1", "question": "May it begin?", "evidence": []},
    "/votes": VOTE,
    "/condition": {"condition": 1, "evidence": [], "remark": ""},
    "/bodies": {"name": "Council"},
    "/value-bands": {},
    "/directory": {"subject": str(subject("ana")), "name": "Ana", "email": "ana@example.org"},
    "/decisions": DECISION,
}
Case = tuple[str, bytes | dict[str, Any], int, str, str | None]
BAD: dict[str, Case] = {
    "no JSON": ("/reviews", b"{", 400, "malformed-json", ""),
    "not UTF-8": ("/reviews", b'{"question": "\xff"}', 400, "malformed-json", ""),
    "no object": ("/reviews", b"[]", 422, "invalid-input", None),
    "a key twice": ("/reviews", b'{"question": "a", "question": "b"}', 400, "malformed-json", "/question"),
    "too deep": ("/reviews", b"[" * 40 + b"]" * 40, 400, "malformed-json", ""),
    "U+0000": ("/reviews", b'{"question": "a\\u0000b"}', 400, "malformed-json", "/question"),
    "half a character": ("/reviews", b'{"question": "\\ud800"}', 400, "malformed-json", "/question"),
    "NaN": ("/condition", b'{"condition": NaN, "remark": ""}', 400, "malformed-json", "/condition"),
    "Infinity": ("/condition", b'{"condition": Infinity, "remark": ""}', 400, "malformed-json", "/condition"),
    "10^20": ("/condition", b'{"condition": 100000000000000000000, "remark": ""}', 400, "malformed-json", "/condition"),
    "a fraction": ("/condition", b'{"condition": 1.5, "remark": ""}', 400, "malformed-json", "/condition"),
    "a text for a number": ("/condition", {"condition": "1"}, 422, "invalid-input", "/condition"),
    "unknown field": ("/reviews", {"colour": "red"}, 422, "invalid-input", "/colour"),
    "empty gate": ("/reviews", {"gate": ""}, 422, "invalid-input", "/gate"),
    "unknown kind": ("/reviews", {"kind": "coffee"}, 422, "invalid-input", "/kind"),
    "no project": ("/reviews", {"project": "P-1"}, 422, "invalid-input", "/project"),
    "hash": (
        "/reviews",
        {"evidence": [{"title": "Case", "uri": "x", "sha256": "x"}]},
        422,
        "invalid-input",
        "/evidence/0/sha256",
    ),
    "long text": ("/votes", {"reason": "x" * 8001}, 422, "invalid-input", "/reason"),
    "unknown choice": ("/votes", {"choice": "maybe"}, 422, "invalid-input", "/choice"),
    "a day that is none": (
        "/votes",
        {"conditions": [{"text": "", "owner": str(uuid4()), "due": "2030-02-30"}]},
        422,
        "invalid-input",
        "/conditions/0/due",
    ),
    "empty name": ("/bodies", {"name": ""}, 422, "invalid-input", "/name"),
    "a number for money": (
        "/value-bands",
        b'{"bands": [{"body": null, "upper": {"amount": 1.5, "currency": "AUD"}, "inclusive": true}]}',
        400,
        "malformed-json",
        "/bands/0/upper/amount",
    ),
    "currency": (
        "/value-bands",
        {"bands": [{"body": str(uuid4()), "upper": {"amount": "1", "currency": "aud"}, "inclusive": True}]},
        422,
        "invalid-input",
        "/bands/0/upper/currency",
    ),
    "NaN for money": (
        "/value-bands",
        {"bands": [{"body": str(uuid4()), "upper": {"amount": "NaN", "currency": "AUD"}, "inclusive": True}]},
        422,
        "invalid-input",
        "/bands/0/upper/amount",
    ),
    "an empty name in the directory": ("/directory", {"name": ""}, 422, "invalid-input", "/name"),
    "an account that is none": ("/directory", {"subject": "ana"}, 422, "invalid-input", "/subject"),
    "source": ("/decisions", {"source": {**SOURCE, "sha256": "x"}}, 422, "invalid-input", "/source/sha256"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_its_place_and_remedy(service: Service, case: str) -> None:
    path, body, status, slug, pointer = BAD[case]
    portfolio = await heard_portfolio(service)
    project = str((await heard_project(service, portfolio)).stream)
    above = {"/reviews": {"project": project}, "/decisions": {"project": project}, "/directory": {}}
    good = {**GOOD[path], **above.get(path, {"portfolio": portfolio} if path in ("/bodies", "/value-bands") else {})}
    sent = {"content": body} if isinstance(body, bytes) else {"json": {**good, **body}}
    address = {"/votes": f"/reviews/{uuid4()}/votes", "/condition": f"/reviews/{uuid4()}/condition-closures"}
    headers = {"Content-Type": "application/json"}
    said = problem(await service.root.post(address.get(path, path), headers=headers, **sent), status, slug)
    assert all(error["remedy"] and error["detail"] for error in said["errors"])
    if pointer is not None:
        assert [error["pointer"] for error in said["errors"]] == [pointer]
    assert await service.runtime.ledger.pool.fetchval("SELECT count(*) FROM events") == 0
    assert await service.runtime.ledger.pool.fetchval("SELECT count(*) FROM directory") == 0


async def test_a_body_that_is_too_large_or_no_json_by_name_is_refused(service: Service) -> None:
    large = b'{"question": "' + b"x" * 262_144 + b'"}'
    headers = {"Content-Type": "application/json"}
    problem(await service.root.post("/reviews", content=large, headers=headers), 413, "body-too-large")
    problem(await service.root.post("/reviews", content=b"{}"), 415, "unsupported-media-type")
    problem(await service.root.put("/reviews", json={}), 405, "method-not-allowed")
    problem(await service.root.get("/nowhere"), 404, "not-found")


async def test_queries_say_which_parameter_is_wrong(service: Service) -> None:
    for path, parameter in (
        ("/reviews?project=P-1", "project"),
        ("/reviews", "project"),
        (f"/bodies?portfolio={uuid4()}&limit=0", "limit"),
        ("/role-assignments?node=", "node"),
    ):
        (error,) = problem(await service.root.get(path), 422, "invalid-input")["errors"]
        assert error["parameter"] == parameter


async def test_a_breach_that_projects_report_is_shown_and_is_before_whoever_reviews_the_gate(room: Room) -> None:
    path = f"/project-reviews/{room.project}"
    auditor = await room.as_("aud")
    assert done(await auditor.get(path)) == {"project": room.project, "ended": False, "breaches": []}
    began = date(2026, 3, 2)
    told = GateBreached(PortfolioId(UUID(room.portfolio)), "planning", "G1", began, subject("aud"), "Diggers on site.")
    await room.service.hear(room.project_stream.event(told))
    breach = {"phase": "planning", "gate": "G1", "began_on": "2026-03-02"}
    shown = await auditor.get(path)
    assert done(shown) == {"project": room.project, "ended": False, "breaches": [breach]}
    assert shown.headers["etag"] == '"1"'
    review = await room.opened()
    opened = await room.shown(review)
    assert (opened["breaches"], opened["ready"]) == ([breach], False)
    for seen, name in enumerate(("ana", "bo"), start=2):
        done(await room.vote(review, name, seen=seen))
    concluded = (await room.facts(review))[-1]
    assert isinstance(concluded, ReviewConcluded)
    assert concluded.breaches == (Breach("planning", "G1", began),)


async def test_what_reviews_of_a_project_share_is_for_those_who_may_see_the_project(room: Room) -> None:
    problem(await (await room.as_("eve")).get(f"/project-reviews/{room.project}"), 403, "not-allowed")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/bodies", "portfolio"),
        ("/role-assignments", "node"),
        ("/review-requests", "project"),
        ("/meetings", "portfolio"),
        ("/gate-policies/current", "portfolio"),
    ],
)
async def test_a_list_of_a_node_that_nobody_knows_is_not_found_as_the_description_says(
    service: Service, path: str, parameter: str
) -> None:
    answer = await (await service.client("pia")).get(path, params={parameter: str(uuid4())})
    problem(answer, 404, "not-found")
    assert "404" in service.definition.api.openapi()["paths"][path]["get"]["responses"]

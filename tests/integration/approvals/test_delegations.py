"""Delegations over HTTP: who grants them, who ends them, who sees them."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import DAY, Room, assign, register
from tests.support.nodes import heard_portfolio, heard_project
from tests.support.services import Service, done, person, problem, subject

from govevents.approvals import DelegationGranted, DelegationRevoked, Role

LIMIT = {"amount": "1000000.00", "currency": "AUD"}


def asked(room: Room, whom: str = "con", **changed: Any) -> dict[str, Any]:
    body = {"delegate": str(subject(whom)), "node": room.portfolio, "kinds": ["gate"], "limit": LIMIT}
    return {**body, "first_day": DAY, "last_day": "2999-12-31", "reason": "Annual leave.", **changed}


async def granted(room: Room, who: str = "ana", whom: str = "con", **changed: Any) -> str:
    answer = await (await room.as_(who)).post("/delegations", json=asked(room, whom, **changed))
    return str(done(answer, 201)["stream"])


async def facts(room: Room, delegation: str) -> list[Any]:
    return [recorded.event for recorded in await room.service.runtime.ledger.events(UUID(delegation))]


async def test_a_person_delegates_and_everyone_there_sees_to_whom_for_what_and_until_when(room: Room) -> None:
    delegation = await granted(room)
    (event,) = await facts(room, delegation)
    assert isinstance(event, DelegationGranted)
    assert (event.delegator_person, event.delegate_person) == (person("ana"), person("con"))
    shown = await (await room.as_("aud")).get(f"/delegations/{delegation}")
    assert shown.headers["etag"] == '"1"'
    assert done(shown) == {
        "delegation": delegation,
        "delegator": str(subject("ana")),
        "delegator_name": "Ana",
        "delegate_name": "Con",
        "revoked_by": None,
        "revoked_because": None,
        **asked(room),
    }


async def test_the_same_request_again_is_the_same_delegation(room: Room) -> None:
    ana, key = await room.as_("ana"), {"Idempotency-Key": "leave in July"}
    first = done(await ana.post("/delegations", json=asked(room), headers=key), 201)
    again = await ana.post("/delegations", json=asked(room), headers=key)
    assert (done(again, 201), again.headers["gov-repeated"]) == (first, "true")


async def test_without_kinds_and_limit_it_is_for_every_review(room: Room) -> None:
    body = {name: value for name, value in asked(room).items() if name not in ("kinds", "limit")}
    delegation = done(await (await room.as_("ana")).post("/delegations", json=body), 201)["stream"]
    shown = done(await (await room.as_("con")).get(f"/delegations/{delegation}"))
    assert (shown["kinds"], shown["limit"]) == ([], None)


async def test_nobody_delegates_to_themselves_or_to_a_stranger(room: Room) -> None:
    ana = await room.as_("ana")
    await register(room.service, "ana", "ana-admin", person=str(person("ana")))
    problem(await ana.post("/delegations", json=asked(room, "ana-admin")), 409, "delegates-to-oneself")
    said = problem(await ana.post("/delegations", json=asked(room, "ghost")), 409, "person-not-known")
    assert said["facts"] == {"account": str(subject("ghost"))}


async def test_nobody_delegates_who_is_not_in_the_directory(room: Room) -> None:
    await room.service.assign("new", Role.APPROVER, room.portfolio)
    answer = await (await room.as_("new")).post("/delegations", json=asked(room))
    assert problem(answer, 409, "person-not-known")["facts"] == {"account": str(subject("new"))}


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"first_day": "2999-02-01", "last_day": "2999-01-31"}, "term-ends-before-it-begins"),
        ({"last_day": "2020-01-02"}, "delegation-term-over"),
        ({"limit": {"amount": "-1", "currency": "AUD"}}, "limit-below-zero"),
    ],
)
async def test_a_delegation_that_would_never_hold_is_refused(room: Room, changed: dict[str, Any], slug: str) -> None:
    problem(await (await room.as_("ana")).post("/delegations", json=asked(room, **changed)), 409, slug)


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"kinds": ["coffee"]}, "/kinds/0"),
        ({"limit": {"amount": "NaN", "currency": "AUD"}}, "/limit/amount"),
        ({"last_day": "2026-02-30"}, "/last_day"),
        ({"delegate": "con"}, "/delegate"),
        ({"delegator": str(uuid4())}, "/delegator"),
    ],
)
async def test_bad_input_is_refused_with_its_place(room: Room, changed: dict[str, Any], pointer: str) -> None:
    answer = await (await room.as_("ana")).post("/delegations", json=asked(room, **changed))
    (error,) = problem(answer, 422, "invalid-input")["errors"]
    assert (error["pointer"], bool(error["remedy"])) == (pointer, True)


async def test_one_delegates_only_where_one_might_vote(room: Room) -> None:
    for name in ("vic", "aud", "eve"):
        answer = await (await room.as_(name)).post("/delegations", json=asked(room))
        assert problem(answer, 403, "not-allowed")["facts"]["action"] == "delegation.grant"
    problem(await room.service.root.post("/delegations", json=asked(room, node=str(uuid4()))), 404, "node-not-known")


async def test_nobody_delegates_or_revokes_in_the_past(room: Room) -> None:
    past = {"Gov-Time": "2020-05-02T00:00:00Z"}
    pia, delegation = await room.as_("pia"), await granted(room)
    problem(await pia.post("/delegations", json=asked(room), headers=past), 409, "not-importable")
    revocation = await pia.post(f"/delegations/{delegation}/revocations", json={"reason": "Back."}, headers=past)
    problem(revocation, 409, "not-importable")


async def test_the_last_day_is_one_of_the_portfolio_s_own(service: Service) -> None:
    # At this moment it is the second of May in the east, and still the first in the west.
    noon = {"Gov-Demo-Time": "2026-05-01T20:00:00Z"}
    root = await service.client("root", administrator=True, demo=True)
    for name in ("root", "con"):
        await register(service, name)
    term = {"first_day": "2026-04-01", "last_day": "2026-05-01", "reason": "Annual leave."}
    for zone, status in (("Pacific/Kiritimati", 409), ("Pacific/Pago_Pago", 201)):
        portfolio = await heard_portfolio(service, zone, time_zone=zone)
        project = str((await heard_project(service, portfolio)).stream)
        for node in (portfolio, project):
            body = {"delegate": str(subject("con")), "node": node, **term}
            answer = await root.post("/delegations", json=body, headers=noon)
            assert answer.status_code == status, answer.text


async def test_outside_its_term_place_and_currency_and_for_anyone_else_a_delegation_gives_no_vote(room: Room) -> None:
    review = await room.opened()
    other = str((await heard_project(room.service, room.portfolio, reference="P-2")).stream)
    outside: list[tuple[dict[str, Any], str]] = [
        ({"first_day": "2999-12-31"}, "delegation-not-in-force"),
        ({"node": other}, "delegation-out-of-scope"),
        ({"limit": {"amount": "9000000.00", "currency": "NZD"}}, "delegation-limit-not-comparable"),
    ]
    for changed, slug in outside:
        delegation = await granted(room, "ana", "con", **{"limit": None, **changed})
        problem(await room.vote(review, "con", seen=2, delegation=delegation), 409, slug)
    theirs = await granted(room, "ana", "sol", limit=None)
    problem(await room.vote(review, "con", seen=2, delegation=theirs), 403, "not-the-delegate")
    at_the_limit = await granted(room, limit={"amount": "2500000.00", "currency": "AUD"}, kinds=[])
    done(await room.vote(review, "con", seen=2, delegation=at_the_limit))


@pytest.mark.parametrize("who", ["ana", "con", "pia"])
async def test_either_party_and_the_pmo_end_a_delegation_once(room: Room, who: str) -> None:
    delegation = await granted(room)
    client, revocations = await room.as_(who), f"/delegations/{delegation}/revocations"
    assert len(done(await client.post(revocations, json={"reason": "Back early."}))["events"]) == 1
    assert done(await client.post(revocations, json={"reason": "Another reason."}))["events"] == []
    revoked = DelegationRevoked(
        subject("ana"), subject("con"), (await facts(room, delegation))[0].node, subject(who), "Back early."
    )
    assert (await facts(room, delegation))[1:] == [revoked]
    shown = done(await client.get(f"/delegations/{delegation}"))
    assert (shown["revoked_by"], shown["revoked_because"]) == (str(subject(who)), "Back early.")


async def test_nobody_else_ends_a_delegation(room: Room) -> None:
    revocations = f"/delegations/{await granted(room)}/revocations"
    for name in ("bo", "max", "aud", "eve"):
        answer = await (await room.as_(name)).post(revocations, json={"reason": "So there."})
        assert problem(answer, 403, "not-allowed")["facts"]["action"] == "delegation.revoke"
    unknown = await room.service.root.post(f"/delegations/{uuid4()}/revocations", json={"reason": ""})
    problem(unknown, 404, "not-found")


async def test_whoever_has_no_role_there_sees_only_the_delegations_that_are_their_own(room: Room) -> None:
    await register(room.service, "eve")
    theirs, other = await granted(room, "ana", "eve"), await granted(room, "bo", "con")
    eve = await room.as_("eve")
    assert done(await eve.get(f"/delegations/{theirs}"))["delegate_name"] == "Eve"
    problem(await eve.get(f"/delegations/{other}"), 403, "not-allowed")
    assert [each["delegation"] for each in done(await eve.get("/delegations"))["items"]] == [theirs]
    problem(await eve.get(f"/delegations/{uuid4()}"), 404, "not-found")


async def test_delegations_are_listed_by_who_granted_who_received_and_where(room: Room) -> None:
    done(await assign(room.service, "bo", Role.APPROVER, room.project), 201)
    await room.service.follow_itself()
    first, second = await granted(room, "ana", "con"), await granted(room, "bo", "con", node=room.project)
    third = await granted(room, "ana", "vic")
    aud = await room.as_("aud")

    async def listed(**wanted: str) -> list[str]:
        return [each["delegation"] for each in done(await aud.get("/delegations", params=wanted))["items"]]

    assert await listed() == [first, second, third]
    assert await listed(**{"from": str(subject("ana"))}) == [first, third]
    assert await listed(to=str(subject("con"))) == [first, second]
    assert await listed(**{"from": str(subject("ana"))}, to=str(subject("con"))) == [first]
    assert await listed(node=room.project) == [second]
    page = done(await aud.get("/delegations", params={"limit": 2}))
    rest = done(await aud.get("/delegations", params={"limit": 2, "cursor": page["next"]}))
    assert ([each["delegation"] for each in rest["items"]], rest["next"]) == ([third], None)
    (error,) = problem(await aud.get("/delegations?from=ana"), 422, "invalid-input")["errors"]
    assert error["parameter"] == "from"

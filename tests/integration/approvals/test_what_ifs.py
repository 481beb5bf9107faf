"""What-if over HTTP: a portfolio's recorded votes under another policy."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import Room, assign
from tests.support.services import done, problem, subject

from govevents.approvals import Role

APPROVE, REJECT = "approve", "reject"


async def decided(room: Room, **votes: str) -> str:
    """A review of gate G1 on which these have voted, in this order."""
    review = await room.opened()
    for version, (name, choice) in enumerate(votes.items(), start=2):
        done(await room.vote(review, name, seen=version, choice=choice))
    return review


async def tried(room: Room, who: str = "pia", **asked: Any) -> Any:
    changes = asked.pop("changes", {})
    body = {"portfolio": room.portfolio, "changes": changes, **asked}
    return done(await (await room.as_(who)).post("/what-ifs", json=body))


async def test_it_says_which_decisions_another_rule_would_have_made_otherwise_and_why(room: Room) -> None:
    done(await (await room.as_("pia")).post("/gate-policies", json=room.policy(quorum={"minimum": 3, "share": "0"})))
    divided = await decided(room, ana=APPROVE, bo=REJECT, cy=APPROVE)
    agreed = await decided(room, ana=APPROVE, bo=APPROVE, cy=APPROVE)
    before = await events_of(room)
    answer = await tried(room, changes={"rule": "consensus"})
    assert [(each["review"], each["changed"]) for each in answer["decisions"]] == [(divided, True), (agreed, False)]
    turned = answer["decisions"][0]
    assert (turned["recorded"]["outcome"], turned["supposed"]["outcome"]) == ("go", "recycle")
    assert "A consensus needs everyone's vote, and none that rejects" in turned["supposed"]["because"]
    assert answer["totals"] == {
        "decisions": 2,
        "changed": 1,
        "undecided": 0,
        "not_reproduced": 0,
        "turns": [{"recorded": "go", "supposed": "recycle", "decisions": 1}],
    }
    assert await events_of(room) == before


async def events_of(room: Room) -> int:
    return int(await room.service.runtime.ledger.pool.fetchval("SELECT count(*) FROM events"))


async def test_unchanged_it_comes_to_what_is_recorded(room: Room) -> None:
    await decided(room, ana=APPROVE, bo=REJECT, cy=REJECT)
    await decided(room, ana=APPROVE)
    answer = await tried(room)
    assert [(each["recorded"], each["reproduced"]) for each in answer["decisions"]] == [
        (each["supposed"], True) for each in answer["decisions"]
    ]
    assert [each["recorded"]["end"] for each in answer["decisions"]] == ["concluded", "undecided"]


async def test_who_was_not_heard_is_named(room: Room) -> None:
    await decided(room, ana=APPROVE, bo=APPROVE)
    answer = await tried(room, changes={"quorum": {"minimum": 3, "share": "0"}})
    (decision,) = answer["decisions"]
    assert (decision["supposed"]["outcome"], decision["unheard"]) == (None, [str(subject("cy"))])
    assert answer["names"] == {str(subject("cy")): "Cy"}


async def test_another_electorate_is_worked_out_as_it_stood_at_the_submission(room: Room) -> None:
    await decided(room, ana=APPROVE, bo=APPROVE)
    body = {"account": str(subject("ana")), "role": "approver", "node": room.portfolio}
    revocation = {"holder": body["account"], "role": "approver", "node": room.portfolio, "reason": "Has left."}
    done(await room.service.root.post("/role-revocations", json=revocation))
    done(await assign(room.service, "con", Role.APPROVER, room.portfolio), 201)
    await room.service.follow_itself()
    voters = {"roles": ["approver"], "people": [], "body": None, "by_value_band": False}
    answer = await tried(room, changes={"electorate": voters})
    (decision,) = answer["decisions"]
    assert (decision["supposed"]["outcome"], decision["uncounted"], decision["changed"]) == ("go", [], False)
    other = {"roles": ["sponsor"], "people": [str(subject("cy"))], "body": None, "by_value_band": False}
    (decision,) = (await tried(room, changes={"electorate": other, "quorum": {"minimum": 1, "share": "0"}}))[
        "decisions"
    ]
    assert [each["refusal"] for each in decision["uncounted"]] == ["not-an-elector", "not-an-elector"]
    assert decision["unheard"] == [str(subject("cy"))]


async def test_other_bands_ask_another_body(room: Room) -> None:
    await decided(room, ana=APPROVE, bo=APPROVE)
    pmo = await room.as_("pia")
    council = done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)["stream"]
    for name in ("vic", "aud"):
        seat = {"member": str(subject(name)), "chair": False, "first_day": "2020-01-01"}
        done(await pmo.post(f"/bodies/{council}/members", json=seat))
    bands = [{"body": council, "upper": None, "inclusive": False}]
    (decision,) = (await tried(room, changes={"bands": bands}))["decisions"]
    # The council has no members on the day of the submission that the ledger knew of then.
    assert decision["supposed"]["end"] == "not_put"
    later = await decided(room, ana=APPROVE, bo=APPROVE)
    decision = next(
        each for each in (await tried(room, changes={"bands": bands}))["decisions"] if each["review"] == later
    )
    assert {each["refusal"] for each in decision["uncounted"]} == {"not-an-elector"}
    assert set(decision["unheard"]) == {str(subject("vic")), str(subject("aud"))}


async def test_a_delegated_vote_above_another_limit_does_not_count(room: Room) -> None:
    review = await room.opened()
    await room.service.assign("con", Role.APPROVER, room.portfolio)
    body = {
        "delegate": str(subject("con")),
        "node": room.portfolio,
        "kinds": [],
        "limit": {"amount": "9000000.00", "currency": "AUD"},
        "first_day": "2020-01-01",
        "last_day": "2099-12-31",
        "reason": "Away.",
    }
    delegation = done(await (await room.as_("ana")).post("/delegations", json=body), 201)["stream"]
    done(await room.vote(review, "con", seen=2, delegation=delegation))
    done(await room.vote(review, "bo", seen=3))
    limit = {"amount": "1000000.00", "currency": "AUD"}
    (decision,) = (await tried(room, changes={"delegation_limit": limit}))["decisions"]
    (uncounted,) = decision["uncounted"]
    assert (uncounted["voter"], uncounted["refusal"]) == (str(subject("con")), "delegation-limit-exceeded")
    assert (decision["recorded"]["outcome"], decision["supposed"]["outcome"]) == ("go", None)
    assert (await tried(room))["decisions"][0]["changed"] is False


async def test_only_what_is_meant_is_tried(room: Room) -> None:
    await decided(room, ana=APPROVE, bo=APPROVE)
    await room.drafted()
    for meant, decisions in (
        ({"kind": "gate", "gate": "G1"}, 1),
        ({"gate": "G2"}, 0),
        ({"kind": "budget"}, 0),
        ({"submitted_from": "2099-01-01"}, 0),
        ({"submitted_until": "2020-01-01"}, 0),
        ({"submitted_from": "2020-01-01", "submitted_until": "2099-01-01"}, 1),
    ):
        assert (await tried(room, **meant))["totals"]["decisions"] == decisions


async def test_a_time_that_ends_before_it_begins_is_refused_with_both_days(room: Room) -> None:
    body = {"portfolio": room.portfolio, "submitted_from": "2026-02-01", "submitted_until": "2026-01-31", "changes": {}}
    said = problem(await (await room.as_("pia")).post("/what-ifs", json=body), 422, "invalid-input")
    (fault,) = said["errors"]
    assert (fault["pointer"], fault["value"]) == ("/submitted_until", "2026-01-31")
    assert fault["detail"] == "lies before submitted_from, 2026-02-01"


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"rule": "threshold"}, 409, "threshold-does-not-fit-rule"),
        ({"rule": "threshold", "threshold": "1.5"}, 409, "threshold-out-of-range"),
        ({"rule": "majority", "threshold": "0.5"}, 422, "invalid-input"),
        ({"rule": "threshold", "threshold": "0"}, 409, "threshold-out-of-range"),
        ({"veto": [str(uuid4())]}, 409, "person-not-known"),
        ({"quorum": {"minimum": 0, "share": "0"}}, 409, "quorum-out-of-range"),
        ({"failed_outcome": "go"}, 409, "failure-may-not-pass"),
        ({"electorate": {"roles": [], "people": [], "body": None, "by_value_band": False}}, 409, "electorate-empty"),
        ({"delegation_limit": {"amount": "-1", "currency": "AUD"}}, 422, "invalid-input"),
        ({"bands": []}, 409, "no-bands"),
        ({"bands": [{"body": str(uuid4()), "upper": None, "inclusive": False}]}, 404, "body-not-known"),
        ({"colour": "blue"}, 422, "invalid-input"),
    ],
)
async def test_what_no_policy_could_say_is_refused_by_name(
    room: Room, changes: dict[str, Any], status: int, slug: str
) -> None:
    await decided(room, ana=APPROVE, bo=APPROVE)
    client = await room.as_("pia")
    problem(await client.post("/what-ifs", json={"portfolio": room.portfolio, "changes": changes}), status, slug)


async def test_those_who_set_rules_and_those_who_look_into_them_may_try_others(room: Room) -> None:
    for name in ("pia", "aud"):
        assert (await tried(room, name))["totals"]["decisions"] == 0
    body = {"portfolio": room.portfolio, "changes": {}}
    for name in ("max", "ana", "stranger"):
        problem(await (await room.as_(name)).post("/what-ifs", json=body), 403, "not-allowed")
    nowhere = {"portfolio": str(UUID(int=1)), "changes": {}}
    problem(await room.service.root.post("/what-ifs", json=nowhere), 404, "portfolio-not-known")

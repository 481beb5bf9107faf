"""What a gate policy asks for, on what terms conditions are set, and how it came to be what it is."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.approvals.room import Room
from tests.support.services import done, problem, subject

PLAN = {"code": "plan", "name": "Project plan", "evidence_kind": "plan"}
COST = {
    "code": "cost",
    "text": "The cost is in hand.",
    "need": "must",
    "evidence_kinds": [],
    "kpi": {"kpi": "cpi", "comparison": "at_least", "threshold": "0.9", "decides": True},
    "from_value": {"amount": "1000000", "currency": "AUD"},
}
CASE = {"code": "case", "text": "The case is argued.", "need": "should", "evidence_kinds": ["case", "appraisal"]}
TERMS = {"most": 2, "longest_days": 90, "lapses": ["hold", "escalation"], "reminder_days": [3, 14]}
ANY_CONDITIONS = {
    "most": None,
    "longest_days": None,
    "lapses": ["reminder", "escalation", "hold"],
    "reminder_days": [],
}


async def test_a_policy_is_shown_with_all_that_it_asks_for(room: Room) -> None:
    council = {"portfolio": room.portfolio, "name": "Council"}
    above = done(await (await room.as_("pia")).post("/bodies", json=council), 201)["stream"]
    limit = {"days": 14, "then": "escalate", "reminder_days": [1, 7]}
    asked = {"deliverables": [PLAN], "criteria": [COST, CASE], "conditions": TERMS}
    done(
        await (await room.as_("pia")).post(
            "/gate-policies", json=room.policy(**asked, time_limit=limit, escalate_to=above)
        )
    )
    which = {"portfolio": room.portfolio, "kind": "gate", "gate": "G1"}
    shown = done(await (await room.as_("aud")).get("/gate-policies", params=which))
    assert shown["escalate_to"] == above
    assert shown["time_limit"] == {"days": 14, "then": "escalate", "reminder_days": [7, 1]}
    assert shown["deliverables"] == [{**PLAN, "from_value": None}]
    assert shown["criteria"] == [
        {**CASE, "evidence_kinds": ["appraisal", "case"], "kpi": None, "from_value": None},
        COST,
    ]
    assert shown["conditions"] == {**TERMS, "lapses": ["escalation", "hold"], "reminder_days": [14, 3]}


async def test_a_body_without_terms_allows_any_conditions_and_one_with_null_none(room: Room) -> None:
    pmo, which = await room.as_("pia"), {"portfolio": room.portfolio, "kind": "gate", "gate": "G1"}
    shown = done(await pmo.get("/gate-policies", params=which))
    assert (shown["conditions"], shown["criteria"], shown["escalate_to"]) == (ANY_CONDITIONS, [], None)
    assert done(await pmo.post("/gate-policies", json=room.policy(conditions=ANY_CONDITIONS)))["events"] == []
    done(await pmo.post("/gate-policies", json=room.policy(conditions=None)))
    shown = done(await pmo.get("/gate-policies", params=which))
    assert (shown["conditions"], shown["number"]) == (None, 2)


TOO_LONG = {**TERMS, "longest_days": 3651}
BAD: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "a reminder after the end": (
        {"time_limit": {"days": 7, "then": "lapse", "reminder_days": [7]}},
        "reminder-out-of-range",
        {"reminder_days": "7", "days": "7"},
    ),
    "a code twice": ({"criteria": [CASE, {**COST, "code": "case"}]}, "code-listed-twice", {"criteria": "case"}),
    "a criterion of nothing": (
        {"criteria": [{**CASE, "evidence_kinds": []}]},
        "criterion-unmeasurable",
        {"criterion": "case"},
    ),
    "advice that decides": (
        {"criteria": [{**COST, "need": "should"}]},
        "advisory-criterion-decides",
        {"criterion": "cost", "kpi": "cpi"},
    ),
    "a value of nothing": (
        {"deliverables": [{**PLAN, "from_value": {"amount": "0", "currency": "AUD"}}]},
        "from-value-not-positive",
        {"from_value": "0 AUD"},
    ),
    "two currencies": (
        {"criteria": [COST], "deliverables": [{**PLAN, "from_value": {"amount": "1", "currency": "USD"}}]},
        "from-values-of-several-currencies",
        {"currencies": "AUD, USD"},
    ),
    "too many deliverables": (
        {"deliverables": [{**PLAN, "code": f"d{number}"} for number in range(101)]},
        "asks-for-too-much",
        {"deliverables": "101"},
    ),
    "conditions that nothing follows": ({"conditions": {**TERMS, "lapses": []}}, "nothing-follows-a-lapse", {}),
    "conditions for eleven years": (
        {"conditions": TOO_LONG},
        "condition-terms-out-of-range",
        {"longest_days": "3651"},
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_policy_that_asks_for_what_makes_no_sense_is_refused_by_name(room: Room, case: str) -> None:
    changed, slug, facts = BAD[case]
    answer = await (await room.as_("pia")).post("/gate-policies", json=room.policy(**changed))
    said = problem(answer, 409, slug)
    assert (said.get("facts", {}), said["detail"][-1]) == (facts, ".")


async def test_a_review_that_can_not_be_decided_goes_to_another_body_of_the_portfolio(room: Room) -> None:
    pmo = await room.as_("pia")
    own = {"roles": [], "people": [], "body": room.board, "by_value_band": False}
    itself = room.policy(electorate=own, escalate_to=room.board)
    problem(await pmo.post("/gate-policies", json=itself), 409, "escalates-to-itself")
    unknown = room.policy(escalate_to=str(uuid4()))
    problem(await pmo.post("/gate-policies", json=unknown), 404, "body-not-known")


async def test_the_policies_of_a_portfolio_are_listed_as_they_hold_now(room: Room) -> None:
    pmo, auditor = await room.as_("pia"), await room.as_("aud")
    done(await pmo.post("/gate-policies", json=room.policy(kind="closure", gate=None)), 201)
    done(await pmo.post("/gate-policies", json=room.policy(rule="consensus")))
    first = done(await auditor.get("/gate-policies/current", params={"portfolio": room.portfolio, "limit": 1}))
    assert [(each["gate"], each["number"], each["rule"]) for each in first["items"]] == [("G1", 2, "consensus")]
    rest = {"portfolio": room.portfolio, "limit": 1, "cursor": first["next"]}
    second = done(await auditor.get("/gate-policies/current", params=rest))
    assert ([each["kind"] for each in second["items"]], second["next"]) == (["closure"], None)
    other = {"portfolio": str(uuid4())}
    assert done(await room.service.root.get("/gate-policies/current", params=other))["items"] == []
    problem(await (await room.as_("eve")).get("/gate-policies/current", params=rest), 403, "not-allowed")


async def test_each_edition_stays_on_record_with_who_published_it_when(room: Room) -> None:
    done(await room.service.root.post("/gate-policies", json=room.policy(rule="consensus", criteria=[CASE])))
    which = {"portfolio": room.portfolio, "kind": "gate", "gate": "G1"}
    answer = await (await room.as_("aud")).get("/gate-policies/editions", params=which)
    assert answer.headers["etag"] == '"2"'
    first, second = done(answer)["items"]
    assert (first["edition"]["number"], first["edition"]["rule"], first["edition"]["criteria"]) == (1, "majority", [])
    assert (first["published_by"], first["publisher"]) == (str(subject("pia")), "Pia")
    assert (second["edition"]["number"], second["edition"]["rule"]) == (2, "consensus")
    assert second["publisher"] is None, "the first administrator is not in the directory"
    assert datetime.fromisoformat(first["published_at"]) <= datetime.fromisoformat(second["published_at"])
    problem(await room.service.root.get("/gate-policies/editions", params={**which, "gate": "G7"}), 404, "not-found")
    problem(await (await room.as_("eve")).get("/gate-policies/editions", params=which), 403, "not-allowed")

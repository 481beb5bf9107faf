"""Gate policies from a file: as people write them, exact to the last digit, each taken or reported by itself."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.unit.gov.gatehouse import Gatehouse, problem

from gov.client import Refused
from gov.imports.policies import PoliciesRefused, load_policies, publish_policies, rehearse_policies

PORTFOLIO = "11111111-1111-4111-8111-111111111111"
TWO = """
policies:
  - kind: gate
    gate: G1
    electorate: { roles: [approver], body: Board }
    quorum: { minimum: 2, share: 0.50 }
    rule: threshold
    threshold: 0.66
    time_limit: { days: 14, then: escalate, reminder_days: [7, 1] }
    escalate_to: Council
    criteria:
      - code: cost
        text: The cost is in hand.
        need: must
        evidence_kinds: []
        kpi: { kpi: cpi, comparison: at_least, threshold: 0.9, decides: true }
        from_value: { amount: 1000000.00, currency: AUD }
    conditions: null
  - kind: closure
    electorate: { by_value_band: true }
    quorum: { minimum: 1, share: 0 }
    rule: majority
"""


def written(folder: Path, content: str, name: str = "policies.yaml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


async def sent(folder: Path, gatehouse: Gatehouse) -> list[Any]:
    async with gatehouse.client() as client:
        await publish_policies(client, load_policies(written(folder, TWO)), PORTFOLIO)
    return [body for _, body in gatehouse.taken]


def test_the_example_that_is_documented_can_be_published(tmp_path: Path) -> None:
    documented = Path(__file__).parents[3] / "deploy" / "mappings" / "README.md"
    example, *_ = re.findall(r"```yaml\n(.*?)```", documented.read_text(encoding="utf-8"), re.DOTALL)
    (policy,) = load_policies(written(tmp_path, example)).policies
    assert [each.code for each in policy.deliverables] == ["plan", "safety"]
    assert [each.code for each in policy.criteria] == ["case", "cost"]


async def test_a_policy_is_sent_with_the_ids_of_its_bodies_and_every_digit_as_written(tmp_path: Path) -> None:
    gate, closure = await sent(tmp_path, Gatehouse(bodies={"Board": "b1", "Council": "b2"}))
    assert (gate["portfolio"], gate["gate"], gate["escalate_to"]) == (PORTFOLIO, "G1", "b2")
    assert gate["electorate"] == {"roles": ["approver"], "people": [], "body": "b1", "by_value_band": False}
    assert (gate["quorum"], gate["threshold"]) == ({"minimum": 2, "share": "0.50"}, "0.66")
    assert gate["criteria"][0]["kpi"]["threshold"] == "0.9"
    assert gate["criteria"][0]["from_value"] == {"amount": "1000000.00", "currency": "AUD"}
    assert gate["time_limit"] == {"days": 14, "then": "escalate", "reminder_days": [7, 1]}
    assert closure["electorate"] == {"roles": [], "people": [], "body": None, "by_value_band": True}


async def test_what_a_file_leaves_out_is_left_to_the_service_and_null_is_sent(tmp_path: Path) -> None:
    gate, closure = await sent(tmp_path, Gatehouse(bodies={"Board": "b1", "Council": "b2"}))
    assert gate["conditions"] is None
    assert "conditions" not in closure
    assert set(closure) == {"portfolio", "kind", "electorate", "quorum", "rule"}


def test_json_reads_as_yaml_does(tmp_path: Path) -> None:
    policy = '{"policies": [{"kind": "closure", "electorate": {"by_value_band": true}, "rule": "majority", '
    as_json = written(tmp_path, policy + '"quorum": {"minimum": 1, "share": 0.50}}]}', "policies.json")
    assert load_policies(as_json).policies == load_policies(written(tmp_path, as_json.read_text())).policies
    assert str(load_policies(as_json).policies[0].quorum.share) == "0.50"


@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        ("rule: majority", "rule: dice", "policies/1/rule = 'dice'"),
        ("kind: closure", "sort: closure", "policies/1/kind"),
        ("kind: closure", "kind: closure\n    colour: red", "policies/1/colour = 'red'"),
        ("days: 14", "days: soon", "policies/0/time_limit/days = 'soon'"),
        ("share: 0.50", "share: half", "policies/0/quorum/share = 'half'"),
        ("currency: AUD", "currency: aud", "ISO 4217"),
        ("rule: majority", "rule: majority\n    rule: consensus", "'rule' is given twice"),
        ("kind: closure", "kind: gate\n    gate: G1", "gate G1 is given twice"),
        ("policies:", "policy:", "policies: Field required"),
        ("policies:", "policies: {", "cannot be read"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_by_key_and_value(
    tmp_path: Path, changed: str, to: str, said: str
) -> None:
    assert changed in TWO
    with pytest.raises(PoliciesRefused) as refused:
        load_policies(written(tmp_path, TWO.replace(changed, to)))
    assert said in str(refused.value)
    assert "policies.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"policies": [], "policies": []}', "'policies' is given twice"), ("[", "cannot be read"), ("[]", "the file")],
)
def test_json_that_can_not_be_used_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(PoliciesRefused, match=said):
        load_policies(written(tmp_path, content, "policies.json"))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoliciesRefused, match="at most"):
        load_policies(written(tmp_path, TWO + "#" * 2**20))


async def test_a_body_that_nobody_formed_is_told_with_those_there_are_and_nothing_is_published(tmp_path: Path) -> None:
    gatehouse = Gatehouse(bodies={"Board": "b1"})
    async with gatehouse.client() as client:
        result = await publish_policies(client, load_policies(written(tmp_path, TWO)), PORTFOLIO)
    (fault,) = result.faults
    assert (fault.policy, fault.field, fault.value, fault.remedy) == (
        "gate G1",
        "escalate_to",
        "Council",
        "give one of 'Board'",
    )
    assert (result.editions, gatehouse.taken) == ((), [])


async def test_a_body_may_be_given_by_its_id(tmp_path: Path) -> None:
    gatehouse = Gatehouse(bodies={"Board": "b1"})
    with_id = TWO.replace("escalate_to: Council", f"escalate_to: {PORTFOLIO}")
    async with gatehouse.client() as client:
        await publish_policies(client, load_policies(written(tmp_path, with_id)), PORTFOLIO)
    assert gatehouse.taken[0][1]["escalate_to"] == PORTFOLIO


async def test_a_policy_that_is_refused_keeps_no_other_back(tmp_path: Path) -> None:
    def refuse_gates(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST" and json.loads(request.content)["kind"] == "gate":
            return problem(409, "threshold-out-of-range", "A threshold is a share.", facts={"threshold": "0.66"})
        return None

    gatehouse = Gatehouse(bodies={"Board": "b1", "Council": "b2"}, before=refuse_gates)
    async with gatehouse.client() as client:
        result = await publish_policies(client, load_policies(written(tmp_path, TWO)), PORTFOLIO)
    assert [(each.kind, each.number, each.published) for each in result.editions] == [("closure", 1, True)]
    (fault,) = result.faults
    assert (fault.policy, fault.field, fault.value) == ("gate G1", "threshold", "0.66")
    assert "threshold-out-of-range" in fault.reason


async def test_a_field_that_the_service_refuses_is_told_with_value_and_remedy(tmp_path: Path) -> None:
    error = {"pointer": "/quorum/share", "value": "0.50", "detail": "too much", "remedy": "give less"}
    gatehouse = Gatehouse(
        bodies={"Board": "b1", "Council": "b2"},
        before=lambda request: (
            problem(422, "invalid-input", errors=[error]) if request.url.path == "/gate-policies" else None
        ),
    )
    async with gatehouse.client() as client:
        result = await publish_policies(client, load_policies(written(tmp_path, TWO)), PORTFOLIO)
    assert [(each.policy, each.field, each.remedy) for each in result.faults] == [
        ("gate G1", "quorum/share", "give less"),
        ("closure", "quorum/share", "give less"),
    ]


async def test_whoever_may_not_publish_is_told_so_once(tmp_path: Path) -> None:
    gatehouse = Gatehouse(
        bodies={"Board": "b1", "Council": "b2"},
        before=lambda request: problem(403, "not-allowed") if request.method == "POST" else None,
    )
    async with gatehouse.client() as client:
        with pytest.raises(Refused):
            await publish_policies(client, load_policies(written(tmp_path, TWO)), PORTFOLIO)


def test_a_rehearsal_names_what_would_be_published(tmp_path: Path) -> None:
    result = rehearse_policies(load_policies(written(tmp_path, TWO)))
    assert (result.dry_run, result.policies, result.editions) == (True, ("gate G1", "closure"), ())

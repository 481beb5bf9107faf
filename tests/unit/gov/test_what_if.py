"""Another policy from a file: as people write it, exact to the last digit, with bodies by their names."""

import re
from pathlib import Path

import pytest

from gov.imports.policies import PoliciesRefused
from gov.imports.what_if import load_what_if

PORTFOLIO = "11111111-1111-4111-8111-111111111111"
BOARD = "22222222-2222-4222-8222-222222222222"
COUNCIL = "33333333-3333-4333-8333-333333333333"
BODIES = {"MW Board": BOARD, "Council": COUNCIL}


def written(folder: Path, content: str, name: str = "what-if.yaml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_the_example_that_is_documented_can_be_asked(tmp_path: Path) -> None:
    documented = Path(__file__).parents[3] / "deploy" / "mappings" / "README.md"
    _, example = re.findall(r"```yaml\n(.*?)```", documented.read_text(encoding="utf-8"), re.DOTALL)
    assert load_what_if(written(tmp_path, example)).request(PORTFOLIO, BODIES) == {
        "portfolio": PORTFOLIO,
        "kind": "gate",
        "gate": "G2",
        "submitted_from": "2026-01-01",
        "submitted_until": "2026-12-31",
        "changes": {
            "rule": "threshold",
            "threshold": "0.66",
            "quorum": {"minimum": 3, "share": "0.5"},
            "failed_outcome": "hold",
            "electorate": {"roles": [], "people": [], "body": None, "by_value_band": True},
            "bands": [
                {"body": BOARD, "upper": {"amount": "5000000", "currency": "AUD"}, "inclusive": True},
                {"body": COUNCIL, "upper": None, "inclusive": False},
            ],
            "veto": [],
            "delegation_limit": {"amount": "250000", "currency": "AUD"},
            "sponsor_may_vote": False,
        },
    }


def test_what_is_left_out_is_left_as_each_decision_had_it(tmp_path: Path) -> None:
    asked = load_what_if(written(tmp_path, "changes: { rule: consensus }")).request(PORTFOLIO, {})
    assert asked == {"portfolio": PORTFOLIO, "changes": {"rule": "consensus"}}


def test_a_body_is_given_by_its_name_or_its_id(tmp_path: Path) -> None:
    for given in ("MW Board", BOARD):
        asked = load_what_if(written(tmp_path, f"changes: {{ electorate: {{ body: {given} }} }}"))
        assert asked.request(PORTFOLIO, BODIES)["changes"]["electorate"]["body"] == BOARD


def test_a_body_that_the_portfolio_does_not_have_is_named_with_those_it_has(tmp_path: Path) -> None:
    asked = load_what_if(written(tmp_path, "changes: { bands: [{ body: Cabinet }] }"))
    with pytest.raises(PoliciesRefused, match="no body 'Cabinet'; give an id, or one of: 'Council', 'MW Board'"):
        asked.request(PORTFOLIO, BODIES)
    with pytest.raises(PoliciesRefused, match="one of: none yet"):
        asked.request(PORTFOLIO, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kind: gate", "changes: Field required"),
        ("changes: { rule: coin }", "changes/rule = 'coin'"),
        ("changes: { colour: blue }", "changes/colour = 'blue'"),
        ("changes: { threshold: dear }", "changes/threshold = 'dear'"),
        ("changes: { rule: majority, rule: consensus }", "'rule' is given twice"),
        ("submitted_from: soon\nchanges: {}", "submitted_from = 'soon'"),
        ("changes: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_key_and_its_value(
    tmp_path: Path, content: str, said: str
) -> None:
    with pytest.raises(PoliciesRefused, match=re.escape(said)):
        load_what_if(written(tmp_path, content))

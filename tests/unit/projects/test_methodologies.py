import pytest

from govevents.projects import Delivery
from projects.adapters.methodologies import MethodologyRefused, load, parse

GOOD = """
name = "small"
version = 2
delivery = "agile"
phases = [{code = "discovery", name = "Discovery"}, {code = "live", name = "Live", gate = "G1"}]
"""


def test_waterfall_agile_and_hybrid_come_with_gatehouse() -> None:
    assert {(name, version): each.delivery for (name, version), each in load().items()} == {
        ("waterfall", 1): Delivery.WATERFALL,
        ("agile", 1): Delivery.AGILE,
        ("hybrid", 1): Delivery.HYBRID,
    }


def test_every_methodology_begins_without_a_gate_and_has_one_before_each_later_phase() -> None:
    for methodology in load().values():
        gates = [phase.gate for phase in methodology.phases]
        assert gates == [None, *(f"G{number}" for number in range(1, len(gates)))]


def test_a_methodology_is_read_with_its_phases_and_gates() -> None:
    methodology = parse("small-2.toml", GOOD)
    assert (methodology.name, methodology.version) == ("small", 2)
    assert [(phase.code, phase.gate) for phase in methodology.phases] == [("discovery", None), ("live", "G1")]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.replace("version = 2", ""), "small-2.toml: version: missing"),
        (GOOD.replace("version = 2", 'version = "2"'), "small-2.toml: version: '2' is refused; give a whole number"),
        (GOOD.replace('"agile"', '"rapid"'), "small-2.toml: 'rapid' is not a valid Delivery"),
        (GOOD + "colour = 1\n", "small-2.toml: colour: no such field"),
        ("name =", "small-2.toml: Invalid value"),
    ],
)
def test_a_file_that_describes_none_is_refused_with_file_and_field(broken: str, message: str) -> None:
    with pytest.raises(MethodologyRefused, match="^" + message.replace(".", r"\.")):
        parse("small-2.toml", broken)

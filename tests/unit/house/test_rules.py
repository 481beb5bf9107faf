"""The house's rules hold here, and each is shown to fail where it is broken."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from tests.support import rules

CHECKOUT = Path(__file__).resolve().parents[3]
Rule = Callable[[Path], list[str]]

GOOD_AGGREGATE = '''
"""A thing."""

from typing import Final, TypeAlias, assert_never

from govevents.sample import Opened
from govkernel.domain import Aggregate, Refusal


class NotThere:
    """Nothing yet."""


class There:
    """A thing."""


Thing: TypeAlias = NotThere | There


class Open:
    """Begin."""


Command: TypeAlias = Open


class ThingThere(Refusal):
    """It is there."""


def decide(command: Command, thing: Thing) -> tuple[Opened, ...]:
    """Events."""
    match command:
        case Open():
            return (Opened(),)
        case _:
            assert_never(command)


def evolve(thing: Thing, event: Opened) -> Thing:
    """The next state."""
    match event:
        case Opened():
            return There()
        case _:
            assert_never(event)


THING: Final = Aggregate("thing", NotThere(), decide, evolve)
'''

EVENTS = '''
"""What happens."""

from govevents.event import event


@event("sample", version=1)
class Opened:
    """It was opened."""
'''


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house of one service in which every rule is kept."""
    for name in rules.FILES_OF_A_SERVICE:
        write(tmp_path, f"services/sample/{name.format(service='sample')}", "")
    write(tmp_path, "services/sample/src/sample/domain/thing.py", GOOD_AGGREGATE)
    write(
        tmp_path,
        "services/sample/src/sample/entrypoints/api.py",
        '"""The edge."""\n\nfrom sample.domain.thing import ThingThere\n\nSTATUS = {ThingThere: 409}\n',
    )
    for module in ("__main__", "application/reactions", "adapters/queries", "entrypoints/processes"):
        write(tmp_path, f"services/sample/src/sample/{module}.py", '"""A part."""\n')
    write(tmp_path, "contracts/src/govevents/sample.py", EVENTS)
    write(tmp_path, "contracts/samples/sample.Opened.v1.json", "{}")
    write(tmp_path, "contracts/schemas/sample.Opened.v1.json", "{}")
    return tmp_path


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Rule) -> None:
    assert rule(CHECKOUT) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_good_house_has_nothing_to_complain_of(rule: Rule, house: Path) -> None:
    assert rule(house) == []


DOMAIN = "services/sample/src/sample/domain"

PLANTED: list[tuple[Rule, str, str, str]] = [
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/clock.py",
        "from datetime import datetime\n\nNOW = datetime.now()\n",
        "clock.py:3: now()",
    ),
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/day.py",
        "from datetime import date\n\nDAY = date.today()\n",
        "day.py:3: today()",
    ),
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/dice.py",
        "import random\n",
        "dice.py:1: random",
    ),
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/identity.py",
        "from uuid import uuid4\n",
        "identity.py:1: uuid4",
    ),
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/settings.py",
        "from os import environ\n",
        "settings.py:1: os",
    ),
    (
        rules.a_domain_knows_no_clock_no_chance_and_no_surroundings,
        f"{DOMAIN}/file.py",
        "TEXT = open('file').read()\n",
        "file.py:1: open()",
    ),
    (
        rules.a_domain_imports_only_its_own_language,
        f"{DOMAIN}/library.py",
        "import pydantic\n",
        "library.py:1: imports pydantic",
    ),
    (
        rules.a_domain_imports_only_its_own_language,
        f"{DOMAIN}/neighbour.py",
        "from govevents import projects\n",
        "neighbour.py:1: imports govevents.projects",
    ),
    (
        rules.a_domain_imports_only_its_own_language,
        f"{DOMAIN}/kernel.py",
        "from govkernel.ledger import Ledger\n",
        "kernel.py:1: imports govkernel.ledger",
    ),
    (
        rules.nothing_that_is_recorded_is_a_float,
        "contracts/src/govevents/rate.py",
        "class Rate:\n    share: float\n",
        "rate.py:2: a float",
    ),
    (rules.nothing_that_is_recorded_is_a_float, f"{DOMAIN}/share.py", "SHARE = 0.5\n", "share.py:1: a float"),
    (
        rules.every_event_has_a_golden_sample,
        "contracts/src/govevents/sample.py",
        EVENTS.replace("version=1", "version=2"),
        "contracts/samples/sample.Opened.v2.json: is missing",
    ),
    (rules.no_module_is_a_drawer, "services/sample/src/sample/utils.py", "", "utils.py: name it"),
    (rules.no_module_is_a_drawer, "shared/src/govkernel/helpers/text.py", "", "helpers/text.py: name it"),
    (
        rules.every_match_on_commands_and_events_ends_in_assert_never,
        f"{DOMAIN}/open_end.py",
        "def evolve(state, event):\n    match event:\n        case int():\n            return state\n",
        "open_end.py:2: end this match",
    ),
    (
        rules.every_match_on_commands_and_events_ends_in_assert_never,
        f"{DOMAIN}/ignored.py",
        "def decide(command, state):\n    match command, state:\n        case _:\n            return ()\n",
        "ignored.py:2: end this match",
    ),
    (
        rules.an_aggregate_is_told_in_one_order,
        f"{DOMAIN}/thing.py",
        GOOD_AGGREGATE.replace('class ThingThere(Refusal):\n    """It is there."""\n', "")
        + '\n\nclass ThingThere(Refusal):\n    """It is there."""\n',
        "decide must come after its refusals",
    ),
    (
        rules.an_aggregate_is_told_in_one_order,
        f"{DOMAIN}/thing.py",
        GOOD_AGGREGATE.replace('class Open:\n    """Begin."""\n', "").replace(
            "class NotThere:", 'class Open:\n    """Begin."""\n\n\nclass NotThere:'
        ),
        "its commands must come after its states",
    ),
    (
        rules.an_aggregate_is_told_in_one_order,
        f"{DOMAIN}/thing.py",
        GOOD_AGGREGATE.replace("def evolve", "def develop"),
        "thing.py: decides, but has no evolve",
    ),
    (
        rules.an_aggregate_is_told_in_one_order,
        f"{DOMAIN}/thing.py",
        GOOD_AGGREGATE.replace("THING: Final = Aggregate(", "THING: Final = tuple("),
        "thing.py: has no `NAME: Final = Aggregate(...)`",
    ),
    (
        rules.every_refusal_is_declared_at_the_edge,
        f"{DOMAIN}/refused.py",
        "class Base(Refusal):\n    '''No.'''\n\n\nclass Unheard(Base):\n    '''No.'''\n",
        "refused.py:5: Unheard has no place",
    ),
    (
        rules.a_read_model_has_a_file_of_its_own,
        "services/sample/src/sample/application/rows.py",
        "A = ReadModel('a')\nB = ReadModel[int]('b')\n",
        "rows.py:2: a second read model",
    ),
    (
        rules.nothing_names_a_machine_or_a_registry,
        "deploy/start.sh",
        "cd /root/checkout\n",
        "deploy/start.sh:1: a path of one machine",
    ),
    (
        rules.nothing_names_a_machine_or_a_registry,
        "requirements.lock",
        "--index-url https://packages.example\n",
        "requirements.lock:1: an address of a package registry",
    ),
    (
        rules.nothing_names_a_machine_or_a_registry,
        "Makefile",
        "URL = https://pypi.org/simple\n",
        "Makefile:1: an address of a package registry",
    ),
    (
        rules.what_others_call_says_what_it_is_for,
        "shared/src/govkernel/silent.py",
        '"""A module."""\n\n\ndef speak() -> None:\n    pass\n',
        "silent.py:4: say in a docstring what speak is for",
    ),
    (
        rules.what_others_call_says_what_it_is_for,
        "shared/src/govkernel/silent.py",
        "X = 1\n",
        "silent.py: say in a docstring what this module is",
    ),
]


@pytest.mark.parametrize(
    ("rule", "file", "text", "complaint"), PLANTED, ids=[f"{rule.__name__}-{said}" for rule, _, _, said in PLANTED]
)
def test_a_planted_violation_is_found(house: Path, rule: Rule, file: str, text: str, complaint: str) -> None:
    write(house, file, text)
    found = rule(house)
    assert len(found) >= 1
    assert any(complaint in each for each in found), found


@pytest.mark.parametrize("name", rules.FILES_OF_A_SERVICE)
def test_a_service_that_lacks_a_file_is_found(house: Path, name: str) -> None:
    file = f"services/sample/{name.format(service='sample')}"
    (house / file).unlink()
    assert rules.every_service_has_the_same_files(house) == [f"{file}: is missing; every service has it"]


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, *_ in PLANTED} | {rules.every_service_has_the_same_files} == set(rules.RULES)

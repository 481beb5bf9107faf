"""The schedule of faults: decided by its seed, each healed in time, and never more broken at once than may be."""

from itertools import combinations

import pytest
from tests.faults.schedule import CALM_S, Fault, kinds, schedule

CHOICE = kinds(["jars-1", "jars-2", "tallies-1"], "jars-3", 3)
SEEDS = range(50)


def test_a_seed_decides_everything() -> None:
    assert schedule(7, 60, CHOICE) == schedule(7, 60, CHOICE)
    assert schedule(7, 60, CHOICE) != schedule(8, 60, CHOICE)


@pytest.mark.parametrize("seconds", [20, 60, 600])
def test_faults_begin_after_the_calm_and_are_healed_at_the_end(seconds: float) -> None:
    for seed in SEEDS:
        faults = schedule(seed, seconds, CHOICE)
        assert faults
        assert all(CALM_S <= fault.at <= fault.until <= seconds for fault in faults)


def test_two_brokers_are_never_away_at_once_nor_is_one_thing_broken_twice() -> None:
    alone = {kind.name: kind.alone for kind in CHOICE}
    for seed in SEEDS:
        for one, other in combinations(schedule(seed, 300, CHOICE), 2):
            if _overlap(one, other):
                assert one.target != other.target
                assert alone[one.kind] == "" or alone[one.kind] != alone[other.kind]


def test_every_kind_comes() -> None:
    drawn = {fault.kind for seed in SEEDS for fault in schedule(seed, 300, CHOICE)}
    assert drawn == {kind.name for kind in CHOICE}


def test_more_of_a_kind_comes_where_it_is_asked_for() -> None:
    def count(*more_of: str) -> int:
        faults = [fault for seed in SEEDS for fault in schedule(seed, 60, CHOICE, more_of=more_of)]
        return sum(fault.kind == "kill postgres" for fault in faults)

    assert count("kill postgres") > 2 * count()


def _overlap(one: Fault, other: Fault) -> bool:
    return one.at < other.until and other.at < one.until

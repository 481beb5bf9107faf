"""The simulation sees what it is there to see: each planted bug breaks the rule that speaks of it, within a few seeds."""

import pytest
from tests.simulation.bugs import BUGS, seeds_until_caught


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str) -> None:
    caught, _ = seeds_until_caught(BUGS[name], seeds=60)
    assert caught is not None, f"{name}: {BUGS[name].rule} saw nothing in 60 seeds"

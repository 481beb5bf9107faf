"""Which benchmarks a run measures."""

from collections import Counter

import pytest
from tests.benchmarks.run import BENCHMARKS, NAMES, NoSuchRow, chosen


def test_without_a_pattern_everything_is_measured() -> None:
    assert chosen([]) == list(BENCHMARKS)


def test_a_pattern_chooses_as_in_a_shell() -> None:
    names = [name for each in chosen(["append-*"]) for name in each.names]
    assert names
    assert all(name.startswith("append-") for name in names)


def test_a_pattern_that_fits_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(NoSuchRow, match=r"'apend' fits no row; there are append-1, "):
        chosen(["append-1", "apend"])


def test_no_two_rows_share_a_name() -> None:
    assert max(Counter(NAMES).values()) == 1

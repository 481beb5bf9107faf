"""How long recovery took, as a history tells it."""

from tests.faults.history import Answered, Asked, Broke, Entry, Healed, Invoked, Measured
from tests.faults.recovery import (
    LAG,
    LEADERS,
    api_recoveries,
    lags_after_healing,
    leader_recoveries,
    percentile,
    postgres_recoveries,
    steady_lags,
)


def broken(number: int, kind: str, target: str, at: float, healed: float) -> list[Entry]:
    return [Broke(number, at, kind, target), Healed(number, healed)]


def asked(number: int, at: float, seat: str, status: int | None = 200) -> list[Entry]:
    return [
        Asked(number, at, "add_coin", f"key-{number}", "/", None, {}),
        Invoked(number, 1, at, seat),
        Answered(number, 1, at + 0.5, status),
    ]


def test_a_replica_is_back_when_it_answers_after_its_healing() -> None:
    history = [
        *broken(1, "kill replica", "jars-1", 10, 12),
        *asked(1, 13, "jars-1", status=503),
        *asked(2, 14, "jars-2"),
        *asked(3, 15, "jars-1"),
    ]
    assert api_recoveries(history) == [3.5]


def test_what_keeps_it_from_coming_back_counts_from_its_own_healing() -> None:
    history = [
        *broken(1, "cut link", "jars-1/postgres", 10, 12),
        *broken(2, "stop postgres", "postgres", 11, 20),
        *asked(1, 21, "jars-1"),
    ]
    assert api_recoveries(history) == [1.5]
    assert postgres_recoveries(history) == [1.5]


def test_a_replica_that_was_asked_nothing_more_tells_nothing() -> None:
    assert api_recoveries(broken(1, "kill replica", "jars-1", 10, 12)) == []


def test_lags_are_steady_long_after_anything_was_broken() -> None:
    samples: list[Entry] = [
        Measured(at, LAG, lag) for at, lag in ((5, 0.5), (11, 9.0), (14, 4.0), (15, 1.0), (50, 0.2))
    ]
    history = [*samples, *broken(1, "stop broker", "1", 10, 12)]
    assert steady_lags(history) == [0.5, 0.2]
    assert lags_after_healing(history) == [3]


def test_leaders_and_percentiles() -> None:
    assert leader_recoveries([Measured(1, LEADERS, 4.0), Measured(2, LAG, 9.0)]) == [4.0]
    assert percentile([], 0.5) is None
    assert percentile([3, 1, 2], 0.99) == 3

"""Which benchmarks there are, and how a run goes through them."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from tests.benchmarks import (
    append,
    contention,
    deciding,
    growth,
    http,
    latency,
    memory,
    peers,
    projections,
    reading,
    relay,
    verification,
)
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.row import Row

BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    *append.BENCHMARKS,
    *deciding.BENCHMARKS,
    *contention.BENCHMARKS,
    *peers.BENCHMARKS,
    *http.BENCHMARKS,
    *relay.BENCHMARKS,
    *projections.BENCHMARKS,
    *latency.BENCHMARKS,
    *growth.BENCHMARKS,
    *reading.BENCHMARKS,
    *verification.BENCHMARKS,
    *memory.BENCHMARKS,
)
NAMES: Final = tuple(name for each in BENCHMARKS for name in each.names)


class NoSuchRow(Exception):
    """A pattern fits no row."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"{pattern!r} fits no row; there are {', '.join(NAMES)}")


def chosen(patterns: Sequence[str]) -> list[Benchmark]:
    """The benchmarks that have a row whose name fits a pattern as of a shell; all without any. Raises NoSuchRow."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in NAMES):
            raise NoSuchRow(pattern)
    return [
        each
        for each in BENCHMARKS
        if not patterns or any(fnmatchcase(name, pattern) for name in each.names for pattern in patterns)
    ]


async def measure(
    bench: Bench,
    patterns: Sequence[str],
    *,
    begins: Callable[[Benchmark], None],
    ended: Callable[[list[Row]], None],
    failed: Callable[[Benchmark, Exception], None],
) -> None:
    """Measure one benchmark after the other, telling of each that it begins, and its rows or why there are none."""
    async with bench:
        for each in chosen(patterns):
            begins(each)
            try:
                rows = await each.measure(bench)
            except Exception as error:
                # A run takes long: what one benchmark can't do is no reason to lose the others.
                failed(each, error)
            else:
                ended(rows)

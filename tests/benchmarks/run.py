"""Which benchmarks there are, and how a run goes through them."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from tests.benchmarks import append, contention, deciding, growth, http, latency, memory, peers, projections, relay
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


async def measure(bench: Bench, patterns: Sequence[str], show: Callable[[str], None]) -> list[Row]:
    """Measure one benchmark after the other; `show` is told of each before it begins."""
    rows: list[Row] = []
    async with bench:
        for each in chosen(patterns):
            show(", ".join(each.names))
            rows += await each.measure(bench)
    return rows

"""`python -m tests.benchmarks [ROW ...]`: starts its own PostgreSQL and Kafka, measures, prints the table, stops them."""

import argparse
import asyncio
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from tests.benchmarks.bench import FULL, QUICK, Bench, Benchmark
from tests.benchmarks.circumstances import circumstances, in_words
from tests.benchmarks.row import Row, summary, table, write
from tests.benchmarks.run import NAMES, NoSuchRow, chosen, measure

from gov.runtime.testing import PackagedInfrastructure
from govkernel.processes.collector import settle_collector

BUILD: Final = Path(__file__).resolve().parents[2] / "build"


def main(argv: list[str]) -> int:
    """0 after a run; 1 where a row could not be measured or, with --strict, fell short; 2 where it was called wrongly."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="What Gatehouse costs, beside what its parts can do."
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help="names of rows, or patterns such as 'append-*'; default: all"
    )
    parser.add_argument("--list", action="store_true", help="print the names of all rows, and measure nothing")
    parser.add_argument("--repeats", type=int, help=f"how often each is measured; default: {FULL.repeats}")
    parser.add_argument("--quick", action="store_true", help="only show that the rows work; the figures say nothing")
    parser.add_argument("--strict", action="store_true", help="end with 1 where a row falls short")
    options = parser.parse_args(argv)
    if options.list:
        sys.stdout.write("\n".join(NAMES) + "\n")
        return 0
    try:
        chosen(options.rows)
    except NoSuchRow as error:
        parser.error(str(error))
    scale = QUICK if options.quick else FULL
    if options.repeats is not None:
        if options.repeats < 1:
            parser.error(f"argument --repeats: {options.repeats} is refused; give 1 or more")
        scale = replace(scale, repeats=options.repeats)
    # What ends this process by a signal also ends the servers in order.
    signal.signal(signal.SIGTERM, _interrupt)
    with PackagedInfrastructure(quick_start=False) as servers:
        bench = Bench(servers.postgres_url(), servers.kafka_bootstrap, scale, BUILD)
        rows, failures = asyncio.run(_measured(bench, options.rows))
    sys.stdout.write(f"\n{table(rows)}\n")
    for failure in failures:
        sys.stdout.write(f"failed: {failure}\n")
    return 1 if failures or (options.strict and any(row.met is False for row in rows)) else 0


async def _measured(bench: Bench, patterns: list[str]) -> tuple[list[Row], list[str]]:
    """The rows, and which could not be measured; what is known so far is written down after each."""
    stated = await circumstances(bench)
    settle_collector()
    rows: list[Row] = []
    failures: list[str] = []

    def begins(each: Benchmark) -> None:
        sys.stderr.write(f"{' '.join(each.names)} ...\n")

    def ended(measured: list[Row]) -> None:
        rows.extend(measured)
        sys.stderr.write("".join(f"  {summary(row)}\n" for row in measured))
        write(bench.build, rows, stated)

    def failed(each: Benchmark, error: Exception) -> None:
        failures.append(" ".join(each.names))
        traceback.print_exception(error)

    await measure(bench, patterns, begins=begins, ended=ended, failed=failed)
    write(bench.build, rows, stated | {"failed": failures})
    sys.stdout.write(f"\n{in_words(stated)}\n")
    return rows, failures


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

"""The cheapest benchmarks work; what they measure here is of no interest."""

from pathlib import Path

from tests.benchmarks.bench import QUICK, Bench, Benchmark
from tests.benchmarks.circumstances import circumstances
from tests.benchmarks.row import Row
from tests.benchmarks.run import measure
from tests.support.infrastructure import Infrastructure


async def test_a_benchmark_measures_ours_and_its_floor_and_finds_every_event_afterwards(
    infrastructure: Infrastructure, tmp_path: Path
) -> None:
    bench = Bench(infrastructure.postgres_url, infrastructure.kafka_bootstrap, QUICK, tmp_path)
    begun: list[str] = []
    rows: list[Row] = []

    def failed(_benchmark: Benchmark, error: Exception) -> None:
        raise error

    await measure(
        bench,
        ["append-8", "relay-backlog"],
        begins=lambda each: begun.extend(each.names),
        ended=rows.extend,
        failed=failed,
    )
    assert [row.name for row in rows] == begun == ["append-8", "relay-backlog"]
    for row in rows:
        assert row.value > 0
        assert row.floor_value
        assert row.met in (True, False)


async def test_a_run_states_what_it_was_measured_on(infrastructure: Infrastructure, tmp_path: Path) -> None:
    stated = await circumstances(Bench(infrastructure.postgres_url, infrastructure.kafka_bootstrap, QUICK, tmp_path))
    assert (stated["postgres"]["fsync"], stated["postgres"]["synchronous_commit"]) == ("on", "on")
    assert stated["cpus"] >= 1
    assert stated["fsync_us"] > 0
    assert stated["kafka"]["acks"] == "all"

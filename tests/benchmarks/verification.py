"""How long it takes to verify a large log: hashes, chains, commands, and Kafka's copy of every event."""

from time import perf_counter
from typing import Final

import asyncpg
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.growth import large_log
from tests.benchmarks.logs import Log
from tests.benchmarks.projections import consume
from tests.benchmarks.row import Row

from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.postgres import create_pool
from govkernel.relay import Reconciled, Reconciliation

ANSWER: Final = """
INSERT INTO commands (command, digest, stream, from_version, to_version, status, refusal, recorded_at)
SELECT (convert_from(document, 'UTF8')::jsonb ->> 'command')::uuid, '', stream, version - 1, version,
  CASE WHEN version = 1 THEN 201 ELSE 200 END, NULL, recorded_at
FROM events ON CONFLICT DO NOTHING"""


async def verify(bench: Bench) -> list[Row]:
    """One verification: how long it takes doesn't change from one to the next."""
    log, _ = await large_log(bench)
    await _answer_commands(log)
    began = perf_counter()
    found = await _reconciled(bench, log)
    seconds = perf_counter() - began
    assert not found.findings, f"a sound log was found to have {found.counts}: {found.findings[0]}"
    compared = found.records - found.repeats
    assert compared + found.unsent == found.events, (
        f"{compared} sent and {found.unsent} unsent of {found.events} events"
    )
    assert found.events == found.commands >= log.events, f"{found.events} events of {found.commands} commands"
    return [
        Row(
            name="verify",
            unit="events/s",
            ours=(found.events / seconds,),
            floor=(await consume(bench, log),),
            against="aiokafka reading the same topic, and nothing else",
            note=f"{found.events:,} events, as many commands and {found.records:,} records in {seconds:.0f} s; once",
        )
    ]


async def _answer_commands(log: Log) -> None:
    """Give each event that was filled in the row of its command."""
    connection = await asyncpg.connect(log.url)
    try:
        await connection.execute(ANSWER, timeout=600)
        await connection.execute("VACUUM (ANALYZE) commands", timeout=600)
    finally:
        await connection.close()


async def _reconciled(bench: Bench, log: Log) -> Reconciled:
    pool = await create_pool(log.url)
    try:
        address = KafkaAddress(bench.kafka_bootstrap)
        return await Reconciliation(pool, TopicLog(address), log.service, topic=log.topic).run()
    finally:
        await pool.close()


BENCHMARKS: Final = (Benchmark(("verify",), verify),)

"""What the fixtures promise to every integration test."""

from collections.abc import Callable

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def test_a_database_has_the_kernels_tables_and_no_rows(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM events") == 0
        await connection.execute("INSERT INTO watermarks VALUES ('left behind', now())")
    finally:
        await connection.close()


async def test_what_one_test_wrote_another_does_not_see(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM watermarks") == 0
    finally:
        await connection.close()


async def test_the_database_is_durable_as_in_production(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert connection.get_server_version().major == 18
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    finally:
        await connection.close()


async def test_an_empty_database_has_no_table(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()


async def test_a_topic_of_its_own_carries_what_a_test_sends(kafka: str, topic: Callable[..., str]) -> None:
    name = topic(partitions=3)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer(name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    try:
        await producer.send_and_wait(name, b"value", key=b"key")
        record = await consumer.getone()
        assert (record.key, record.value) == (b"key", b"value")
        assert consumer.partitions_for_topic(name) == {0, 1, 2}
    finally:
        await consumer.stop()
        await producer.stop()

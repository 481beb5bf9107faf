"""A message that nobody can read stops its own stream and nothing else, until an operator puts it right."""

from typing import Any

from confluent_kafka import Producer
from tests.e2e.conftest import Office
from tests.support.system import RunningSystem, eventually

from govevents.catalogue import topic_of

POISON = b'{"specversion": "1.0", "data": \xff\xfe'
REASON = "The sender's disk was broken; it has sent the rest again."


async def test_an_unreadable_message_stops_its_stream_alone_and_is_put_right_by_hand(
    system: RunningSystem, office: Office
) -> None:
    poisoned, healthy = office.project("POISON"), office.project("HEALTHY")
    for name in system.names:
        for project in (poisoned, healthy):
            await eventually(f"{name} knows {project}", lambda: system.node_status(name, project))  # noqa: B023
    await system.wait_carried("projects")
    put_on_topic(system, "projects", poisoned.encode(), POISON)
    followers = await followers_of(system, "projects")
    assert {service for service, _ in followers} == set(system.names)

    async def parked_by_all() -> bool:
        return {(item["service"], item["consumer"]) for item in parked(system, poisoned)} == followers

    await eventually("every consumer of the topic has parked it", parked_by_all)
    for project in (poisoned, healthy):
        system.done("sol", "projects", f"/projects/{project}/holds", {"reason": "No money."})

    async def healthy_goes_on() -> bool:
        return await system.node_status("approvals", healthy) == "on_hold"

    async def poisoned_waits() -> bool:
        return len(parked(system, poisoned)) == 2 * len(followers)

    await eventually("the healthy stream goes on", healthy_goes_on)
    await eventually("the stream waits behind the message", poisoned_waits)
    assert await system.node_status("approvals", poisoned) == "active"
    assert {item["stream"] for item in parked(system)} == {poisoned}
    assert system.gov("parked", "list").code == 1

    messages = [item for item in parked(system, poisoned) if item["version"] is None]
    assert {(item["service"], item["consumer"]) for item in messages} == followers
    first = messages[0]
    shown = system.gov("parked", "show", first["service"], str(first["id"]), "--json").document
    assert shown["key"] == poisoned
    assert shown["value_base64"]
    assert shown["reason"]
    retried = system.gov("parked", "retry", first["service"], str(first["id"]), "--json")
    assert (retried.code, retried.document["remains"]["id"]) == (1, first["id"])

    for item in messages:
        skipped = system.gov("parked", "skip", item["service"], str(item["id"]), "--reason", REASON, "--json")
        assert (skipped.code, skipped.document["remains"]) == (0, None), skipped.err
    assert system.gov("parked", "list", "--json").document == {"items": [], "away": []}
    for name in system.names:
        assert await system.node_status(name, poisoned) == "on_hold"
        reasons = await system.fetch(name, "SELECT document FROM events WHERE type = 'operations.RecordSkipped'")
        assert len(reasons) == sum(service == name for service, _ in followers)
        assert all(REASON.encode() in row["document"] for row in reasons)


def put_on_topic(system: RunningSystem, service: str, key: bytes, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": system.address("kafka"), "partitioner": "murmur2_random"})
    failures: list[Any] = []
    producer.produce(topic_of(service), value, key, on_delivery=lambda error, _: failures.append(error))
    producer.flush(15)
    assert failures == [None]


def parked(system: RunningSystem, stream: str | None = None) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = system.gov("parked", "list", "--json").document["items"]
    return [item for item in items if stream is None or item["stream"] == stream]


async def followers_of(system: RunningSystem, source: str) -> set[tuple[str, str]]:
    """Every consumer, by its service, that reads the topic of a service."""
    query = """
        SELECT DISTINCT consumer FROM consumer_partitions
        WHERE topic = $1
          AND consumer NOT IN (SELECT name || '/' || build FROM read_model_builds WHERE state <> 'live')"""
    return {
        (name, row["consumer"]) for name in system.names for row in await system.fetch(name, query, topic_of(source))
    }

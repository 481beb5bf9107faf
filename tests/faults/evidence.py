"""What is left when a run is over: ledgers, topics, consumers and read models, as plain rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import asyncpg
from tests.faults.consumed import Record
from tests.faults.services import Names, jars_service, tallies_service
from tests.faults.worker import Kind

from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.document import Recorded
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.processes import ServiceDefinition
from govkernel.readmodels import ReadModel
from govkernel.readmodels.fold import Kept, Past, StreamRows
from govkernel.readmodels.tables import decode_row


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of a ledger's events."""

    seq: int
    stream: UUID
    version: int
    type: str
    time: datetime
    recorded_at: datetime
    document: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A row of a ledger's commands; `refusal` is the refusal's name."""

    command: UUID
    stream: UUID | None
    from_version: int | None
    to_version: int | None
    status: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class LedgerRows:
    """A service's ledger, and how many of its timers have not fired."""

    service: str
    events: tuple[EventRow, ...]
    commands: tuple[CommandRow, ...]
    timers: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerRows:
    """What a consumer keeps: each stream's head, and why it has parked which records, by partition and offset."""

    guards: Mapping[UUID, tuple[int, bytes]]
    parked: Mapping[tuple[int, int], str]


@dataclass(frozen=True, slots=True)
class BoardRows:
    """A read model's rows and history, each as a text that says everything about it, in a fixed order."""

    rows: tuple[str, ...]
    history: tuple[str, ...]

    def digest(self) -> str:
        """SHA-256 over all of it."""
        whole = sha256()
        for line in (*self.rows, "history", *self.history):
            whole.update(line.encode())
            whole.update(b"\n")
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class Watermark:
    """What a relay has said: all that was recorded before `recorded_until` lies at or before these offsets."""

    service: str
    recorded_until: datetime
    offsets: Mapping[int, int]


# A build that is being made may be so for long, and one that is kept for a rollback reads no further.
READING: Final = """
consumer NOT IN (SELECT name || '/' || build FROM read_model_builds WHERE state <> 'live')"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a run leaves, of the `services` that took part. `consumers` is by service and consumer, `boards` by the read model's name."""

    names: Names
    ledgers: Mapping[Kind, LedgerRows]
    topics: Mapping[str, tuple[Record, ...]]
    consumers: Mapping[Kind, Mapping[str, ConsumerRows]] = field(default_factory=dict)
    boards: Mapping[str, BoardRows] = field(default_factory=dict)
    watermarks: tuple[Watermark, ...] = ()
    services: Mapping[Kind, ServiceDefinition] | None = None

    def definitions(self) -> Mapping[Kind, ServiceDefinition]:
        """What took part: where nothing else is said, a round's services as they are."""
        return definitions(self.names) if self.services is None else self.services


@cache
def definitions(names: Names) -> dict[Kind, ServiceDefinition]:
    """The services of a round."""
    return {"jars": jars_service(names), "tallies": tallies_service(names)}


def replayed(model: ReadModel[Any], applied: Iterable[Recorded[Any]]) -> BoardRows:
    """What a read model shows after these events, in their order."""
    streams: dict[UUID, StreamRows[Any]] = {}
    history: list[Past[Any]] = []
    for recorded in applied:
        stream = recorded.envelope.stream
        rows = streams.setdefault(stream, StreamRows(stream))
        history.extend(rows.apply(model, recorded))
    return shown({stream: rows.kept for stream, rows in streams.items()}, history)


def shown(kept: Mapping[UUID, Mapping[str, Kept[Any]]], history: Iterable[Past[Any]]) -> BoardRows:
    """Rows by stream and key, and what they replaced, as texts."""
    rows = [_kept(stream, key, each) for stream, by_key in kept.items() for key, each in by_key.items()]
    return BoardRows(tuple(sorted(rows)), tuple(sorted(_past(past) for past in history)))


def _kept(stream: UUID, key: str, kept: Kept[Any]) -> str:
    times = f"{kept.since.isoformat()} {kept.recorded.isoformat()}"
    return f"{stream} {key} {kept.version} {times} {kept.row!r} {list(kept.provenance)!r}"


def _past(past: Past[Any]) -> str:
    end = f"{past.until.isoformat()} {past.until_recorded.isoformat()} {past.removed}"
    return f"{_kept(past.stream, past.key, past.kept)} {end}"


EVENTS: Final = "SELECT seq, stream, version, type, time, recorded_at, document, hash FROM events ORDER BY seq"
COMMANDS: Final = (
    "SELECT command, stream, from_version, to_version, status, refusal ->> 'slug' AS refusal FROM commands"
)


async def gather(databases: Mapping[Kind, str], kafka: str, names: Names) -> Evidence:
    """Read everything, past every link."""
    # Topics first: what lies there is in the ledgers by the time that these are read.
    topics = {}
    for name in (names.jars, names.tallies, names.mint):
        topics[name] = await _records(kafka, topic_of(name))
    ledgers: dict[Kind, LedgerRows] = {}
    consumers: dict[Kind, dict[str, ConsumerRows]] = {}
    boards: dict[str, BoardRows] = {}
    for kind, definition in definitions(names).items():
        connection = await asyncpg.connect(databases[kind])
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.execute("SET LOCAL timezone TO 'UTC'")
                ledgers[kind] = LedgerRows(
                    definition.name,
                    tuple(EventRow(**row) for row in await connection.fetch(EVENTS)),
                    tuple(CommandRow(**row) for row in await connection.fetch(COMMANDS)),
                    await connection.fetchval("SELECT count(*) FROM timers"),
                )
                consumers[kind] = await _consumers(connection)
                for model in definition.read_models:
                    boards[model.name] = await _board(connection, model)
        finally:
            await connection.close()
    marks = [watermark_of(record.value or b"") for record in await _records(kafka, WATERMARK_TOPIC)]
    return Evidence(names, ledgers, topics, consumers, boards, tuple(marks))


def watermark_of(value: bytes) -> Watermark:
    """What a record of the watermarks' topic says."""
    said = json.loads(value)
    offsets = {int(partition): offset for partition, offset in said["offsets"].items()}
    return Watermark(said["service"], datetime.fromisoformat(said["recorded_until"]), offsets)


async def _records(kafka: str, topic: str) -> tuple[Record, ...]:
    log = TopicLog(KafkaAddress(kafka))
    extent = await log.extent(topic)
    return tuple(
        [
            Record(fetched.partition, record.offset, record.key, record.value)
            async for fetched in log.read(topic, extent.beginnings, extent.ends)
            for record in fetched.records
        ]
    )


async def _consumers(connection: Any) -> dict[str, ConsumerRows]:
    found: dict[str, ConsumerRows] = {}
    for row in await connection.fetch(f"SELECT DISTINCT consumer FROM consumer_partitions WHERE {READING}"):
        consumer = row["consumer"]
        guards = await connection.fetch(
            "SELECT stream, version, hash FROM consumer_guards WHERE consumer = $1", consumer
        )
        parked = await connection.fetch(
            "SELECT partition, record_offset, kind, reason FROM parked WHERE consumer = $1", consumer
        )
        found[consumer] = ConsumerRows(
            {guard["stream"]: (guard["version"], guard["hash"]) for guard in guards},
            {(each["partition"], each["record_offset"]): f"{each['kind']}: {each['reason']}" for each in parked},
        )
    return found


async def _board(connection: Any, model: ReadModel[Any]) -> BoardRows:
    rows = [_shown(model, row) for row in await connection.fetch(f"SELECT * FROM read.{model.name}")]
    history = await connection.fetch(f"SELECT * FROM read.{model.name}_history")
    past = [
        f"{_shown(model, row)} {row['until'].isoformat()} {row['until_recorded'].isoformat()} {row['removed']}"
        for row in history
    ]
    return BoardRows(tuple(sorted(rows)), tuple(sorted(past)))


def _shown(model: ReadModel[Any], row: Any) -> str:
    kept = Kept(
        decode_row(model, row),
        row["version"],
        row["since"],
        row["recorded"],
        tuple(row["provenance"]),
    )
    return _kept(row["stream"], row["key"], kept)

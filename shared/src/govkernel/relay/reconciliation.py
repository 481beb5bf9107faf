"""Reconciliation: is a ledger whole, do its answers and its events agree, and does Kafka hold the very same bytes.

It reads alone, beside a service that goes on, in chunks of bounded size. What is appended meanwhile is not missed and
not mistaken: a stream's events are visible in their order, a command's row and its events together, and a record of the
topic only after its event. The topic's records are set down in an unlogged table, for only the database can compare two
sets that do not fit into memory; it is made anew each time, in a schema of its own, and dropped afterwards.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from uuid import UUID

import asyncpg

from govevents.catalogue import topic_of
from govevents.document import DocumentRefused, Envelope, hash_of, read_envelope
from govkernel.kafka import Fetched
from govkernel.postgres import Connection
from govkernel.relay.verification import Log

RECONCILIATION_LOCK: Final = 7_291_005
CHUNK_ROWS: Final = 1000
LONGEST_STATEMENT_S: Final = 3600.0
SCHEMA: Final = "reconciliation"

CREATE: Final = f"""
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
CREATE UNLOGGED TABLE {SCHEMA}.records (
  partition int NOT NULL, record_offset bigint NOT NULL, stream uuid NOT NULL, version int NOT NULL,
  hash bytea NOT NULL, prevhash text)"""
COLUMNS: Final = ("partition", "record_offset", "stream", "version", "hash", "prevhash")
PREPARE: Final = f"""
CREATE INDEX ON {SCHEMA}.records (stream, version);
ANALYZE {SCHEMA}.records"""
DROP: Final = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"

PUBLISHED: Final = "SELECT low_txid::text AS low_txid, tail_seq FROM relay_checkpoint"

EVENTS: Final = """
SELECT stream, version, type, time, recorded_at, document, hash FROM events
WHERE (stream, version) > ($1::uuid, $2::int) ORDER BY stream, version LIMIT {rows}"""

ANSWERS: Final = """
SELECT command, stream, from_version, to_version, refusal IS NOT NULL AS refused
FROM commands WHERE command = ANY ($1::uuid[])"""

# A lateral query with a limit is asked row by row; anything else may become a scan of all events for every chunk.
COMMANDS: Final = """
WITH chunk AS (SELECT * FROM commands WHERE command > $1::uuid ORDER BY command LIMIT {rows})
SELECT command, chunk.stream, from_version, to_version, refusal IS NOT NULL AS refused,
  coalesce(to_version, 0) = 0 OR last.version IS NOT NULL AS there
FROM chunk LEFT JOIN LATERAL (
  SELECT version FROM events WHERE events.stream = chunk.stream AND events.version = chunk.to_version LIMIT 1
) AS last ON true ORDER BY command"""

NOT_IN_LEDGER: Final = f"""
WITH told AS (
  SELECT DISTINCT ON (stream, version, hash) * FROM {SCHEMA}.records
  ORDER BY stream, version, hash, partition, record_offset)
SELECT told.*, own.hash AS kept, before.hash AS kept_before,
  ARRAY(SELECT DISTINCT earlier.hash FROM {SCHEMA}.records AS earlier
        WHERE own.hash IS NULL AND earlier.stream = told.stream AND earlier.version = told.version - 1) AS told_before
FROM told LEFT JOIN events AS own ON own.stream = told.stream AND own.version = told.version
LEFT JOIN events AS before ON before.stream = told.stream AND before.version = told.version - 1
WHERE own.hash IS DISTINCT FROM told.hash ORDER BY told.stream, told.version, told.record_offset"""  # noqa: S608

NOT_IN_TOPIC: Final = f"""
SELECT stream, version FROM events
WHERE (txid < $1::text::xid8 OR seq = ANY ($2::bigint[])) AND NOT EXISTS (
  SELECT FROM {SCHEMA}.records WHERE records.stream = events.stream AND records.version = events.version)
ORDER BY seq"""  # noqa: S608

OUT_OF_ORDER: Final = f"""
SELECT * FROM (
  SELECT *, coalesce(max(version) OVER (
    PARTITION BY stream, partition ORDER BY record_offset
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS highest
  FROM {SCHEMA}.records) AS record
WHERE version > highest + 1 ORDER BY partition, record_offset"""  # noqa: S608

REPEATS: Final = f"SELECT count(*) - count(DISTINCT (stream, version)) FROM {SCHEMA}.records"  # noqa: S608

UNSENT: Final = "SELECT count(*) FROM events WHERE txid >= $1::text::xid8 AND seq <> ALL ($2::bigint[])"


class Kind(Enum):
    """In what way something is not as it should be."""

    DOCUMENT = "document"
    """A row of the ledger has no document, or one with another hash or of another place."""
    COPY = "copy"
    """A row says otherwise than its document."""
    GAP = "gap"
    """A stream lacks a version before one that it has."""
    CHAIN = "chain"
    """A document does not follow the one before it."""
    COMMAND = "command"
    """The row of a command and the events disagree about what it appended."""
    NOT_SENT = "not_sent"
    """The relay counts an event as sent, and the topic lacks it."""
    LOST = "lost"
    """The topic has an event that the ledger lacks, and that can be brought back."""
    FORK = "fork"
    """There are two documents at the same place of a stream, or what follows is of another past."""
    CUT_OFF = "cut_off"
    """The topic has an event that the ledger lacks, as both do what came before it."""
    ORDER = "order"
    """The topic has an event of a stream before the one that precedes it."""
    STRANGER = "stranger"
    """A record of the topic is no event of this ledger."""


IN_THE_WAY_OF_RECOVERY: Final = frozenset({Kind.FORK, Kind.CUT_OFF})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: `place` is what it is about, `where` the ledger, commands or a record."""

    kind: Kind
    place: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a reconciliation is: `done` of `total` records, events or commands; None where it can't be counted."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was compared, how many things differ by kind, and the first of each kind.

    `unsent` events are committed, and the relay has not sent them yet; `repeats` are records that came more than once.
    """

    events: int
    streams: int
    commands: int
    records: int
    repeats: int
    unsent: int
    counts: Mapping[Kind, int]
    findings: tuple[Finding, ...]


class ReconciliationRunning(Exception):
    """The ledger is being reconciled already, here or by another replica."""


@dataclass(slots=True)
class Reconciliation:
    """One reconciliation of one service's ledger with its topic.

    With `topic_only` the ledger's own documents and commands are not looked at. `most_findings` bounds what is told of
    each kind. `show` is told of every step.
    """

    pool: "asyncpg.Pool[Any]"
    log: Log
    service: str
    topic: str | None = None
    topic_only: bool = False
    most_findings: int = 20
    chunk_rows: int = CHUNK_ROWS
    show: Callable[[Stage], None] = lambda _stage: None
    _counts: Counter[Kind] = field(default_factory=Counter)
    _findings: list[Finding] = field(default_factory=list)

    async def run(self) -> Reconciled:
        """Compare. Raises ReconciliationRunning, TopicMissing, KafkaUnavailable, and what the database raises."""
        topic = self.topic or topic_of(self.service)
        async with self._alone() as connection:
            published = await connection.fetchrow(PUBLISHED)
            assert published is not None, "the migration that makes the table also makes its row"
            # Whatever counts as sent by now lies before the ends that are asked for now.
            records = await self._read(connection, topic)
            self.show(Stage("comparing", records, records))
            sent = published["low_txid"], published["tail_seq"]
            await self._compare(connection, topic, sent)
            events = streams = commands = 0
            if not self.topic_only:
                events, streams = await self._check_events(connection)
                commands = await self._check_commands(connection)
            return Reconciled(
                events,
                streams,
                commands,
                records,
                await connection.fetchval(REPEATS, timeout=LONGEST_STATEMENT_S),
                await connection.fetchval(UNSENT, *sent, timeout=LONGEST_STATEMENT_S),
                dict(self._counts),
                tuple(self._findings),
            )

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire(timeout=5) as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RECONCILIATION_LOCK):
                raise ReconciliationRunning(f"the ledger of {self.service} is being compared already; wait for that")
            try:
                # Never in one transaction with what follows: for as long as it ran, the relay would keep everything
                # that is appended in its tail.
                await connection.execute(CREATE)
                yield connection
            finally:
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await connection.execute(DROP)
                    await connection.execute("SELECT pg_advisory_unlock($1)", RECONCILIATION_LOCK)

    def _find(self, kind: Kind, place: str, where: str, what: str) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= self.most_findings:
            self._findings.append(Finding(kind, place, where, what))

    async def _read(self, connection: Connection, topic: str) -> int:
        extent = await self.log.extent(topic)
        total = sum(end - extent.beginnings[partition] for partition, end in extent.ends.items())
        read = 0
        self.show(Stage("reading", read, total))
        async for fetched in self.log.read(topic, extent.beginnings, extent.ends):
            for first in range(0, len(fetched.records), self.chunk_rows):
                part = fetched.records[first : first + self.chunk_rows]
                await self._set_down(connection, topic, Fetched(fetched.partition, fetched.start, fetched.end, part))
                read += len(part)
                self.show(Stage("reading", read, total))
        await connection.execute(PREPARE, timeout=LONGEST_STATEMENT_S)
        return read

    async def _set_down(self, connection: Connection, topic: str, fetched: Fetched) -> None:
        rows = []
        for record in fetched.records:
            where = f"{topic}/{fetched.partition}@{record.offset}"
            body = record.value or b""
            try:
                envelope = read_envelope(body)
            except DocumentRefused as refused:
                self._find(Kind.STRANGER, where, where, str(refused))
                continue
            if envelope.source != f"urn:gatehouse:{self.service}" or record.key != str(envelope.stream).encode():
                of = f"it is of {envelope.source}, its key is {(record.key or b'').decode(errors='replace')!r}"
                self._find(Kind.STRANGER, envelope.id, where, of)
                continue
            rows.append(
                (
                    fetched.partition,
                    record.offset,
                    envelope.stream,
                    envelope.version,
                    hash_of(body),
                    envelope.prevhash,
                )
            )
        await connection.copy_records_to_table("records", schema_name=SCHEMA, columns=COLUMNS, records=rows)

    async def _compare(self, connection: Connection, topic: str, sent: tuple[str, list[int]]) -> None:
        last: asyncpg.Record | None = None
        beyond_help: UUID | None = None
        async for row in _rows(connection, NOT_IN_LEDGER):
            kind, what = _judged(row, last, beyond_help)
            self._find(kind, _place(row), f"{topic}/{row['partition']}@{row['record_offset']}", what)
            if kind is not Kind.LOST:
                beyond_help = row["stream"]
            last = row
        async for row in _rows(connection, NOT_IN_TOPIC, *sent):
            self._find(Kind.NOT_SENT, _place(row), topic, "it counts as sent, and the topic lacks it")
        async for row in _rows(connection, OUT_OF_ORDER):
            where = f"{topic}/{row['partition']}@{row['record_offset']}"
            what = f"it comes where version {row['highest'] + 1} should, or a repeat"
            self._find(Kind.ORDER, _place(row), where, what)

    async def _check_events(self, connection: Connection) -> tuple[int, int]:
        total = await connection.fetchval("SELECT count(*) FROM events", timeout=LONGEST_STATEMENT_S)
        chain = _Chain(self._find, self.service)
        done = 0
        self.show(Stage("checking events", done, total))
        # The number of rows is written into the query, for a plan that does not know it may sort the whole table.
        query = EVENTS.format(rows=self.chunk_rows)
        while rows := await connection.fetch(query, chain.stream, chain.version):
            for row in rows:
                chain.take(row)
            done += len(rows)
            await self._check_answers(connection, chain.ended())
            self.show(Stage("checking events", done, max(done, total)))
            await asyncio.sleep(0)
        await self._check_answers(connection, chain.ended(everything=True))
        return done, chain.streams

    async def _check_answers(self, connection: Connection, acts: "list[_Act]") -> None:
        if not acts:
            return
        rows = {row["command"]: row for row in await connection.fetch(ANSWERS, [act.command for act in acts])}
        for act in acts:
            row = rows.get(act.command)
            place = f"{act.stream}@{act.first}" + (f" to {act.last}" if act.last > act.first else "")
            if row is None:
                self._find(Kind.COMMAND, place, "commands", f"there is no row of its command {act.command}")
            elif (row["stream"], row["from_version"], row["to_version"], row["refused"]) != (
                act.stream,
                act.first - 1,
                act.last,
                False,
            ):
                refused = ", refused" if row["refused"] else ""
                said = f"{row['stream']}, versions {row['from_version']} to {row['to_version']}{refused}"
                self._find(Kind.COMMAND, place, "commands", f"the row of its command {act.command} says {said}")

    async def _check_commands(self, connection: Connection) -> int:
        total = await connection.fetchval("SELECT count(*) FROM commands", timeout=LONGEST_STATEMENT_S)
        after, done = UUID(int=0), 0
        self.show(Stage("checking commands", done, total))
        query = COMMANDS.format(rows=self.chunk_rows)
        while rows := await connection.fetch(query, after):
            for row in rows:
                begin, end = row["from_version"] or 0, row["to_version"] or 0
                said = f"it answered with {row['stream']}, versions {begin} to {end}"
                if not row["there"]:
                    self._find(Kind.COMMAND, f"command {row['command']}", "commands", f"{said}, which is not there")
                elif end < begin or (row["refused"] and end > begin):
                    self._find(Kind.COMMAND, f"command {row['command']}", "commands", f"{said}, which can't be")
            after = rows[-1]["command"]
            done += len(rows)
            self.show(Stage("checking commands", done, max(done, total)))
        return done


@dataclass(frozen=True, slots=True)
class _Act:
    """What one command has appended, as the documents tell it."""

    command: UUID
    stream: UUID
    first: int
    last: int


class _Chain:
    """Takes a ledger's rows in order of stream and version, and judges each by the one before it."""

    def __init__(self, find: Callable[[Kind, str, str, str], None], service: str) -> None:
        self._find = find
        self._source = f"urn:gatehouse:{service}"
        self._acts: list[_Act] = []
        self._hash: bytes | None = None
        self.stream = UUID(int=0)
        self.version = 0
        self.streams = 0

    def take(self, row: "asyncpg.Record") -> None:
        """Judge the next row."""
        place = _place(row)
        if row["stream"] != self.stream:
            self.stream, self.version, self._hash = row["stream"], 0, None
            self.streams += 1
        expected, before = self.version + 1, self._hash
        self.version, self._hash = row["version"], row["hash"]
        body = bytes(row["document"])
        if (found := hash_of(body)) != row["hash"]:
            self._find(Kind.DOCUMENT, place, "ledger", f"its bytes have hash {found.hex()}, not {row['hash'].hex()}")
        try:
            envelope = read_envelope(body)
        except DocumentRefused as refused:
            self._find(Kind.DOCUMENT, place, "ledger", str(refused))
            return
        if (envelope.id, envelope.source) != (place, self._source):
            self._find(Kind.DOCUMENT, place, "ledger", f"its document is {envelope.id} of {envelope.source}")
            return
        self._check_copies(row, envelope, place)
        if row["version"] != expected:
            self._find(Kind.GAP, place, "ledger", f"version {expected} is missing before it")
        elif before is not None and envelope.prevhash != before.hex():
            self._find(Kind.CHAIN, place, "ledger", f"it follows {envelope.prevhash}, but {before.hex()} is before it")
        last = self._acts[-1] if self._acts else None
        if last is not None and (last.command, last.stream, last.last + 1) == (
            envelope.command,
            self.stream,
            self.version,
        ):
            self._acts[-1] = _Act(last.command, last.stream, last.first, self.version)
        else:
            self._acts.append(_Act(envelope.command, self.stream, self.version, self.version))

    def ended(self, *, everything: bool = False) -> list[_Act]:
        """What commands have appended, once each; the last one may still go on, unless that was everything."""
        kept = [] if everything else self._acts[-1:]
        ended, self._acts = self._acts[: len(self._acts) - len(kept)], kept
        return ended

    def _check_copies(self, row: "asyncpg.Record", envelope: Envelope, place: str) -> None:
        for name, said in (("type", envelope.type), ("time", envelope.time), ("recorded_at", envelope.recordedtime)):
            if row[name] != said:
                self._find(Kind.COPY, place, "ledger", f"its row has {name} {row[name]}, its document {said}")


def _judged(row: "asyncpg.Record", last: "asyncpg.Record | None", beyond_help: UUID | None) -> tuple[Kind, str]:
    """What it means that the ledger does not have this document of the topic; `last` is the one judged before it."""
    told, kept = row["hash"].hex(), row["kept"]
    if kept is not None:
        return Kind.FORK, f"the topic has {told}, the ledger {kept.hex()}"
    if last is not None and _place(last) == _place(row):
        return Kind.FORK, f"the topic has both {last['hash'].hex()} and {told}, the ledger neither"
    if row["stream"] == beyond_help:
        return Kind.CUT_OFF, "it follows what can't be brought back"
    if row["version"] > 1:
        before = [each.hex() for each in (row["kept_before"], *row["told_before"]) if each is not None]
        if not before:
            return Kind.CUT_OFF, "ledger and topic also lack the version before it"
        if row["prevhash"] not in before:
            return Kind.FORK, f"it follows {row['prevhash']}, but the version before it is {before[0]}"
    return Kind.LOST, f"the ledger lacks {told}"


def _place(row: "asyncpg.Record") -> str:
    return f"{row['stream']}@{row['version']}"


async def _rows(connection: Connection, query: str, *arguments: Any) -> "AsyncIterator[asyncpg.Record]":
    """A query's rows, however many, a chunk at a time."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(query, *arguments, timeout=LONGEST_STATEMENT_S)
        while rows := await cursor.fetch(CHUNK_ROWS, timeout=LONGEST_STATEMENT_S):
            for row in rows:
                yield row

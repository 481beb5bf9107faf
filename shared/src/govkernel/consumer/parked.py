"""What an operator does with records that a consumer could not apply: look, try again, go on without one."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from govevents.catalogue import Catalogue, topic_of
from govevents.document import hash_of
from govevents.operations import RecordSkipped
from govevents.values import ValueRefused
from govkernel.consumer.guard import Guard, Kind, Verdict, judge, look_at
from govkernel.consumer.inbox import Inbox
from govkernel.consumer.ports import Handler, Unavailable
from govkernel.consumer.postgres import FORGET
from govkernel.domain.aggregate import Aggregate
from govkernel.ledger import AnsweredBefore, Appended, Context, Intent, KeyReused, Ledger
from govkernel.postgres import Connection

OPERATORS_LEASE_S: Final = 30.0
"""How long an operator's transaction may stand idle before the database ends it."""

ROW: Final = """
SELECT id, consumer, topic, partition, record_offset AS "offset", stream, version, kind, reason, parked_at, tries"""

LIST: Final = (
    ROW + " FROM parked WHERE ($1::text IS NULL OR consumer = $1) AND ($2::uuid IS NULL OR stream = $2) AND id > $3"
    " ORDER BY id LIMIT $4"
)

SHOW: Final = ROW + ", record_key AS key, record_value AS value FROM parked WHERE id = $1"

RIVALS: Final = """
SELECT partition, record_offset, record_key, record_value FROM parked
WHERE consumer = $1 AND stream = $2 AND version = $3 AND id <> $4 AND kind <> 'set_aside'"""


TOPIC_ID: Final = "SELECT topic_id FROM consumer_partitions WHERE consumer = $1 AND topic = $2 AND partition = $3"


class NotParked(Exception):
    """No such record is parked: it was applied or skipped meanwhile, or never was there."""


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A parked record; `key` and `value` are given where one record is shown."""

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    stream: UUID | None
    version: int | None
    kind: str
    reason: str
    parked_at: datetime
    tries: int
    key: bytes | None = None
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What came of an operator's step: how many parked events were applied, and the record where it is still parked."""

    applied: int
    remains: ParkedRecord | None


@dataclass(frozen=True, slots=True)
class SkipRecord:
    """Go on without a record."""

    consumer: str
    topic: str
    topic_id: str | None
    partition: int
    offset: int
    hash: str
    reason: str


def _decide(command: SkipRecord, skipped: bool) -> tuple[RecordSkipped, ...]:
    if skipped:
        return ()
    return (RecordSkipped(**asdict(command)),)


def _evolve(_skipped: bool, _event: RecordSkipped) -> bool:
    return True


SKIPPED_RECORD: Final[Aggregate[bool, SkipRecord, RecordSkipped]] = Aggregate("skipped_record", False, _decide, _evolve)


def stream_of(skip: SkipRecord) -> UUID:
    """The stream that says of one record and consumer that it was skipped."""
    place = f"{skip.topic}:{skip.topic_id}:{skip.partition}:{skip.offset}"
    return uuid5(NAMESPACE_URL, f"urn:gatehouse:skipped:{skip.consumer}:{place}")


class Parked:
    """The parked records of a service's consumers. A step locks the record's partition, so no batch runs beside it."""

    def __init__(
        self, pool: "asyncpg.Pool[Any]", handlers: Iterable[Handler], catalogue: Catalogue, ledger: Ledger
    ) -> None:
        self._pool = pool
        self._handlers = {handler.name: handler for handler in handlers}
        self._catalogue = catalogue
        self._ledger = ledger

    async def list(
        self, *, consumer: str | None = None, stream: UUID | None = None, after: int = 0, limit: int = 100
    ) -> "list[ParkedRecord]":
        """Parked records in the order in which they were parked, those after the id `after`."""
        async with self._pool.acquire(timeout=5) as connection:
            rows = await connection.fetch(LIST, consumer, stream, after, limit)
        return [ParkedRecord(**row) for row in rows]

    async def show(self, record: int) -> ParkedRecord:
        """One parked record with its bytes. Raises NotParked."""
        async with self._pool.acquire(timeout=5) as connection:
            return await self._show(connection, record)

    async def retry(self, record: int) -> Resolved:
        """Apply what is parked of the record's stream, as far as it goes on from where the consumer stands.

        What blocked the stream and turns out not to be of it stays parked as `set_aside`. Raises NotParked and
        Unavailable.
        """
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            parked = await self._locked(connection, record)
            inbox = self._inbox(parked)
            applied = (
                await inbox.follow(connection, [parked.stream], blocked_too=True) if parked.stream is not None else 0
            )
            remains = await self._remaining(connection, record)
        self._ledger.wake()
        return Resolved(applied, remains)

    async def skip(self, record: int, reason: str, *, context: Context) -> Resolved:
        """Go on without a record, for a reason that is recorded in this service's ledger; its stream then follows.

        The stream counts it as passed only if it is the one next version; else the record alone is discarded. The same
        `context` again changes nothing more. Raises NotParked, ValueRefused for an empty reason, KeyReused,
        LedgerUnavailable, Unavailable.
        """
        if not reason.strip():
            raise ValueRefused("reason", reason, "say why the record may be left out")
        if await self._ledger.answered(context) is not None:
            return Resolved(0, None)
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            parked = await self._locked(connection, record)
            await self._record(connection, parked, reason, context)
            inbox = self._inbox(parked)
            after = await self._passed(connection, inbox, parked)
            await connection.execute(FORGET, [record])
            applied = 0
            if parked.stream is not None:
                if after is not None:
                    await inbox.move_guard(connection, parked.stream, *after)
                applied = await inbox.follow(connection, [parked.stream])
        self._ledger.wake()
        return Resolved(applied, None)

    async def _record(self, connection: Connection, parked: ParkedRecord, reason: str, context: Context) -> None:
        topic_id = await connection.fetchval(TOPIC_ID, parked.consumer, parked.topic, parked.partition)
        skip = SkipRecord(
            parked.consumer,
            parked.topic,
            topic_id,
            parked.partition,
            parked.offset,
            hash_of(parked.value or b"").hex(),
            reason,
        )
        stream = stream_of(skip)
        loaded = await self._ledger.load(SKIPPED_RECORD, stream, connection=connection)
        append, _ = self._ledger.prepare(context, Intent(SKIPPED_RECORD, stream, skip), loaded)
        (outcome,) = await self._ledger.append(connection, [append])
        if isinstance(outcome, KeyReused):
            raise outcome
        if not isinstance(outcome, (Appended, AnsweredBefore)):
            raise Unavailable(f"record {parked.id} is being skipped by somebody else: look again")

    async def _passed(self, connection: Connection, inbox: Inbox, parked: ParkedRecord) -> tuple[Guard, Guard] | None:
        """Where the stream's guard goes if the record is the one next version: before and after; else None."""
        if parked.stream is None or parked.version is None or parked.kind == Kind.SET_ASIDE.value:
            return None
        service = self._handlers[parked.consumer].service
        arrival = look_at(parked.partition, parked.offset, parked.key, parked.value, service=service)
        guard = await inbox.guard(connection, parked.stream)
        if arrival.envelope is None or judge(guard, arrival.envelope, arrival.hash) is not Verdict.NEXT:
            return None
        for row in await connection.fetch(RIVALS, parked.consumer, parked.stream, parked.version, parked.id):
            rival = look_at(*row, service=service)
            if rival.envelope is not None and judge(guard, rival.envelope, rival.hash) is Verdict.NEXT:
                return None
        return guard, Guard(arrival.envelope.version, arrival.hash)

    def _inbox(self, parked: ParkedRecord) -> Inbox:
        return Inbox(
            self._pool,
            self._handlers[parked.consumer],
            self._catalogue,
            topic=parked.topic,
            lease_s=OPERATORS_LEASE_S,
        )

    async def _locked(self, connection: Connection, record: int) -> ParkedRecord:
        parked = await self._show(connection, record)
        handler = self._handlers.get(parked.consumer)
        if handler is None or topic_of(handler.service) != parked.topic:
            raise NotParked(
                f"record {record} is parked for {parked.consumer}, which this process doesn't know; it knows "
                f"{', '.join(sorted(self._handlers)) or 'none'}"
            )
        await self._inbox(parked).lock(connection, [parked.partition])
        return await self._show(connection, record)

    async def _show(self, connection: Connection, record: int) -> ParkedRecord:
        row = await connection.fetchrow(SHOW, record)
        if row is None:
            raise NotParked(f"record {record} is not parked: it was applied or skipped meanwhile, or never was there")
        return ParkedRecord(**row)

    async def _remaining(self, connection: Connection, record: int) -> ParkedRecord | None:
        row = await connection.fetchrow(SHOW, record)
        return ParkedRecord(**row) if row is not None else None

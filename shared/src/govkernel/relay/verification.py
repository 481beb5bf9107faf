"""Verification: finding out whether a database has lost anything that the world has already seen.

A database that was restarted, failed over or restored may have been set back. What it had sent is still in Kafka, from
the acknowledged offsets of its checkpoint on: a checkpoint is stored after the rows that it speaks of, so whatever was
lost was sent behind the offsets of the checkpoint that survived.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from govevents.document import Document, DocumentRefused, Envelope, hash_of, read_envelope
from govkernel.kafka import Extent, Fetched
from govkernel.postgres import Connection

log = logging.getLogger(__name__)

BroughtBack = Callable[[Connection, Sequence[Document]], Awaitable[None]]
"""What else has to be restored with documents that Kafka gave back, within the same transaction: timers and links."""


class Alarm(Exception):
    """Ledger and topic contradict each other. Nothing is sent, and appends stay closed, until a person has looked."""


class Fork(Alarm):
    """The ledger and the topic hold different documents at the same place of a stream."""


class LedgerGap(Alarm):
    """The ledger lacks what came before a record that it also lacks."""


class TopicReplaced(Alarm):
    """The topic is not the one that this ledger was sent to."""


class TopicCut(Alarm):
    """The topic ends, or begins, where records had been acknowledged."""


class ForeignTransactions(Alarm):
    """The ledger was restored from a dump: its rows carry the transaction ids of another server."""


class Log(Protocol):
    """The topic as it is read back."""

    async def extent(self, topic: str) -> Extent:
        """Where the topic begins and ends now."""

    def read(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> AsyncIterator[Fetched]:
        """What lies in [start, end) of each partition."""


class Rows(Protocol):
    """The ledger's rows as verification sees them; each method is one statement on the connection."""

    async def known(
        self, connection: Connection, places: Sequence[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], bytes]:
        """The hashes of the events at these places, of streams and versions, where there are any."""
        ...

    async def bring_back(self, connection: Connection, documents: Sequence[Document]) -> None:
        """Insert events, the same bytes."""
        ...

    async def bring_back_commands(self, connection: Connection) -> None:
        """Insert the commands of the events that this transaction has brought back."""
        ...


async def verify(
    store: Rows,
    connection: Connection,
    log_: Log,
    *,
    service: str,
    topic: str,
    acknowledged: Mapping[int, int],
    brought_back: BroughtBack,
) -> tuple[Mapping[int, int], int]:
    """Find every record of the topic behind the acknowledged offsets in the ledger, and bring back what it lacks.

    Runs in the caller's transaction: all is brought back or nothing. Returns the offsets up to which the topic is now
    known to be in the ledger, and how many events were brought back. Raises Fork, LedgerGap, TopicCut.
    """
    extent = await log_.extent(topic)
    # Where nothing was acknowledged nothing can be missing, so a topic may begin wherever it does.
    start = {
        partition: acknowledged[partition] + 1 if partition in acknowledged else extent.beginnings[partition]
        for partition in extent.ends
    }
    for partition, offset in start.items():
        if not extent.beginnings[partition] <= offset <= extent.ends[partition]:
            raise TopicCut(
                f"{topic}/{partition}: records up to {offset - 1} were acknowledged, but the log holds "
                f"{extent.beginnings[partition]} to {extent.ends[partition]}: it lost records, which the ledger can "
                "replace. Look for the reason, then let the relay send everything again"
            )
    restored = 0
    async for fetched in log_.read(topic, start, extent.ends):
        restored += await _compare(store, connection, service, topic, fetched, brought_back)
    if restored:
        await store.bring_back_commands(connection)
        log.warning("%s: %d events that the ledger had lost were brought back from %s", service, restored, topic)
    return {partition: end - 1 for partition, end in extent.ends.items()}, restored


async def _compare(
    store: Rows, connection: Connection, service: str, topic: str, fetched: Fetched, brought_back: BroughtBack
) -> int:
    read: list[tuple[int, Envelope, bytes, bytes]] = []
    for record in fetched.records:
        body = record.value or b""
        try:
            envelope = read_envelope(body)
            if envelope.source != f"urn:gatehouse:{service}":
                raise DocumentRefused(f"it is of {envelope.source}")
        except DocumentRefused as refused:
            # It cannot be an event of this ledger, so nothing is lost by leaving it to those who wonder at it.
            log.error("%s/%d@%d is passed over: %s", topic, fetched.partition, record.offset, refused)
            continue
        read.append((record.offset, envelope, body, hash_of(body)))
    if not read:
        return 0
    known = dict(await store.known(connection, [_place(envelope) for _, envelope, _, _ in read]))
    lacking = [_place(envelope) for _, envelope, _, _ in read if _place(envelope) not in known]
    if lacking:
        known |= await store.known(connection, [(stream, version - 1) for stream, version in lacking])
    missing: list[Document] = []
    for offset, envelope, body, body_hash in read:
        place = f"{topic}/{fetched.partition}@{offset}, event {envelope.id}"
        expected = known.get(_place(envelope))
        if expected == body_hash:
            continue
        if expected is not None:
            raise Fork(f"{place}: the topic has hash {body_hash.hex()}, the ledger {expected.hex()}")
        before = known.get((envelope.stream, envelope.version - 1))
        if envelope.version > 1 and before is None:
            raise LedgerGap(f"{place}: the ledger also lacks version {envelope.version - 1}")
        if envelope.version > 1 and before is not None and before.hex() != envelope.prevhash:
            raise Fork(f"{place}: it follows {envelope.prevhash}, but the ledger's version before has {before.hex()}")
        known[_place(envelope)] = body_hash
        missing.append(
            Document(
                envelope.stream,
                envelope.version,
                envelope.type,
                envelope.time,
                envelope.recordedtime,
                body,
                body_hash,
            )
        )
    if missing:
        await store.bring_back(connection, missing)
        await brought_back(connection, missing)
    return len(missing)


def _place(envelope: Envelope) -> tuple[UUID, int]:
    return envelope.stream, envelope.version

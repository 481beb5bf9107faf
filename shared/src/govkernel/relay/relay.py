"""The relay: carries committed events from the ledger to Kafka, all of them, each stream in its order.

Sequence numbers are handed out before commit and become visible out of order, so no cursor over them is safe. A pass
looks at one snapshot instead: every transaction below the snapshot's xmin has ended, so its rows are visible and get
sent; whatever commits later is at or above it. What was sent from above it is remembered as the tail. Version n+1 of a
stream is visible only if n is, with a lower seq, so sending in the order of seq keeps each stream's order. A crash
between any two steps only repeats, and repeats are dropped by version.

The watermark is the recorded time before which everything has been sent. An append takes its recorded time from its
clock, and is refused, within its own transaction, when that lies over 5 s from the database's `clock_timestamp()`. So a
transaction records nothing earlier than 5 s before it began. What a pass cannot see yet was either open when the pass
looked at the open transactions, before it took its snapshot, or began after that look. Hence nothing recorded before
min(the look, the beginning of the oldest open transaction) - 5 s can still appear, and all that was recorded before is
visible to the pass and sent by it. Only a clock of the database that is set back can break this; the watermark stays
where it is then. What verification brings back from Kafka has been sent already.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import asyncpg

from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.document import Document, canonical
from govevents.operations import DatabaseVouchedFor
from govkernel.kafka import KafkaUnavailable, Outgoing, SendFailed, TopicIdentity, TopicMissing
from govkernel.postgres import UNAVAILABLE, Connection
from govkernel.relay import checkpoint as rows
from govkernel.relay.checkpoint import Checkpoint, DatabaseIdentity, LeadershipLost
from govkernel.relay.ports import Producer, RelayStatus, RelayStore, Topics
from govkernel.relay.postgres import POSTGRES
from govkernel.relay.verification import (
    Alarm,
    BroughtBack,
    ForeignTransactions,
    LedgerGap,
    Log,
    TopicCut,
    TopicReplaced,
    verify,
)

T = TypeVar("T")

SHORTEST_POLL_S: Final = 0.005
GATHER_S: Final = 0.02
"""How long a relay that has just sent something lets more come together, for each pass costs the same."""
LONGEST_POLL_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 5.0
WATERMARK_EVERY_S: Final = 1.0
TOPIC_KNOWN_S: Final = 0.5
"""How old may be what is known of the topic's identity when something is sent to it."""
LARGEST_CLOCK_DIFFERENCE: Final = timedelta(seconds=5)
LONG_TAIL: Final = 100_000

VOUCH: Final = "UPDATE relay_checkpoint SET system_identifier = $1, started_at = $2, events_file = $3"

VERIFIED_DATABASE: Final = "SELECT system_identifier, started_at, events_file FROM relay_checkpoint FOR UPDATE"

FORGET_WHAT_WAS_SENT: Final = """
UPDATE relay_checkpoint
SET epoch = epoch + 1, holder = NULL, lease_until = NULL, low_txid = '3', tail_seq = '{}', tail_txid = '{}',
    acknowledged = '{}', cluster_id = NULL, topic_id = NULL, system_identifier = $1, started_at = $2,
    events_file = $3, alarm = NULL, trouble = NULL"""

FORGET_WHAT_WAS_VERIFIED: Final = """
UPDATE relay_checkpoint
SET epoch = epoch + 1, holder = NULL, lease_until = NULL, acknowledged = '{}', system_identifier = NULL,
    started_at = NULL, events_file = NULL, alarm = NULL, trouble = NULL"""

Step = Literal["led", "verified", "snapshot", "sent", "passed", "stored"]
"""Points of a pass at which a test may stop it."""

log = logging.getLogger(__name__)


async def _nothing_else(_connection: Connection, _documents: Sequence[Document]) -> None:
    return


async def _go_on(_step: Step) -> None:
    return


class Relay:
    """One replica of a service's relay; of all replicas, one leads at a time.

    `producer` makes a connection to Kafka for each time of leadership. `wake` is set when something was appended.
    `brought_back` restores what belongs to documents that verification took from Kafka. `lease` is how long a leader
    leads without a sign of life. `store` knows the rows that the pool's connections lead to.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        service: str,
        replica: UUID,
        producer: Callable[[], Producer],
        topics: Topics,
        topic_log: Log,
        wake: asyncio.Event,
        brought_back: BroughtBack = _nothing_else,
        topic: str | None = None,
        watermark_topic: str = WATERMARK_TOPIC,
        lease: timedelta = timedelta(seconds=6),
        chunk_rows: int = 10_000,
        reached: Callable[[Step], Awaitable[None]] = _go_on,
        store: RelayStore = POSTGRES,
    ) -> None:
        self.service = service
        self.topic = topic or topic_of(service)
        self._pool = pool
        self._replica = replica
        self._make_producer = producer
        self._topics = topics
        self._log = topic_log
        self._wake = wake
        self._brought_back = brought_back
        self._watermark_topic = watermark_topic
        self._lease = lease
        self._chunk_rows = chunk_rows
        self._reached = reached
        self._store = store
        self._producer: Producer | None = None
        self._held: Checkpoint | None = None
        self._seen: DatabaseIdentity | None = None
        self._led_until = float("-inf")
        self._renew_at = float("-inf")
        self._quiet_from = float("-inf")
        self._identified_at = float("-inf")
        self._published_at = float("-inf")
        self._published: datetime | None = None
        self._alarm: str | None = None

    async def one_pass(self) -> int | None:
        """Carry what is committed now; how many events were sent, or None while another replica leads.

        Raises Alarm, LeadershipLost, KafkaUnavailable, TopicMissing, and what `postgres.UNAVAILABLE` names. After any
        of them the next pass starts from the stored checkpoint.
        """
        try:
            async with self._pool.acquire(timeout=5) as connection:
                checkpoint = await self._lead(connection)
                if checkpoint is None:
                    return None
                sent = await self._carry(connection, checkpoint)
            await self._publish_watermark()
        except BaseException:
            await self._let_go()
            raise
        return sent

    async def run(self, stop: asyncio.Event) -> None:
        """Carry until told to stop, and then what is committed by that time. What fails is logged and tried again.

        Raises what `one_pass` raises if the last pass fails. While an alarm holds it up there is no such pass.
        """
        pause_s, backoff_s = SHORTEST_POLL_S, SHORTEST_POLL_S
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    sent = await self.one_pass()
                except (Alarm, TopicMissing) as alarm:
                    if str(alarm) != self._alarm:
                        log.critical("relay of %s: %s: %s", self.service, type(alarm).__name__, alarm)
                    self._alarm = str(alarm)
                    await self._note_held_up(alarm=f"{type(alarm).__name__}: {alarm}")
                    await _wait(LONGEST_BACKOFF_S, stopping)
                except (*UNAVAILABLE, KafkaUnavailable, LeadershipLost, asyncpg.PostgresError) as error:
                    backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
                    log.warning("relay of %s: tries again in %.3f s: %r", self.service, backoff_s, error)
                    if isinstance(error, KafkaUnavailable):
                        await self._note_held_up(trouble=f"{type(error).__name__}: {error}")
                    await _wait(backoff_s, stopping)
                else:
                    self._alarm, backoff_s = None, SHORTEST_POLL_S
                    if sent is None:
                        await _wait(self._lease.total_seconds() / 3, stopping)
                        continue
                    if sent:
                        pause_s = SHORTEST_POLL_S
                        await _wait(GATHER_S, stopping)
                    else:
                        pause_s = min(pause_s * 2, LONGEST_POLL_S)
                        await _wait(pause_s, stopping, self._wake)
            if self._alarm is None and self._led_until > asyncio.get_running_loop().time():
                # The last pass may have looked before the last commit; whoever asked for that was told it is done. An
                # alarm stays until somebody acts on it, and another pass would only raise it again.
                await self.one_pass()
        finally:
            stopping.cancel()
            await self.close()

    async def close(self) -> None:
        """Stop sending, and let another replica lead at once."""
        await self._let_go()
        if self._led_until > float("-inf"):
            with contextlib.suppress(*UNAVAILABLE, asyncpg.PostgresError):
                async with self._pool.acquire(timeout=2) as connection:
                    await self._store.resign(connection, self._replica)
                    self._led_until = float("-inf")

    async def status(self) -> RelayStatus:
        """How far the relay is, told by any replica."""
        async with self._pool.acquire(timeout=5) as connection, connection.transaction(readonly=True):
            return await self._store.status(connection)

    async def _note_held_up(self, *, alarm: str | None = None, trouble: str | None = None) -> None:
        with contextlib.suppress(*UNAVAILABLE, asyncpg.PostgresError):
            async with self._pool.acquire(timeout=2) as connection:
                await self._store.note_held_up(connection, self._replica, alarm=alarm, trouble=trouble)

    async def _lead(self, connection: Connection) -> Checkpoint | None:
        """The checkpoint of a leader whose database and topic are the ones it knows, or None where another leads."""
        now = asyncio.get_running_loop().time
        identity = await self._store.identity_of(connection)
        if identity != self._seen:
            # The row may be an older one now, and what is remembered of it worthless. Whoever led this ledger until
            # the database went away has stopped sending one lease later; that was this replica if its lease still runs.
            await self._let_go()
            self._quiet_from = now() if now() < self._led_until else now() + self._lease.total_seconds()
            self._seen = identity
        if self._held is not None:
            if now() >= self._renew_at:
                began = now()
                await self._store.store(connection, self._replica, self._held, self._lease)
                self._note_lease(began)
            return self._held
        began = now()
        taken = await self._store.take(connection, self._replica, self._lease)
        if taken is None:
            return None
        held, was_held = taken
        self._held = held
        self._note_lease(began)
        if not was_held:
            self._quiet_from = now()
        self._producer = self._make_producer()
        await self._reached("led")
        self._held = held = replace(held, topic=await self._identity(held.topic))
        if held.database != identity:
            _refuse_foreign(held.low_txid, await self._store.xmin(connection))
            quiet_s = self._quiet_from - now()
            if quiet_s > 0:
                log.info("relay of %s: waits %.1f s until whoever led before has stopped", self.service, quiet_s)
                await self._while_leading(asyncio.sleep(quiet_s))
            held = await self._while_leading(self._verify(connection, held, identity))
            self._held = held
            log.info("relay of %s: the database is verified", self.service)
        await self._reached("verified")
        return held

    async def _verify(self, connection: Connection, held: Checkpoint, identity: DatabaseIdentity) -> Checkpoint:
        try:
            return await self._verify_behind(connection, held, identity, held.acknowledged)
        except LedgerGap as gap:
            log.warning("relay of %s: %s; the whole topic is compared", self.service, gap)
            return await self._verify_behind(connection, held, identity, {})

    async def _verify_behind(
        self, connection: Connection, held: Checkpoint, identity: DatabaseIdentity, acknowledged: Mapping[int, int]
    ) -> Checkpoint:
        async with connection.transaction():
            known, brought_back = await verify(
                self._store,
                connection,
                self._log,
                service=self.service,
                topic=self.topic,
                acknowledged=acknowledged,
                brought_back=self._brought_back,
            )
            verified = replace(held, database=identity, acknowledged=known)
            await self._store.store(connection, self._replica, verified, self._lease)
            await self._store.note_verified(connection, held.epoch, brought_back)
        return verified

    async def _carry(self, connection: Connection, checkpoint: Checkpoint) -> int:
        oldest = await self._store.oldest(connection)
        published: dict[int, int] = {}
        acknowledged = dict(checkpoint.acknowledged)
        sent = 0
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            xmin = await self._store.snapshot(connection)
            _refuse_foreign(checkpoint.low_txid, xmin)
            await self._reached("snapshot")
            pending = self._store.pending(connection, checkpoint, xmin, self._chunk_rows)
            async with contextlib.aclosing(_one_ahead(pending)) as chunks:
                async for chunk in chunks:
                    await self._send(chunk.batch, acknowledged)
                    sent += len(chunk.batch)
                    published.update(chunk.above_xmin)
                    await self._reached("sent")
        await self._reached("passed")
        tail = {seq: txid for seq, txid in checkpoint.tail.items() if txid >= xmin}
        watermark = oldest - LARGEST_CLOCK_DIFFERENCE if oldest is not None else None
        if checkpoint.watermark and (watermark is None or watermark < checkpoint.watermark):
            watermark = checkpoint.watermark
        after = replace(
            checkpoint, low_txid=xmin, tail=tail | published, acknowledged=acknowledged, watermark=watermark
        )
        if len(after.tail) > LONG_TAIL >= len(checkpoint.tail):
            log.error("relay of %s: %d events wait behind a transaction that stays open", self.service, len(after.tail))
        if sent:
            # An idle pass changes nothing that another leader would miss, so only the next renewal writes it down.
            began = asyncio.get_running_loop().time()
            await self._store.store(connection, self._replica, after, self._lease)
            self._note_lease(began)
        self._held = after
        await self._reached("stored")
        return sent

    async def _identity(self, known: TopicIdentity | None) -> TopicIdentity:
        """Which topic it is. Raises TopicReplaced where it is not the one that is known."""
        asked_at = asyncio.get_running_loop().time()
        topic = await self._while_leading(self._topics.identity(self.topic))
        if known is not None and known != topic:
            raise TopicReplaced(
                f"{self.topic} has id {topic.topic_id} on cluster {topic.cluster_id}; this ledger was sent to id "
                f"{known.topic_id} on cluster {known.cluster_id}. If it was made anew, let the relay send everything "
                "again"
            )
        self._identified_at = asked_at
        return topic

    async def _send(self, batch: Sequence[Outgoing], acknowledged: dict[int, int]) -> None:
        assert self._producer is not None, "a leader has a producer"
        assert self._held is not None, "a leader holds the checkpoint"
        if asyncio.get_running_loop().time() >= self._identified_at + TOPIC_KNOWN_S:
            await self._identity(self._held.topic)
        for partition, offset in (await self._while_leading(self._producer.send(self.topic, batch))).items():
            if offset < 0:
                # The watermark has to name an offset behind which everything lies: a new producer will get one.
                raise SendFailed(f"{self.topic}/{partition}: Kafka has the records already, and doesn't say where")
            if offset <= acknowledged.get(partition, -1):
                raise TopicCut(
                    f"{self.topic}/{partition}: a new record got offset {offset}, but {acknowledged[partition]} had "
                    "been acknowledged: the topic lost records. Look for the reason, then let the relay send "
                    "everything again"
                )
            acknowledged[partition] = offset

    async def _publish_watermark(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._held is None or self._producer is None or self._held.watermark in (None, self._published):
            return
        if now - self._published_at < WATERMARK_EVERY_S:
            return
        value = {
            "service": self.service,
            "recorded_until": self._held.watermark,
            # A reader that is past these offsets has also read what the watermark speaks of.
            "offsets": {str(partition): offset for partition, offset in sorted(self._held.acknowledged.items())},
        }
        await self._while_leading(self._producer.put(self._watermark_topic, self.service.encode(), canonical(value)))
        self._published, self._published_at = self._held.watermark, now

    async def _while_leading(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that may take long, renewing the lease meanwhile, and give it up where that fails."""
        task = asyncio.ensure_future(work)
        now = asyncio.get_running_loop().time
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=max(0.0, self._renew_at - now()))
                if not task.done():
                    await self._renew()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _renew(self) -> None:
        assert self._held is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout_at(self._led_until), self._pool.acquire() as connection:
            await self._store.renew(connection, self._replica, self._held.epoch, self._lease)
        self._note_lease(began)

    def _note_lease(self, began: float) -> None:
        # Counted from before the question, so that it ends here before it ends for others.
        self._led_until = began + self._lease.total_seconds()
        self._renew_at = began + self._lease.total_seconds() / 3

    async def _let_go(self) -> None:
        producer, self._producer, self._held = self._producer, None, None
        if producer is not None:
            await producer.abort()


async def _one_ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same items, each being made while the one before it is used."""
    next_one = asyncio.ensure_future(anext(items))
    try:
        while True:
            try:
                item = await next_one
            except StopAsyncIteration:
                return
            next_one = asyncio.ensure_future(anext(items))
            yield item
    finally:
        next_one.cancel()
        await asyncio.wait({next_one})
        await items.aclose()


async def vouch(
    pool: "asyncpg.Pool[Any]",
    *,
    reason: str,
    actor: str,
    record: Callable[[Connection, DatabaseVouchedFor, DatabaseIdentity, str], Awaitable[None]],
) -> DatabaseVouchedFor:
    """Open the ledger of a database by hand, where Kafka is away and cannot tell whether it lost anything.

    `record` writes the event, of that actor, to the service's ledger, in the same transaction.
    """
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        identity = await rows.identity_of(connection)
        await connection.execute(VOUCH, *astuple(identity))
        vouched = DatabaseVouchedFor(identity.system_identifier, identity.started_at, reason)
        await record(connection, vouched, identity, actor)
    return vouched


Ordered = Callable[[Connection], Awaitable[bool]]
"""Records what an operator has ordered, within the transaction that does it; False where it was ordered before."""


async def _unrecorded(_connection: Connection) -> bool:
    return True


async def send_everything_again(pool: "asyncpg.Pool[Any]", *, record: Ordered = _unrecorded) -> bool:
    """Let the next pass start from the ledger's beginning, whatever was sent before: for a topic that was lost.

    What is verified stays verified. False where it was ordered before, and nothing more was done.
    """
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        recorded, verified = await _recorded(connection, record)
        if recorded:
            await connection.execute(FORGET_WHAT_WAS_SENT, *(astuple(verified) if verified else (None, None, None)))
    return recorded


async def verify_everything_again(pool: "asyncpg.Pool[Any]", *, record: Ordered = _unrecorded) -> bool:
    """Close the ledger until a relay has found every record of the whole topic in it, and brought back what it lacks.

    False where it was ordered before, and nothing more was done.
    """
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        recorded, _ = await _recorded(connection, record)
        if recorded:
            await connection.execute(FORGET_WHAT_WAS_VERIFIED)
    return recorded


async def _recorded(connection: Connection, record: Ordered) -> tuple[bool, DatabaseIdentity | None]:
    """Whether there was anything to record, and which database had been verified before, None for none.

    An operator's order has to be recorded in a ledger that is closed, too. It is open within this transaction alone,
    and the order's stream is its own, so that nothing the ledger may have lost can lie at the same place.
    """
    before = await connection.fetchrow(VERIFIED_DATABASE)
    assert before is not None, "the migration that makes the table also makes its row"
    identity = await rows.identity_of(connection)
    await connection.execute(VOUCH, *astuple(identity))
    return await record(connection), rows.verified_in(before)


def _refuse_foreign(low_txid: int, xmin: int) -> None:
    if low_txid > xmin:
        raise ForeignTransactions(
            f"the checkpoint speaks of transaction {low_txid}, but this server has only come to {xmin}: the database "
            "was restored from a dump. Run this service's `adopt` with the owning role's address"
        )


async def _wait(timeout_s: float, stopping: "asyncio.Future[Any]", wake: asyncio.Event | None = None) -> None:
    waking = asyncio.ensure_future(wake.wait()) if wake is not None else None
    await asyncio.wait({stopping, waking} if waking else {stopping}, timeout=timeout_s, return_when="FIRST_COMPLETED")
    if waking is not None:
        waking.cancel()

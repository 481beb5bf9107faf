"""One replica of one consumer: leases, reading, batches, parked records, over and over, until told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from govevents.catalogue import Catalogue, topic_of
from govkernel.consumer.guard import Kind, Stopped
from govkernel.consumer.inbox import GuardMoved, Inbox, Taken
from govkernel.consumer.leases import Leases
from govkernel.consumer.ports import (
    ConsumerStore,
    Handler,
    Lease,
    Reader,
    Subscription,
    TopicMadeAnew,
    Topics,
    Unavailable,
)
from govkernel.consumer.postgres import POSTGRES
from govkernel.kafka import Fetched, KafkaUnavailable, OffsetGone, TopicIdentity, TopicMissing
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE

TRY_AGAIN: Final = (*UNAVAILABLE, asyncpg.PostgresError, KafkaUnavailable, TopicMissing, Unavailable, GuardMoved)
"""What a later pass may be spared. Nothing of the failed one has had an effect."""

SHORTEST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
IDLE_RETRY_S: Final = 5.0
SHORTEST_PAUSE_S: Final = 0.1
IDENTITY_CHECK_S: Final = 30.0
IDENTITY_KNOWN_S: Final = 1.0
"""How old may be what is known of the topic's identity when records of it are applied."""
IDENTITY_IDLE_S: Final = 5.0
"""How old it may be while there are none."""
COMMIT_S: Final = 5.0
PLENTY: Final = 500
LONGEST_REST_S: Final = 0.1
"""After a batch of fewer records than plenty, a consumer rests as long as the batch took, at most so long.

A batch costs much the same however few records it has: on a busy machine more come together, and each costs less.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition that this replica reads: the next offset, the topic's end as last seen, and how many lie between."""

    partition: int
    epoch: int
    next_offset: int
    end_offset: int
    lag: int


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """How a consumer is doing in this replica.

    `parked` counts records by kind, for all replicas. `taken_until` is when the newest record that was taken had been
    sent. `alarm` is what needs a person; `trouble` what is tried again.
    """

    consumer: str
    topic: str
    ready: bool
    partitions: tuple[PartitionStatus, ...]
    lag: int
    parked: dict[str, int]
    last_applied_at: datetime | None
    taken_until: datetime | None
    alarm: str | None
    trouble: str | None


class Consumer:
    """Feeds a handler with the events of its topic, sharing the partitions with other replicas of the same name.

    `lease_s` is how long a silent replica keeps its partitions. A fetch of `plenty` records is applied in two halves,
    and is followed by the next without a rest. `commit_as` is a group's name under which offsets are
    also shown to Kafka's tools. `on_applied` is called after each commit that applied events: whoever waits for their
    effects is woken there. The reader is this consumer's own. `store` knows the rows that the pool's connections
    lead to.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        handler: Handler,
        catalogue: Catalogue,
        *,
        reader: Reader,
        topics: Topics,
        replica: UUID,
        lease_s: float = 10.0,
        poll_s: float = 0.25,
        most_records: int = 2000,
        plenty: int = PLENTY,
        commit_as: str | None = None,
        on_applied: Callable[[], None] | None = None,
        store: ConsumerStore = POSTGRES,
    ) -> None:
        self.handler = handler
        self.topic = topic_of(handler.service)
        self._pool = pool
        self._reader = reader
        self._topics = topics
        self._replica = replica
        self._poll_s = poll_s
        self._most_records = most_records
        self._plenty = plenty
        self._commit_as = commit_as
        self._on_applied = on_applied
        self._store = store
        self._of = Subscription(handler.name, self.topic)
        self._leases = Leases(pool, of=self._of, replica=replica, lease_s=lease_s, store=store)
        self._inbox = Inbox(pool, handler, catalogue, topic=self.topic, lease_s=lease_s, store=store)
        self._reading = False
        self._held: dict[int, Lease] = {}
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._too_new: dict[int, Stopped] = {}
        self._parked: dict[str, int] = {}
        self._claim_at = self._identify_at = self._commit_at = self._retry_at = self._pause_until = 0.0
        self._rest_until = 0.0
        self._identified_at = float("-inf")
        self._identity: TopicIdentity | None = None
        self._waits: dict[UUID, tuple[float, float]] = {}
        self._nudged = False
        self._committed: dict[int, int] = {}
        self._committing: asyncio.Task[None] | None = None
        self._claimed = False
        self._last_applied_at: datetime | None = None
        self._taken_until_ms: int | None = None
        self._alarm: str | None = None
        self._trouble: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop, waiting for a database or Kafka that is away.

        Raises OffsetGone or TopicMadeAnew where the topic is not what was read before: a person has to look.
        """
        delay_s = 0.25
        try:
            while not stop.is_set():
                try:
                    await self.one_pass()
                    self._trouble = self._alarm = None
                    delay_s = 0.25
                except TRY_AGAIN as error:
                    self._trouble = f"{type(error).__name__}: {error}"
                    log.warning("%s: tries again in %.2f s: %s", self.handler.name, delay_s, self._trouble)
                    await self._begin_anew(reconnect=isinstance(error, (KafkaUnavailable, TopicMissing)))
                    await pause(stop, delay_s)
                    delay_s = min(10.0, delay_s * 2)
        except (OffsetGone, TopicMadeAnew) as error:
            if str(error) != self._alarm:
                log.error("%s: stops: %s", self.handler.name, error)
            self._alarm = str(error)
            raise
        finally:
            await self.close()

    async def one_pass(self) -> int:
        """Claim partitions, try parked events where that is due, apply what has arrived; how many events were applied.

        Raises what `run` waits out or ends with.
        """
        now = asyncio.get_running_loop().time()
        if not self._reading:
            await self._reader.start()
            self._reading = True
            self._identify_at = 0.0
        if now >= self._identify_at:
            await self._identify()
            self._identify_at = now + IDENTITY_CHECK_S
        elif now >= self._identified_at + IDENTITY_IDLE_S:
            await self._look_again()
        if now >= self._claim_at:
            await self._claim()
            self._claim_at = now + self._leases.lease_s / 3
        applied = await self._retry_parked()
        await asyncio.sleep(self._rest_until - asyncio.get_running_loop().time())
        fetched = await self._reader.fetch(timeout_s=self._poll_s, most_records=self._most_records)
        fetched = [each for each in fetched if each.partition in self._held]
        if fetched:
            began = asyncio.get_running_loop().time()
            if began >= self._identified_at + IDENTITY_KNOWN_S:
                await self._look_again()
            epochs = {partition: lease.epoch for partition, lease in self._held.items()}
            taken = await self._take(fetched, epochs)
            applied += taken.applied
            sent_ms = [each.records[-1].timestamp for each in fetched if each.records]
            self._taken_until_ms = max(sent_ms, default=self._taken_until_ms)
            self._positions.update(taken.positions)
            for partition, offset in taken.misplaced.items():
                self._positions[partition] = offset
                self._reader.seek(partition, offset)
            if taken.stopped:
                await self._give_up(taken.stopped)
            if taken.lost or taken.stopped:
                self._read_only(self._held.keys() - taken.lost - taken.stopped.keys())
            if sum(len(each.records) for each in fetched) < self._plenty:
                ended = asyncio.get_running_loop().time()
                self._rest_until = ended + min(LONGEST_REST_S, ended - began)
            if taken.parked:
                log.warning("%s: parked %d records of %s", self.handler.name, taken.parked, self.topic)
                await self._count_parked()
        if applied:
            self._nudged = True
            self._last_applied_at = datetime.now(UTC)
            if self._on_applied is not None:
                self._on_applied()
        self._show_offsets()
        return applied

    async def _take(self, fetched: Sequence[Fetched], epochs: Mapping[int, int]) -> Taken:
        """Apply what was fetched; of plenty, two halves side by side, so that one is judged while the other is saved.

        Partitions have no streams in common. What one half did stands where the other fails.
        """
        if len(fetched) < 2 or sum(len(each.records) for each in fetched) < self._plenty:
            return await self._inbox.take(fetched, self._replica, epochs)
        results = await asyncio.gather(
            *(self._inbox.take(half, self._replica, epochs) for half in (fetched[::2], fetched[1::2])),
            return_exceptions=True,
        )
        taken: list[Taken] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            taken.append(result)
        return Taken.together(taken)

    def nudge(self) -> None:
        """Something has become known in this service: events that were rejected for the want of it are tried now."""
        self._nudged = True

    def status(self) -> ConsumerStatus:
        """How it is doing, as of the last claim."""
        partitions = tuple(
            PartitionStatus(
                partition,
                lease.epoch,
                self._positions[partition],
                self._ends.get(partition, self._positions[partition]),
                max(0, self._ends.get(partition, 0) - self._positions[partition]),
            )
            for partition, lease in sorted(self._held.items())
        )
        blocked = self._parked.get(Kind.FORK.value, 0)
        alarm = self._alarm or (f"{blocked} records contradict what was applied before" if blocked else None)
        if alarm is None and self._too_new:
            alarm = next(iter(self._too_new.values())).reason
        return ConsumerStatus(
            self.handler.name,
            self.topic,
            self._claimed and self._alarm is None and self._trouble is None,
            partitions,
            sum(each.lag for each in partitions),
            dict(self._parked),
            self._last_applied_at,
            datetime.fromtimestamp(self._taken_until_ms / 1000, UTC) if self._taken_until_ms is not None else None,
            alarm,
            self._trouble,
        )

    async def close(self) -> None:
        """Give up the leases, so that others need not wait for them, and disconnect."""
        self._held.clear()
        if self._committing is not None:
            self._committing.cancel()
        with contextlib.suppress(*TRY_AGAIN):
            await self._leases.release()
        await self._disconnect()

    async def _look_again(self) -> None:
        """What was fetched is applied only if it is of the topic that was read before."""
        asked_at = asyncio.get_running_loop().time()
        if await self._topics.identity(self.topic) != self._identity:
            await self._identify()
        self._identified_at = asked_at

    async def _identify(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        partitions = await self._reader.partitions()
        identity = await self._topics.identity(self.topic)
        now = identity.cluster_id, identity.topic_id
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            known = await self._store.known(connection, self._of)
            if not known:
                await self._store.begin(connection, self._of, partitions)
            for row in known:
                was = row["cluster_id"], row["topic_id"]
                if was not in {(None, None), now}:
                    raise TopicMadeAnew(
                        f"{self.topic} is topic {now[1]} of cluster {now[0]}, but {self.handler.name} has read topic "
                        f"{was[1]} of cluster {was[0]}: its offsets mean other records. Bring the old topic back, or "
                        "let its ledger be sent once more and the new one be read from its beginning"
                    )
                if row["partitions"] != partitions:
                    raise TopicMadeAnew(
                        f"{self.topic} has {partitions} partitions, but {self.handler.name} has read "
                        f"{row['partitions']}: streams have moved. Their number is fixed at installation"
                    )
            await self._store.identify(connection, self._of, identity)
        self._identity, self._identified_at = identity, asked_at

    async def _claim(self) -> None:
        before = {partition: (lease.epoch, self._positions[partition]) for partition, lease in self._held.items()}
        refused = {partition: stopped.offset for partition, stopped in self._too_new.items()}
        leases = await self._leases.claim(refused=refused)
        self._held = {lease.partition: lease for lease in leases}
        if before and not leases:
            # Where an operator lets the topic be read again, there are no rows until it is looked at.
            self._identify_at = 0.0
        if before != {lease.partition: (lease.epoch, lease.next_offset) for lease in leases}:
            self._positions = {lease.partition: lease.next_offset for lease in leases}
            self._reader.assign(self._positions)
            self._nudged = True
            for lease in leases:
                self._too_new.pop(lease.partition, None)
        await self._count_parked()
        self._ends = await self._reader.ends(list(self._held)) if self._held else {}
        self._claimed = True

    async def _give_up(self, stopped: dict[int, Stopped]) -> None:
        for each in stopped.values():
            log.error("%s: leaves a partition to a newer replica: %s", self.handler.name, each.reason)
        self._too_new.update(stopped)
        await self._leases.release(list(stopped))

    def _read_only(self, partitions: set[int]) -> None:
        self._held = {partition: self._held[partition] for partition in partitions}
        self._positions = {partition: self._positions[partition] for partition in partitions}
        self._reader.assign(self._positions)

    async def _retry_parked(self) -> int:
        clock = asyncio.get_running_loop().time
        now = clock()
        waiting = sum(self._parked.get(kind.value, 0) for kind in (Kind.NOT_YET, Kind.GAP, Kind.BEHIND))
        if not waiting or not self._held or now < self._pause_until or not (self._nudged or now >= self._retry_at):
            return 0
        besides = [] if self._nudged else [stream for stream, (due, _) in self._waits.items() if due > now]
        self._nudged = False
        epochs = {partition: lease.epoch for partition, lease in self._held.items()}
        tried, applied = await self._inbox.retry(self._replica, epochs, besides=besides)
        waits = {stream: self._waits[stream] for stream in besides}
        for stream in tried:
            wait_s = min(LONGEST_RETRY_S, 2 * self._waits.get(stream, (0.0, SHORTEST_RETRY_S / 2))[1])
            waits[stream] = now + wait_s, wait_s
        self._waits = waits
        self._retry_at = min((due for due, _ in waits.values()), default=now + IDLE_RETRY_S)
        # However much is parked, trying it again takes no more than a sixth of the time.
        self._pause_until = clock() + max(SHORTEST_PAUSE_S, 5 * (clock() - now))
        if tried:
            await self._count_parked()
        return applied

    async def _count_parked(self) -> None:
        async with self._pool.acquire(timeout=5) as connection:
            counted = await self._store.count_parked(connection, self.handler.name)
        if counted.get(Kind.FORK.value, 0) > self._parked.get(Kind.FORK.value, 0):
            log.error("%s: a record contradicts what was applied before; see what is parked", self.handler.name)
        self._parked = counted

    def _show_offsets(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._commit_as is None or now < self._commit_at or self._positions == self._committed:
            return
        if self._committing is not None and not self._committing.done():
            return
        self._commit_at = now + COMMIT_S
        self._committed = dict(self._positions)
        self._committing = asyncio.create_task(self._commit(self._commit_as, self._committed))

    async def _commit(self, group: str, offsets: dict[int, int]) -> None:
        # For tools alone: nobody reads these offsets, so a failure costs nothing but another attempt.
        try:
            await self._reader.commit(group, offsets)
        except KafkaUnavailable:
            self._committed = {}

    async def _begin_anew(self, *, reconnect: bool) -> None:
        # What was fetched and not applied is fetched again: the rows say from where.
        self._held.clear()
        self._claim_at = 0.0
        if reconnect:
            await self._disconnect()
        elif self._reading:
            self._reader.assign({})

    async def _disconnect(self) -> None:
        self._reading = False
        with contextlib.suppress(KafkaUnavailable):
            await self._reader.close()

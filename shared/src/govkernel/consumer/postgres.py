"""A consumer's rows in PostgreSQL: its statements, and what they take."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from govkernel.consumer.guard import BLOCKING, Guard, Parking
from govkernel.consumer.ports import Lease, Subscription
from govkernel.kafka import TopicIdentity
from govkernel.postgres import Connection, Row

PARTITIONS: Final = """
INSERT INTO consumer_partitions (consumer, topic, partition) SELECT $1, $2, generate_series(0, $3::int - 1)
ON CONFLICT DO NOTHING"""

IDENTIFY: Final = """
UPDATE consumer_partitions SET cluster_id = $3, topic_id = $4 WHERE consumer = $1 AND topic = $2 AND topic_id IS NULL"""

IDENTITIES: Final = """
SELECT cluster_id, topic_id, sum(count(*)) OVER ()::int AS partitions
FROM consumer_partitions WHERE consumer = $1 AND topic = $2 GROUP BY cluster_id, topic_id"""

COUNT_PARKED: Final = "SELECT kind, count(*) AS records FROM parked WHERE consumer = $1 GROUP BY kind"

LEASES: Final = """
SELECT partition, holder, epoch, next_offset,
  coalesce(holder IS NOT NULL AND lease_until > clock_timestamp(), false) AS live
FROM consumer_partitions WHERE consumer = $1 AND topic = $2 ORDER BY partition"""

# Rows that a batch or another claim holds at this moment are left for the next time, so that claims never wait.
CLAIM: Final = """
WITH chosen AS (
  SELECT held.partition FROM consumer_partitions AS held
  JOIN unnest($4::int[], $5::bigint[]) AS wanted (partition, epoch) USING (partition, epoch)
  WHERE held.consumer = $1 AND held.topic = $2
  ORDER BY held.partition FOR UPDATE OF held SKIP LOCKED)
UPDATE consumer_partitions AS held
SET holder = $3, epoch = epoch + (holder IS DISTINCT FROM $3)::int,
  lease_until = clock_timestamp() + $6 * interval '1 second'
FROM chosen
WHERE held.consumer = $1 AND held.topic = $2 AND held.partition = chosen.partition
RETURNING held.partition, held.holder, held.epoch, true AS live, held.next_offset"""

RELEASE: Final = """
UPDATE consumer_partitions SET holder = NULL, lease_until = NULL
WHERE consumer = $1 AND topic = $2 AND holder = $3 AND ($4::int[] IS NULL OR partition = ANY($4))"""

LOCK: Final = """
SELECT partition, next_offset, holder, epoch, set_config('idle_in_transaction_session_timeout', $4, true)
FROM consumer_partitions WHERE consumer = $1 AND topic = $2 AND partition = ANY($3::int[])
ORDER BY partition FOR UPDATE"""

STREAMS: Final = """
SELECT wanted.stream, guard.version, guard.hash,
  EXISTS (SELECT FROM parked
          WHERE consumer = $1 AND parked.stream = wanted.stream AND kind <> 'set_aside') AS parked,
  EXISTS (SELECT FROM parked
          WHERE consumer = $1 AND parked.stream = wanted.stream AND kind = ANY($3::text[])) AS blocked
FROM unnest($2::uuid[]) AS wanted (stream)
LEFT JOIN consumer_guards AS guard ON guard.consumer = $1 AND guard.stream = wanted.stream"""

HELD: Final = """
SELECT stream, version, sha256(record_value) AS hash FROM parked
WHERE consumer = $1 AND stream = ANY($2::uuid[]) AND version = ANY($3::int[]) AND kind <> 'set_aside'"""

WAITING: Final = """
SELECT id, partition, record_offset, record_key, record_value FROM parked
WHERE consumer = $1 AND stream = $2 AND version > $3 AND kind <> 'set_aside'
ORDER BY version, record_offset LIMIT $4"""

SAVE: Final = """
WITH begun AS (
  INSERT INTO consumer_guards (consumer, stream, version, hash)
  SELECT $1, * FROM unnest($3::uuid[], $4::int[], $5::bytea[]) ON CONFLICT DO NOTHING RETURNING 1),
continued AS (
  UPDATE consumer_guards AS guard SET version = moved.version, hash = moved.hash
  FROM unnest($6::uuid[], $7::int[], $8::int[], $9::bytea[]) AS moved (stream, before, version, hash)
  WHERE guard.consumer = $1 AND guard.stream = moved.stream AND guard.version = moved.before RETURNING 1),
read AS (
  UPDATE consumer_partitions AS row
  SET next_offset = read_to.next_offset,
    lease_until = greatest(lease_until, clock_timestamp() + $12 * interval '1 second')
  FROM unnest($10::int[], $11::bigint[]) AS read_to (partition, next_offset)
  WHERE row.consumer = $1 AND row.topic = $2 AND row.partition = read_to.partition RETURNING 1)
SELECT (SELECT count(*) FROM begun) + (SELECT count(*) FROM continued) AS guards, (SELECT count(*) FROM read) AS read"""

PARK: Final = """
INSERT INTO parked (
  consumer, topic, partition, record_offset, stream, version, kind, reason, record_key, record_value, parked_at)
SELECT $1, $2, new.*, clock_timestamp()
FROM unnest($3::int[], $4::bigint[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::bytea[], $10::bytea[]) AS new
ON CONFLICT DO NOTHING"""

KEEP: Final = """
UPDATE parked SET kind = kept.kind, reason = kept.reason, tries = tries + 1
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS kept (id, kind, reason) WHERE parked.id = kept.id"""

FORGET: Final = "DELETE FROM parked WHERE id = ANY($1::bigint[])"

SET_ASIDE: Final = """
UPDATE parked SET kind = 'set_aside'
WHERE consumer = $1 AND stream = $2 AND kind = ANY($4::text[]) AND (version IS NULL OR version <= $3)"""

DUE: Final = """
SELECT stream, min(tries) AS tries, min(id) AS first, array_agg(DISTINCT partition) AS partitions FROM parked AS waiting
WHERE consumer = $1 AND topic = $2 AND partition = ANY($3::int[]) AND stream <> ALL($4::uuid[])
  AND (kind = 'not_yet' OR kind IN ('gap', 'behind') AND version = 1 + (
    SELECT version FROM consumer_guards AS guard WHERE guard.consumer = $1 AND guard.stream = waiting.stream))
  AND NOT EXISTS (
    SELECT FROM parked AS blocking
    WHERE blocking.consumer = $1 AND blocking.stream = waiting.stream AND blocking.kind = ANY($5::text[]))
GROUP BY stream ORDER BY 2, 3 LIMIT $6"""


class PostgresConsumer:
    """The rows of consumers as the kernel's tables keep them."""

    async def known(self, connection: Connection, of: Subscription) -> Sequence[Row]:
        """The topics that were read, and how many partitions there are."""
        return await connection.fetch(IDENTITIES, of.consumer, of.topic)

    async def begin(self, connection: Connection, of: Subscription, partitions: int) -> None:
        """Have a row for each partition."""
        await connection.execute(PARTITIONS, of.consumer, of.topic, partitions)

    async def identify(self, connection: Connection, of: Subscription, identity: TopicIdentity) -> None:
        """Write down which topic it is."""
        await connection.execute(IDENTIFY, of.consumer, of.topic, identity.cluster_id, identity.topic_id)

    async def leases(self, connection: Connection, of: Subscription) -> list[Lease]:
        """All partitions."""
        return [Lease(**row) for row in await connection.fetch(LEASES, of.consumer, of.topic)]

    async def claim(
        self, connection: Connection, of: Subscription, replica: UUID, wanted: Sequence[Lease], lease_s: float
    ) -> list[Lease]:
        """Take or renew leases."""
        rows = await connection.fetch(
            CLAIM,
            of.consumer,
            of.topic,
            replica,
            [lease.partition for lease in wanted],
            [lease.epoch for lease in wanted],
            lease_s,
        )
        return [Lease(**row) for row in rows]

    async def release(
        self, connection: Connection, of: Subscription, replica: UUID, partitions: Sequence[int] | None
    ) -> None:
        """Give up partitions."""
        given_up = list(partitions) if partitions is not None else None
        await connection.execute(RELEASE, of.consumer, of.topic, replica, given_up)

    async def lock(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], idle_timeout_s: float
    ) -> Sequence[Row]:
        """Lock partitions."""
        return await connection.fetch(LOCK, of.consumer, of.topic, list(partitions), str(int(idle_timeout_s * 1000)))

    async def streams(self, connection: Connection, consumer: str, streams: Sequence[UUID]) -> Sequence[Row]:
        """How streams stand."""
        return await connection.fetch(STREAMS, consumer, list(streams), list(BLOCKING))

    async def held(
        self, connection: Connection, consumer: str, streams: Sequence[UUID], versions: Sequence[int]
    ) -> Sequence[Row]:
        """What is parked of these versions."""
        return await connection.fetch(HELD, consumer, list(streams), list(versions))

    async def waiting(
        self, connection: Connection, consumer: str, stream: UUID, after: int, most: int
    ) -> Sequence[Row]:
        """What is parked of a stream."""
        return await connection.fetch(WAITING, consumer, stream, after, most)

    async def save(
        self,
        connection: Connection,
        of: Subscription,
        begun: Sequence[tuple[UUID, Guard]],
        continued: Sequence[tuple[UUID, Guard, Guard]],
        positions: Mapping[int, int],
        lease_s: float,
    ) -> tuple[int, int]:
        """Write guards and offsets."""
        saved = await connection.fetchrow(
            SAVE,
            of.consumer,
            of.topic,
            [stream for stream, _ in begun],
            [after.version for _, after in begun],
            [after.hash for _, after in begun],
            [stream for stream, _, _ in continued],
            [before.version for _, before, _ in continued],
            [after.version for _, _, after in continued],
            [after.hash for _, _, after in continued],
            list(positions),
            list(positions.values()),
            lease_s,
        )
        assert saved is not None, "a count is always a row"
        return saved["guards"], saved["read"]

    async def park(self, connection: Connection, of: Subscription, parkings: Sequence[Parking]) -> None:
        """Park records."""
        arrivals = [each.arrival for each in parkings]
        await connection.execute(
            PARK,
            of.consumer,
            of.topic,
            [arrival.partition for arrival in arrivals],
            [arrival.offset for arrival in arrivals],
            [arrival.stream for arrival in arrivals],
            [arrival.envelope.version if arrival.envelope else None for arrival in arrivals],
            [each.kind.value for each in parkings],
            [_text(each.reason) for each in parkings],
            [arrival.key for arrival in arrivals],
            [arrival.value for arrival in arrivals],
        )

    async def keep(self, connection: Connection, kept: Sequence[Parking]) -> None:
        """Leave records parked."""
        await connection.execute(
            KEEP,
            [each.arrival.parked for each in kept],
            [each.kind.value for each in kept],
            [_text(each.reason) for each in kept],
        )

    async def forget(self, connection: Connection, records: Sequence[int]) -> None:
        """Park these no longer."""
        await connection.execute(FORGET, list(records))

    async def set_aside(self, connection: Connection, consumer: str, stream: UUID, version: int) -> None:
        """Set aside what blocks a stream."""
        await connection.execute(SET_ASIDE, consumer, stream, version, list(BLOCKING))

    async def due(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], besides: Sequence[UUID], most: int
    ) -> Sequence[Row]:
        """What may go on."""
        return await connection.fetch(DUE, of.consumer, of.topic, list(partitions), list(besides), list(BLOCKING), most)

    async def count_parked(self, connection: Connection, consumer: str) -> dict[str, int]:
        """How many records are parked."""
        rows = await connection.fetch(COUNT_PARKED, consumer)
        return {row["kind"]: row["records"] for row in rows}


POSTGRES: Final = PostgresConsumer()


def _text(reason: str) -> str:
    """A reason as PostgreSQL takes it, for it may quote what a stranger sent."""
    return reason.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")[:2000]

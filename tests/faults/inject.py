"""Records that no relay sends: the mint's own coins, and everything on a topic that should not be there."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tests.faults.history import History, Injected, now
from tests.faults.mint import CoinMinted
from tests.faults.services import Names
from tests.faults.worker import Kind

from govevents.catalogue import topic_of
from govevents.document import Document, Origin, encode, hash_of
from govkernel.kafka.address import partition_of
from govkernel.postgres import UNAVAILABLE

PARTITIONS: Final = 12
OVERSIZE_BYTES: Final = 600_000

CARRIED: Final = """
SELECT stream, document FROM events JOIN (
  SELECT stream, max(version) AS version FROM consumer_guards WHERE consumer LIKE $1 GROUP BY stream) AS guard
USING (stream) WHERE events.version <= guard.version ORDER BY random() LIMIT $2"""


@dataclass(slots=True)
class Injector:
    """Sends what the mint sends, and what nobody should."""

    history: History
    kafka: str
    names: Names
    databases: Mapping[Kind, str]
    random: Random
    _streams: dict[UUID, Document | None] = field(default_factory=dict)
    _serial: int = 0
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def feed(self, stop: asyncio.Event) -> None:
        """Mint a coin now and then, until told to stop."""
        while not stop.is_set():
            async with self._sending:
                await self._send(self.names.mint, "coin", [self._coin(self._stream())])
            await asyncio.sleep(self.random.uniform(0.1, 0.5))

    async def inject(self, onto: str, amount: float) -> str:
        """Put something onto a topic; what it was. `amount` in [0, 1) chooses."""
        if onto == "mint":
            kinds: Sequence[Callable[[], Any]] = (
                self._repeat_coin,
                self._reordered_coins,
                self._gap,
                self._poison,
                self._poison_without_stream,
                self._worthless,
                self._misshapen,
                self._fork,
                self._unheard_of,
                self._oversize,
                self._of_another,
            )
            async with self._sending:
                chosen = kinds[int(amount * len(kinds))]
                await chosen()
                return str(chosen.__name__).strip("_").replace("_", " ")
        service = self.names.jars if onto == "jars" else self.names.tallies
        kind: Kind = "jars" if onto == "jars" else "tallies"
        match int(amount * 4):
            case 0:
                await self._send(service, "poison", [(str(uuid4()).encode(), b'{"not": "an event"}')])
                return "poison"
            case 1:
                await self._send(service, "poison without stream", [(b"nobody", b"\xff\x00")])
                return "poison without stream"
            case 2:
                await self._send(service, "oversize", [(str(uuid4()).encode(), b"x" * OVERSIZE_BYTES)])
                return "oversize"
            case _:
                return await self._repeats(service, kind)

    async def _repeats(self, service: str, kind: Kind) -> str:
        """Send again, in any order, what consumers have read before."""
        board = "jar_board/%" if kind == "jars" else "tally_board/%"
        try:
            connection = await asyncpg.connect(self.databases[kind], timeout=5)
            try:
                rows = await connection.fetch(CARRIED, board, 30, timeout=5)
            finally:
                await connection.close(timeout=5)
        except (*UNAVAILABLE, asyncpg.PostgresError):
            return "nothing, the database being away"
        await self._send(service, "repeats", [(str(row["stream"]).encode(), row["document"]) for row in rows])
        return "repeats"

    def _stream(self) -> UUID:
        if len(self._streams) < 6 or self.random.random() < 0.03:
            self._streams[uuid4()] = None
        return self.random.choice(list(self._streams)[-6:])

    def _made(self, stream: UUID, event: object, version: int, previous: bytes | None, service: str) -> Document:
        moment = datetime.now(UTC)
        return encode(
            event,
            service=service,
            aggregate="coin",
            stream=stream,
            version=version,
            previous_hash=previous,
            time=moment,
            recorded_at=moment,
            actor=f"service:{service}",
            command=uuid4(),
            correlation="mint",
            causation=None,
            origin=Origin.LIVE,
        )

    def _next(self, stream: UUID, worth: int | None = None) -> Document:
        """The next coin of a stream, which is from now on its last."""
        last = self._streams[stream]
        self._serial += 1
        coin = CoinMinted(f"coin-{self._serial}", self.random.randint(1, 9) if worth is None else worth)
        version = last.version + 1 if last else 1
        made = self._made(stream, coin, version, last.hash if last else None, self.names.mint)
        self._streams[stream] = made
        return made

    def _coin(self, stream: UUID) -> tuple[bytes, bytes]:
        return str(stream).encode(), self._next(stream).body

    async def _repeat_coin(self) -> None:
        stream = self._stream()
        coin = self._coin(stream)
        await self._send(self.names.mint, "repeat", [coin, coin, self._coin(stream), coin])

    async def _reordered_coins(self) -> None:
        stream = self._stream()
        coins = [self._coin(stream) for _ in range(4)]
        self.random.shuffle(coins)
        await self._send(self.names.mint, "reordered", coins)

    async def _gap(self) -> None:
        stream = self._stream()
        await self._send(self.names.mint, "coin", [self._coin(stream)])
        self._coin(stream)
        await self._send(self.names.mint, "gap", [self._coin(stream)])

    async def _poison(self) -> None:
        stream = self._stream()
        key = str(stream).encode()
        await self._send(self.names.mint, "poison", [self._coin(stream), (key, b"poison"), self._coin(stream)])

    async def _poison_without_stream(self) -> None:
        await self._send(self.names.mint, "poison without stream", [(b"", b"poison"), (b"\xff", b"poison")])

    async def _worthless(self) -> None:
        stream = self._stream()
        worthless = (str(stream).encode(), self._next(stream, worth=-1).body)
        await self._send(self.names.mint, "worthless", [worthless, self._coin(stream)])

    async def _misshapen(self) -> None:
        """A document of a known type whose data are another's."""
        stream = self._stream()
        made = self._next(stream)
        body = made.body.replace(b'"worth":', b'"value":')
        await self._send(self.names.mint, "misshapen", [(str(stream).encode(), body)])
        self._streams[stream] = Document(
            made.stream, made.version, made.type, made.time, made.recorded_at, body, hash_of(body)
        )

    async def _fork(self) -> None:
        stream = self._stream()
        last = self._streams[stream]
        coin = self._coin(stream)
        again = self._made(
            stream,
            CoinMinted("forged", 1),
            last.version + 1 if last else 1,
            last.hash if last else None,
            self.names.mint,
        )
        await self._send(self.names.mint, "fork", [coin, (str(stream).encode(), again.body), self._coin(stream)])

    async def _unheard_of(self) -> None:
        """A type that nobody here has heard of: readers pass over it."""
        stream = self._stream()
        made = self._next(stream)
        body = made.body.replace(b"mint.CoinMinted", b"mint.CoinMelted")
        self._streams[stream] = Document(
            made.stream, made.version, made.type, made.time, made.recorded_at, body, hash_of(body)
        )
        await self._send(self.names.mint, "unheard of", [(str(stream).encode(), body), self._coin(stream)])

    async def _oversize(self) -> None:
        await self._send(self.names.mint, "oversize", [(str(uuid4()).encode(), b"x" * OVERSIZE_BYTES)])

    async def _of_another(self) -> None:
        stream = uuid4()
        made = self._made(stream, CoinMinted("foreign", 1), 1, None, "elsewhere")
        await self._send(self.names.mint, "of another service", [(str(stream).encode(), made.body)])

    async def _send(self, service: str, kind: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Send records one after the other, again and again until each is acknowledged."""
        waiting = list(records)
        while waiting:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.kafka, enable_idempotence=True, acks="all", request_timeout_ms=5000
            )
            try:
                async with asyncio.timeout(10):
                    await producer.start()
                    while waiting:
                        key, value = waiting[0]
                        partition = _partition_of(key)
                        # Told before it is sent: what was not acknowledged may lie there as well.
                        self.history.add(Injected(now(), service, kind, key, hash_of(value).hex()))
                        await (await producer.send(topic_of(service), value, key, partition))
                        del waiting[0]
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.5)
            finally:
                await _given_up(producer)


def _partition_of(key: bytes) -> int:
    try:
        return partition_of(UUID(key.decode()), PARTITIONS)
    except ValueError:
        return 0


async def _given_up(producer: AIOKafkaProducer) -> None:
    """Stop a producer that would wait for a broker that is away."""
    try:
        async with asyncio.timeout(2):
            await producer.stop()
    except (TimeoutError, KafkaError, OSError):
        await producer.client.close()

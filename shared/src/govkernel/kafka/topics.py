"""What a topic is: its identity, and how many partitions it has."""

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from govkernel.kafka.address import KafkaAddress
from govkernel.kafka.errors import KafkaUnavailable, TopicMissing

NEW_TOPIC_KNOWN_AFTER_S: Final = 2.0
"""How long a broker may take to hear of a topic that was just created."""


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """Which topic it is: one that was deleted and made anew has the same name and another id."""

    cluster_id: str
    topic_id: str


class _Uuid:
    """Sixteen bytes, which aiokafka's protocol types do not have."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(16)


class _DescribeTopicResponse(Response):  # type: ignore[misc]  # aiokafka is read without its types
    """Kafka's Metadata response, version 12; aiokafka's own versions end before topics had ids (KIP-516)."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync_replicas", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeTopicStruct(RequestStruct):  # type: ignore[misc]
    """Kafka's Metadata request, version 12."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _DescribeTopicResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _DescribeTopic(Request[_DescribeTopicStruct]):  # type: ignore[misc]
    """Asks for one topic by its name, and never creates it."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_DescribeTopicStruct]) -> _DescribeTopicStruct:
        return request_struct_class([(bytes(16), self._topic, {})], False, False, {})


class KafkaTopics:
    """Says which topics they are. It connects when it is first asked, and anew after any failure.

    librdkafka could say it, too, but ends the whole process where Kafka dies or stands still meanwhile.
    """

    def __init__(self, address: KafkaAddress, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def identity(self, topic: str) -> TopicIdentity:
        """The identity of a topic. Raises TopicMissing, KafkaUnavailable."""
        client = None
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._connected()
                node = client.get_random_node()
                if node is None:
                    raise NodeNotReadyError("no broker has joined the cluster yet")
                answer = await client.send(node, _DescribeTopic(topic))
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up(client)
            raise KafkaUnavailable(f"{topic}: Kafka is away: {error!r}") from error
        (described,) = answer.topics
        code, _, topic_id, *_ = described
        if code == UnknownTopicOrPartitionError.errno:
            raise TopicMissing(f"{topic}: there is no such topic; create it first")
        if code:
            raise KafkaUnavailable(f"{topic}: Kafka does not say which it is: {for_code(code)!r}")
        return TopicIdentity(answer.cluster_id, urlsafe_b64encode(topic_id).rstrip(b"=").decode())

    async def close(self) -> None:
        """Disconnect."""
        await self._give_up(self._client)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(**self._address.for_aiokafka(), request_timeout_ms=int(self._timeout_s * 1000))
                try:
                    await client.bootstrap()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    async def _give_up(self, client: Any) -> None:
        if client is not None and client is self._client:
            self._client = None
            await client.close()


async def count_partitions(client: Any, topic: str) -> int:
    """How many partitions a topic has. Raises TopicMissing, and what the driver raises."""
    # By the metadata of all topics: asked for one that is missing, aiokafka keeps on asking, and logs each answer.
    deadline = asyncio.get_running_loop().time() + NEW_TOPIC_KNOWN_AFTER_S
    while True:
        known = (await client.fetch_all_metadata()).partitions_for_topic(topic)
        if known:
            return len(known)
        if asyncio.get_running_loop().time() > deadline:
            raise TopicMissing(f"{topic}: there is no such topic; create it first")
        await asyncio.sleep(0.1)

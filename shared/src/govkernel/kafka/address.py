"""Where Kafka is, as whom to speak to it, and which partition carries a stream."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from aiokafka.partitioner import murmur2


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Where Kafka is, and as whom to speak to it. `security_protocol` and `sasl_mechanism` are named as Kafka does."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def for_aiokafka(self) -> dict[str, Any]:
        """The address as aiokafka's keyword arguments."""
        settings: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            settings["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.sasl_mechanism is not None:
            settings["sasl_mechanism"] = self.sasl_mechanism
            settings["sasl_plain_username"] = self.username
            settings["sasl_plain_password"] = self.password
        return settings

    def for_librdkafka(self) -> dict[str, Any]:
        """The address as librdkafka's settings."""
        settings = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "ssl.ca.location": self.ca_file,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }
        return {name: value for name, value in settings.items() if value is not None}


@lru_cache(maxsize=65_536)
def _hash_of_key(stream: UUID) -> int:
    hashed: int = murmur2(str(stream).encode())
    return hashed & 0x7FFFFFFF


def partition_of(stream: UUID, partitions: int) -> int:
    """The partition that carries a stream, the same as Java's default partitioner finds for its id as text."""
    return _hash_of_key(stream) % partitions

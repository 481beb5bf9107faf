"""Topics for tests, made and deleted as an administrator does."""

import time
from functools import cache
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gov.runtime.system import create_missing

TIMEOUT_S: Final = 30


@cache
def _administrator(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


def create_topic(kafka: str, name: str, *, partitions: int = 12, compacted: bool = False) -> None:
    """Create a topic unless it is there; the broker knows it when this returns."""
    admin = _administrator(kafka)
    settings = {"cleanup.policy": "compact" if compacted else "delete", "retention.ms": "-1"}
    create_missing(admin, [NewTopic(name, partitions, 1, config=settings)])
    deadline = time.monotonic() + TIMEOUT_S
    # The controller has answered; the broker hears of the topic a little later.
    while len(admin.list_topics(name, timeout=TIMEOUT_S).topics[name].partitions) < partitions:
        assert time.monotonic() < deadline, f"{name}: was created, but the broker has not heard of it"
        time.sleep(0.01)


def delete_topics(kafka: str, *names: str) -> None:
    """Delete topics; brokers may hear of it a little later."""
    if names:
        for deleted in _administrator(kafka).delete_topics(list(names), operation_timeout=TIMEOUT_S).values():
            deleted.result(TIMEOUT_S)

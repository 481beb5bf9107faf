"""What operators did to a service itself. Every service may record these in its own ledger."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from govevents.event import event
from govevents.values import Code, Sha256, Text


@event("operations", version=2)
class RecordSkipped:
    """An operator has told a consumer to go on without a record that it could not apply.

    Its place says which one it is while the topic has this id. In a topic that was made anew another record may lie
    there, and it is known by the hash of its bytes. Version 1 had neither id nor hash.
    """

    consumer: Code
    topic: Code
    topic_id: Code | None
    partition: int
    offset: int
    hash: Sha256 | None
    reason: Text


@event("operations", version=1)
class DatabaseVouchedFor:
    """An operator has vouched, without Kafka to compare with, that a ledger lost nothing when its database started."""

    system_identifier: Code
    started_at: datetime
    reason: Text


@event("operations", version=1)
class LedgerRepublished:
    """An operator has let the relay send every event of a ledger once more; readers drop what they have already."""

    reason: Text


@event("operations", version=1)
class LedgerRecovered:
    """An operator has closed a ledger until what it lacks, and Kafka holds, was brought back."""

    reason: Text


@event("operations", version=1)
class TopicReread:
    """An operator has let a service's consumers read a topic from its beginning; they drop what they have applied."""

    topic: Code
    reason: Text


@event("operations", version=1)
class ReadModelRolledBack:
    """An operator has let readers see the previous build of a read model again."""

    read_model: Code
    from_build: int
    to_build: int
    reason: Text


def _without_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "topic_id": None, "hash": None}


UPCASTERS: Final = {("operations.RecordSkipped", 1): _without_identity}

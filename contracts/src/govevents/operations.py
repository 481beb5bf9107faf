"""What operators did to a service itself. Every service may record these in its own ledger."""

from datetime import datetime

from govevents.event import event
from govevents.values import Code, Text


@event("operations", version=1)
class RecordSkipped:
    """An operator has told a consumer to go on without a record that it could not apply."""

    consumer: Code
    topic: Code
    partition: int
    offset: int
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
class ReadModelRolledBack:
    """An operator has let readers see the previous build of a read model again."""

    read_model: Code
    from_build: int
    to_build: int
    reason: Text

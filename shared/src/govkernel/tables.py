"""The kernel's tables, the same in every service's database. Defined once; the kernel's migrations create them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import UserDefinedType

metadata = MetaData()
Moment = DateTime(timezone=True)


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """The type's name in SQL."""
        return "xid8"


events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Uuid, nullable=False),
    Column("version", Integer, CheckConstraint("version > 0", name="events_version_from_one"), nullable=False),
    Column("type", Text, nullable=False),
    Column("time", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column(
        "document",
        LargeBinary,
        CheckConstraint("octet_length(document) <= 262144", name="events_document_bounded"),
        nullable=False,
    ),
    Column("hash", LargeBinary, nullable=False),
    Column("txid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    UniqueConstraint("stream", "version", name="events_stream_version"),
    Index("events_txid_seq", "txid", "seq"),
    comment="The ledger and the outbox: one row an event, inserted once, never changed.",
)

commands = Table(
    "commands",
    metadata,
    Column("command", Uuid, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("stream", Uuid),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("status", SmallInteger, nullable=False),
    Column("refusal", JSONB),
    Column("recorded_at", Moment, nullable=False),
    comment="Every keyed command that was answered, and how; events appended are (from_version, to_version].",
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("stream", Uuid, primary_key=True),
    Column("fold", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("time", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    comment="Folded states of long streams, each with its event and its code; any may be deleted at any time.",
)

timers = Table(
    "timers",
    metadata,
    Column("timer", Uuid, primary_key=True),
    Column("aggregate", Text, nullable=False),
    Column("stream", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("due", Moment, nullable=False),
    Column("cause", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Index("timers_due", "due"),
    comment="Deadlines that events have set; a row is gone once its command is answered.",
)

stream_links = Table(
    "stream_links",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("target", Uuid, primary_key=True),
    Column("stream", Uuid, primary_key=True),
    Index("stream_links_stream", "stream"),
    comment="By what a stream can be found, as its newest state says; written with the append.",
)

relay_checkpoint = Table(
    "relay_checkpoint",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="relay_checkpoint_one_row"), primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("holder", Uuid),
    Column("lease_until", Moment),
    Column("low_txid", Xid8, nullable=False, server_default="3"),
    Column("tail_seq", ARRAY(BigInteger), nullable=False, server_default="{}"),
    Column("tail_txid", ARRAY(Text), nullable=False, server_default="{}"),
    Column("acknowledged", JSONB, nullable=False, server_default="{}"),
    Column("cluster_id", Text),
    Column("topic_id", Text),
    Column("system_identifier", Text),
    Column("started_at", Moment),
    Column("events_file", Text),
    Column("watermark", Moment),
    Column("verified_at", Moment),
    Column("brought_back", BigInteger),
    Column("alarm", Text),
    Column("trouble", Text),
    comment="How far the relay has carried the ledger to Kafka, and which database it has verified.",
)

consumer_partitions = Table(
    "consumer_partitions",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("holder", Uuid),
    Column("lease_until", Moment),
    Column("cluster_id", Text),
    Column("topic_id", Text),
    comment="Who reads a partition for a consumer, and from where; the fence of every effect.",
)

consumer_guards = Table(
    "consumer_guards",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("stream", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    comment="The last version of each stream that a consumer has applied, or passed over as not its own.",
)

parked = Table(
    "parked",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("stream", Uuid),
    Column("version", Integer),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("record_key", LargeBinary),
    Column("record_value", LargeBinary),
    Column("parked_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False, server_default="1"),
    UniqueConstraint("consumer", "topic", "partition", "record_offset", name="parked_record"),
    Index("parked_stream", "consumer", "stream", "version"),
    comment="Records that a consumer could not apply yet, and everything later of their streams.",
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("service", Text, primary_key=True),
    Column("recorded_until", Moment, nullable=False),
    comment="The recorded time before which each service has sent everything.",
)

read_model_builds = Table(
    "read_model_builds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("build", Integer, primary_key=True),
    Column("schema", Text, nullable=False),
    Column("fold_version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("progress", JSONB, nullable=False, server_default="{}"),
    Column("changes", BigInteger, nullable=False, server_default="0"),
    comment="Every build of a read model: building, live, previous, failed or dropped.",
)

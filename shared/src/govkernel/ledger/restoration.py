"""What belongs to documents that came back from Kafka: the timers they set, and by what their streams can be found."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from govevents.document import Document, read_envelope
from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import timer_id
from govkernel.ledger.ledger import Ledger
from govkernel.postgres import Connection

INSERT_TIMERS: Final = """
INSERT INTO timers (timer, aggregate, stream, name, due, cause, correlation, origin)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                     $8::text[])
ON CONFLICT DO NOTHING"""

FORGET_ANSWERED: Final = "DELETE FROM timers WHERE timer = ANY($1::uuid[]) AND timer IN (SELECT command FROM commands)"

REPLACE_LINKS: Final = """
WITH gone AS (
  DELETE FROM stream_links WHERE stream = $3
  AND (kind, target) NOT IN (SELECT * FROM unnest($1::text[], $2::uuid[])))
INSERT INTO stream_links (kind, target, stream) SELECT kind, target, $3
FROM unnest($1::text[], $2::uuid[]) AS link (kind, target) ON CONFLICT DO NOTHING"""


class Restoration:
    """Restores timers and links within the transaction that puts documents back into the ledger."""

    def __init__(self, ledger: Ledger, aggregates: Iterable[Aggregate[Any, Any, Any]]) -> None:
        self._ledger = ledger
        self._aggregates = {aggregate.name: aggregate for aggregate in aggregates}

    async def __call__(self, connection: Connection, documents: Sequence[Document]) -> None:
        """Restore what belongs to these documents, which the ledger holds again."""
        found = {}
        timers: list[tuple[Any, ...]] = []
        for document in documents:
            envelope = read_envelope(document.body)
            aggregate = self._aggregates.get(envelope.subject.partition("/")[0])
            if aggregate is None:
                continue
            found[document.stream] = aggregate
            event = self._ledger.catalogue.decode(document.body).event
            timers.extend(
                (
                    timer_id(envelope.id, deadline.name),
                    aggregate.name,
                    document.stream,
                    deadline.name,
                    deadline.due,
                    envelope.id,
                    envelope.correlationid,
                    envelope.origin.value,
                )
                for deadline in aggregate.deadlines(event)
            )
        if timers:
            await connection.execute(INSERT_TIMERS, *[list(column) for column in zip(*timers, strict=True)])
            await connection.execute(FORGET_ANSWERED, [timer[0] for timer in timers])
        for stream, aggregate in sorted(found.items(), key=lambda each: each[0]):
            loaded = await self._ledger.load(aggregate, stream, connection=connection)
            links = sorted(aggregate.links(loaded.state), key=lambda link: (link.kind, link.target))
            await connection.execute(
                REPLACE_LINKS, [link.kind for link in links], [link.target for link in links], stream
            )

"""gov events: what is in the log, as it was recorded."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
import typer

from gov.cli import options
from gov.cli.output import Exit, Output, as_json
from gov.cli.session import client_of, wait_for
from gov.client import NotRunning, Refused, Unavailable, find_addresses
from gov.client.addresses import SERVICES
from govevents.catalogue import topic_of
from govevents.document import DocumentRefused, Envelope, canonical, hash_of, read_envelope

if TYPE_CHECKING:
    from govkernel.kafka import Extent, TopicLog

app = typer.Typer(no_args_is_help=True, help="What is in the log, as it was recorded.")

SHOWN: Final = 160
"""How many characters of an event's data people see; programs get all of it."""


@app.command()
def tail(
    *,
    service: Annotated[str | None, typer.Option("--service", help="Only of this service.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives, until Ctrl-C.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", help="How many to begin with.", min=0, max=10_000)] = 20,
    json: options.Json = False,
) -> None:
    """Show the newest events as Kafka carries them.

    With --json the documents themselves: one JSON array, or with --follow one document a line.
    """
    if service is not None and service not in SERVICES:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(SERVICES)}", param_hint="--service")
    # Only here: Kafka's client takes longer to load than most commands to run.
    from govkernel.kafka import KafkaAddress, KafkaUnavailable, TopicLog, TopicMissing

    bootstrap = find_addresses().kafka
    if bootstrap is None:
        raise NotRunning("Kafka", "GOV_KAFKA_BOOTSTRAP_SERVERS")
    topics = [topic_of(each) for each in ([service] if service else SERVICES)]
    try:
        wait_for(_tail(Output(json=json), TopicLog(KafkaAddress(bootstrap)), topics, last, follow=follow))
    except* (KafkaUnavailable, TopicMissing) as away:
        raise Unavailable("Kafka", str(away.exceptions[0])) from None


@app.command()
def show(
    stream: Annotated[UUID, typer.Argument(help="The stream's id, for example a project's.")],
    *,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show every event of a stream, from its service's ledger.

    Each must chain to the one before.

    Exit code 1 where the chain is broken, or no service has the stream.
    """
    output = Output(json=json)

    async def ask() -> tuple[str, list[Any]] | None:
        async with client_of(output, as_) as client:
            for service in SERVICES:
                try:
                    return service, [item async for item in client.items(service, f"/operations/events/{stream}")]
                except Refused as refused:
                    if not refused.problem.not_found:
                        raise
        return None

    found = wait_for(ask())
    if found is None:
        output.document({"stream": str(stream), "service": None, "events": [], "broken_at": None})
        output.aside(f"No service has a stream {stream}; check the id.", "red")
        raise typer.Exit(Exit.PROBLEMS)
    service, events = found
    broken = broken_link(events)
    output.document({"stream": str(stream), "service": service, "events": events, "broken_at": broken})
    output.table(
        f"{stream} of {service}",
        ("version", "type", "known", "recorded", "actor", "origin", "data"),
        (
            (
                each["version"],
                each["type"],
                each["time"],
                each["recordedtime"],
                each["actor"],
                each["origin"],
                _shortened(each["data"]),
            )
            for each in events
        ),
    )
    if broken is not None:
        output.line(f"Version {broken} does not chain to the document before it.", "red")
        raise typer.Exit(Exit.PROBLEMS)


def broken_link(events: list[Any]) -> int | None:
    """The first version that does not follow the document before it by number and hash, or None."""
    before: bytes | None = None
    for number, event in enumerate(events, start=1):
        if event["version"] != number or event.get("prevhash") != (before.hex() if before else None):
            return int(event["version"])
        before = hash_of(canonical(event))
    return None


async def _tail(output: Output, log: "TopicLog", topics: list[str], last: int, *, follow: bool) -> None:
    extents = dict(zip(topics, await asyncio.gather(*map(log.extent, topics)), strict=True))
    newest: deque[tuple[Envelope | None, bytes]] = deque(
        sorted(
            [
                each
                for found in await asyncio.gather(*(_newest(log, *item, last) for item in extents.items()))
                for each in found
            ],
            key=lambda pair: pair[0].recordedtime.timestamp() if pair[0] else 0.0,
        ),
        maxlen=last,
    )
    if output.json and not follow:
        print("[" + ",\n".join(_line(*each) for each in newest) + "]")
        return
    for envelope, value in newest:
        _show_record(output, envelope, value)
    if follow:
        async with asyncio.TaskGroup() as group:
            for topic, extent in extents.items():
                group.create_task(_follow(output, log, topic, extent.ends))


async def _newest(log: "TopicLog", topic: str, extent: "Extent", last: int) -> list[tuple[Envelope | None, bytes]]:
    start = {each: max(extent.beginnings[each], end - last) for each, end in extent.ends.items()}
    return [pair async for pair in _records(log, topic, start, extent.ends)]


async def _follow(output: Output, log: "TopicLog", topic: str, start: Mapping[int, int]) -> None:
    async for envelope, value in _records(log, topic, start, None):
        _show_record(output, envelope, value)


async def _records(
    log: "TopicLog", topic: str, start: Mapping[int, int], end: Mapping[int, int] | None
) -> AsyncIterator[tuple[Envelope | None, bytes]]:
    async for fetched in log.read(topic, start, end):
        for record in fetched.records:
            try:
                yield read_envelope(record.value or b""), record.value or b""
            except DocumentRefused:
                yield None, record.value or b""


def _show_record(output: Output, envelope: Envelope | None, value: bytes) -> None:
    if output.json:
        print(_line(envelope, value), flush=True)
    elif envelope is None:
        output.line(f"not a document of Gatehouse: {value[:80]!r}", "red")
    else:
        shown = _shortened(msgspec.json.decode(envelope.data))
        output.line(
            f"{envelope.recordedtime:%Y-%m-%d %H:%M:%S} {envelope.type} {envelope.id} {envelope.origin.value} {shown}"
        )


def _shortened(data: object) -> str:
    text = as_json(data, indent=None)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _line(envelope: Envelope | None, value: bytes) -> str:
    """The document's own text; what is none may be no JSON either, and whoever reads JSON must not stumble over it."""
    if envelope is not None:
        return value.decode()
    return as_json({"not_a_document": value[:200].decode(errors="replace")}, indent=None)

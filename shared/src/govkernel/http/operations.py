"""What operators see and do in every service: parked records, the relay, consumers, read models and their rebuilds."""

import asyncio
import base64
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field
from starlette.responses import Response

from govevents.operations import DatabaseVouchedFor
from govkernel.consumer import NotParked, ParkedRecord, Resolved, Unavailable
from govkernel.domain import Aggregate, ValueRefused
from govkernel.http.api import ServiceApi
from govkernel.http.bodies import Body, NoBody
from govkernel.http.commands import Call
from govkernel.http.problems import UNAVAILABLE_HERE, ProblemType, Refused, not_found
from govkernel.http.queries import Ask, Page, bad_cursor
from govkernel.http.runtime import Operations, Runtime
from govkernel.kafka import KafkaUnavailable
from govkernel.ledger import Conflict, Intent, KeyReused
from govkernel.logging import logger
from govkernel.postgres import Connection
from govkernel.readmodels import BuildStatus, RebuildFailed, RebuildRunning, Rebuilt
from govkernel.relay import vouch

OPERATE: Final = "operate"
"""The action that a service's policy has to allow to its administrators."""

log = logger(__name__)

REBUILD_RUNNING: Final = ProblemType("rebuild-running", 409, "The read model is being rebuilt already.")
REBUILD_FAILED: Final = ProblemType("rebuild-failed", 409, "The rebuild was given up; the live build is as it was.")
BEGUN_AFTER_S: Final = 1.0
"""A rebuild that has not failed by then is told as begun; how it ends is in the builds' progress."""

PARTITIONS: Final = """
SELECT consumer, topic, count(*) AS partitions, sum(next_offset)::bigint AS read,
  count(*) FILTER (WHERE holder IS NOT NULL AND lease_until > clock_timestamp()) AS held,
  count(DISTINCT holder) FILTER (WHERE lease_until > clock_timestamp()) AS replicas
FROM consumer_partitions GROUP BY consumer, topic ORDER BY consumer"""

EVENTS: Final = "SELECT version, document FROM events WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3"

PARKED: Final = "SELECT consumer, kind, count(*) AS records FROM parked GROUP BY consumer, kind"


class ParkedView(BaseModel):
    """A record that a consumer could not apply yet."""

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    stream: UUID | None
    version: int | None
    kind: str
    reason: str
    parked_at: datetime
    tries: int
    key: str | None = Field(default=None, description="the record's key, where it is text")
    value: str | None = Field(default=None, description="the record's value, where it is text")
    value_base64: str | None = Field(default=None, description="the record's value, where it is not")


class ResolvedView(BaseModel):
    """What came of it: how many parked events were applied, and the record where it is still parked."""

    applied: int
    remains: ParkedView | None


class SkipRequest(Body):
    """Go on without a record; the reason is recorded for good."""

    reason: str


class RelayView(BaseModel):
    """How far the ledger has been carried to Kafka."""

    leader: UUID | None
    verified: bool
    lag_rows: int
    oldest: datetime | None
    tail_length: int
    watermark: datetime | None
    alarm: str | None


class VouchRequest(Body):
    """Vouch for the database; the reason is recorded for good."""

    reason: str


class VouchedView(BaseModel):
    """The database that was vouched for: its identity, and since when it has been running."""

    system_identifier: str
    started_at: datetime


class ConsumerView(BaseModel):
    """A consumer: over all replicas, and (lag, alarm, trouble) as this replica sees it where it runs it."""

    consumer: str
    topic: str
    partitions: int
    held: int = Field(description="partitions that a replica reads at the moment")
    replicas: int
    records_read: int
    parked: dict[str, int]
    lag: int | None
    last_applied_at: datetime | None
    alarm: str | None
    trouble: str | None


class ConsumersView(BaseModel):
    """Every consumer of the service."""

    items: list[ConsumerView]


class BuildView(BaseModel):
    """One build of a read model, and how far it is."""

    name: str
    build: int
    fold_version: int
    state: str
    started_at: datetime
    finished_at: datetime | None
    progress: dict[str, Any]


class BuildsView(BaseModel):
    """Builds of read models, the newest of each first."""

    items: list[BuildView]


class RebuildRequest(Body):
    """Build a read model anew; `accept_difference` switches to it although another fold gives other rows."""

    accept_difference: bool = False


class RebuildStarted(BaseModel):
    """A rebuild has begun; `progress` is where to follow it."""

    name: str
    progress: str


def _decide(vouched: DatabaseVouchedFor, known: bool) -> tuple[DatabaseVouchedFor, ...]:
    return () if known else (vouched,)


def _evolve(_known: bool, _event: DatabaseVouchedFor) -> bool:
    return True


VOUCHED_DATABASE: Final[Aggregate[bool, DatabaseVouchedFor, DatabaseVouchedFor]] = Aggregate(
    "vouched_database", False, _decide, _evolve
)


def operations_api(service: str) -> ServiceApi:
    """The operators' part of a service's API."""
    api = ServiceApi(service, title="Operations")
    under_way: set[asyncio.Task[Rebuilt]] = set()

    @api.query("/operations/parked", operation="listParked", response=Page[ParkedView], paged=True)
    async def list_parked(ask: Ask, consumer: str | None = None, stream: UUID | None = None) -> Page[ParkedView]:
        """List the records that consumers could not apply."""
        await ask.require(OPERATE, None)
        after = ask.window.after or (0,)
        if len(after) != 1 or type(after[0]) is not int:
            raise not_found("page", after)
        parked = _operations(ask.runtime).parked()
        records = await parked.list(consumer=consumer, stream=stream, after=after[0], limit=ask.window.limit + 1)
        return ask.page(records, _parked, lambda record: (record.id,))

    @api.query("/operations/parked/{record}", operation="showParked", response=ParkedView)
    async def show_parked(ask: Ask, record: int) -> ParkedView:
        """Show a parked record with its bytes."""
        await ask.require(OPERATE, None)
        try:
            return _parked(await _operations(ask.runtime).parked().show(record))
        except NotParked as error:
            raise not_found("parked record", record) from error

    @api.operate("/operations/parked/{record}/retry", operation="retryParked", action=OPERATE, response=ResolvedView)
    async def retry_parked(call: Call[NoBody]) -> ResolvedView:
        """Try a parked record again, and what follows it in its stream."""
        record = _number(call)
        try:
            return _resolved(await _operations(call.runtime).parked().retry(record))
        except NotParked as error:
            raise not_found("parked record", record) from error
        except Unavailable as error:
            raise Refused(UNAVAILABLE_HERE, str(error), headers={"Retry-After": "1"}) from error

    @api.operate(
        "/operations/parked/{record}/skip",
        operation="skipParked",
        action=OPERATE,
        body=SkipRequest,
        response=ResolvedView,
    )
    async def skip_parked(call: Call[SkipRequest]) -> ResolvedView:
        """Go on without a parked record, for a reason that is recorded."""
        record = _number(call)
        try:
            skipped = await _operations(call.runtime).parked().skip(record, call.body.reason, context=call.context)
        except NotParked as error:
            raise not_found("parked record", record) from error
        except Unavailable as error:
            raise Refused(UNAVAILABLE_HERE, str(error), headers={"Retry-After": "1"}) from error
        return _resolved(skipped)

    @api.query("/operations/events/{stream}", operation="listEvents", response=Page[dict[str, Any]], paged=True)
    async def list_events(ask: Ask, stream: UUID) -> Response:
        """List a stream's documents as they were recorded, byte for byte, oldest first."""
        await ask.require(OPERATE, None)
        after = ask.window.after or (0,)
        if len(after) != 1 or type(after[0]) is not int:
            raise bad_cursor(ask.request.query_params.get("cursor", ""))
        async with ask.runtime.ledger.pool.acquire(timeout=5) as connection:
            rows = await connection.fetch(EVENTS, stream, after[0], ask.window.limit + 1)
        if not rows:
            raise not_found("stream", stream)
        page = ask.page(rows, lambda row: bytes(row["document"]), lambda row: (row["version"],))
        # Whoever checks hashes needs the documents' own bytes, which no encoder gives back for certain.
        body = b'{"items":[' + b",".join(page.items) + b'],"next":' + json.dumps(page.next).encode() + b"}"
        return Response(body, media_type="application/json")

    @api.query("/operations/relay", operation="showRelay", response=RelayView, found=False)
    async def show_relay(ask: Ask) -> RelayView:
        """Show how far the ledger has been carried to Kafka."""
        await ask.require(OPERATE, None)
        status = await _operations(ask.runtime).relay.status()
        return RelayView(
            leader=status.leader,
            verified=status.verified,
            lag_rows=status.lag_rows,
            oldest=status.oldest,
            tail_length=status.tail_length,
            watermark=status.watermark,
            alarm=status.alarm,
        )

    @api.operate(
        "/operations/relay/vouch",
        operation="vouchForDatabase",
        action=OPERATE,
        body=VouchRequest,
        response=VouchedView,
    )
    async def vouch_for_database(call: Call[VouchRequest]) -> VouchedView:
        """Vouch that the database lost nothing when it came back, where Kafka is away and can't tell.

        Commands are taken again from then on; who vouched and why is recorded for good.
        """
        if not call.body.reason.strip():
            raise ValueRefused("reason", call.body.reason, "say how you know that nothing was lost")
        ledger = call.ledger

        async def record(connection: Connection, vouched: DatabaseVouchedFor, _actor: str) -> None:
            stream = uuid5(
                NAMESPACE_URL, f"urn:gatehouse:vouched:{service}:{vouched.system_identifier}:{vouched.started_at}"
            )
            loaded = await ledger.load(VOUCHED_DATABASE, stream, connection=connection)
            item, _ = ledger.prepare(call.context, Intent(VOUCHED_DATABASE, stream, vouched), loaded)
            (outcome,) = await ledger.append(connection, [item])
            if isinstance(outcome, KeyReused):
                raise outcome
            if isinstance(outcome, Conflict):
                raise Refused(UNAVAILABLE_HERE, "somebody else vouches right now", headers={"Retry-After": "1"})

        vouched = await vouch(ledger.pool, reason=call.body.reason, actor=call.context.actor, record=record)
        ledger.wake()
        return VouchedView(system_identifier=vouched.system_identifier, started_at=vouched.started_at)

    @api.query("/operations/consumers", operation="listConsumers", response=ConsumersView, found=False)
    async def list_consumers(ask: Ask) -> ConsumersView:
        """List the service's consumers: what they read, how far they are, what keeps them."""
        await ask.require(OPERATE, None)
        local = {each.handler.name: each.status() for each in _operations(ask.runtime).consumers()}
        async with ask.runtime.ledger.pool.acquire(timeout=5) as connection:
            rows = await connection.fetch(PARTITIONS)
            parked: dict[str, dict[str, int]] = {}
            for row in await connection.fetch(PARKED):
                parked.setdefault(row["consumer"], {})[row["kind"]] = row["records"]
        items = []
        for row in rows:
            status = local.get(row["consumer"])
            items.append(
                ConsumerView(
                    consumer=row["consumer"],
                    topic=row["topic"],
                    partitions=row["partitions"],
                    held=row["held"],
                    replicas=row["replicas"],
                    records_read=row["read"],
                    parked=parked.get(row["consumer"], {}),
                    lag=status.lag if status else None,
                    last_applied_at=status.last_applied_at if status else None,
                    alarm=status.alarm if status else None,
                    trouble=status.trouble if status else None,
                )
            )
        return ConsumersView(items=items)

    @api.query("/operations/read-models", operation="listReadModels", response=BuildsView, found=False)
    async def list_read_models(ask: Ask) -> BuildsView:
        """List the builds of every read model."""
        await ask.require(OPERATE, None)
        return _builds(await _operations(ask.runtime).read_models.builds())

    @api.query("/operations/read-models/{name}", operation="showReadModel", response=BuildsView)
    async def show_read_model(ask: Ask, name: str) -> BuildsView:
        """Show the builds of a read model, and how far a rebuild is."""
        await ask.require(OPERATE, None)
        every = await _operations(ask.runtime).read_models.builds()
        found = _builds(each for each in every if each.name == name)
        if not found.items:
            raise not_found("read model", name)
        return found

    @api.operate(
        "/operations/read-models/{name}/rebuilds",
        operation="rebuildReadModel",
        action=OPERATE,
        body=RebuildRequest,
        response=RebuildStarted,
        status=202,
        texts=("name",),
    )
    async def rebuild_read_model(call: Call[RebuildRequest]) -> RebuildStarted:
        """Build a read model anew beside the live one, compare the two, and switch.

        The answer comes when the rebuild has begun; readers notice nothing of it.
        """
        name = call.path_text("name")
        read_models = _operations(call.runtime).read_models
        if name not in {model.name for model in read_models.models}:
            raise not_found("read model", name)
        rebuilding = asyncio.create_task(
            read_models.rebuild(name, accept_difference=call.body.accept_difference), name=f"rebuild {name}"
        )
        under_way.add(rebuilding)
        rebuilding.add_done_callback(lambda ended: _note(under_way, ended))
        await asyncio.wait([rebuilding], timeout=BEGUN_AFTER_S)
        if rebuilding.done() and (error := rebuilding.exception()) is not None:
            match error:
                case RebuildRunning():
                    raise Refused(REBUILD_RUNNING, str(error)) from error
                case RebuildFailed():
                    raise Refused(REBUILD_FAILED, str(error)) from error
                case KafkaUnavailable():
                    raise Refused(UNAVAILABLE_HERE, str(error), headers={"Retry-After": "5"}) from error
                case _:
                    raise error
        return RebuildStarted(name=name, progress=f"/operations/read-models/{name}")

    return api


def _operations(runtime: Runtime) -> Operations:
    assert runtime.operations is not None, "a service's process wires its operations"
    return runtime.operations


def _number(call: Call[Any]) -> int:
    text = call.path_text("record")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise not_found("parked record", text)
    return int(text)


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _parked(record: ParkedRecord) -> ParkedView:
    value = _text(record.value)
    return ParkedView(
        id=record.id,
        consumer=record.consumer,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        stream=record.stream,
        version=record.version,
        kind=record.kind,
        reason=record.reason,
        parked_at=record.parked_at,
        tries=record.tries,
        key=_text(record.key),
        value=value,
        value_base64=base64.b64encode(record.value).decode() if record.value is not None and value is None else None,
    )


def _resolved(resolved: Resolved) -> ResolvedView:
    return ResolvedView(
        applied=resolved.applied, remains=_parked(resolved.remains) if resolved.remains is not None else None
    )


def _note(under_way: set[asyncio.Task[Rebuilt]], ended: asyncio.Task[Rebuilt]) -> None:
    under_way.discard(ended)
    error = None if ended.cancelled() else ended.exception()
    if error is not None:
        log.error("rebuild_failed", task=ended.get_name(), reason=f"{type(error).__name__}: {error}")


def _builds(statuses: Iterable[BuildStatus]) -> BuildsView:
    return BuildsView(
        items=[
            BuildView(
                name=each.name,
                build=each.build,
                fold_version=each.fold_version,
                state=each.state,
                started_at=each.started_at,
                finished_at=each.finished_at,
                progress=dict(each.progress),
            )
            for each in statuses
        ]
    )

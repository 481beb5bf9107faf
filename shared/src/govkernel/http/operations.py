"""What operators see and do in every service: parked records, the relay, consumers, read models and their rebuilds."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg
from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from govevents.catalogue import topic_of
from govevents.operations import (
    DatabaseVouchedFor,
    LedgerRecovered,
    LedgerRepublished,
    ReadModelRolledBack,
    TopicReread,
)
from govkernel.consumer import NotParked, ParkedRecord, Resolved, Unavailable, read_again
from govkernel.domain import Aggregate, ValueRefused
from govkernel.http.api import Lines, ServiceApi
from govkernel.http.bodies import Body, NoBody
from govkernel.http.commands import Call
from govkernel.http.problems import UNAVAILABLE_HERE, ProblemType, Refused, not_found
from govkernel.http.queries import Ask, Page, bad_cursor
from govkernel.http.runtime import Operations, Runtime
from govkernel.kafka import KafkaUnavailable, OffsetGone, TopicMissing
from govkernel.ledger import Appended, Conflict, Intent, KeyReused
from govkernel.logging import logger
from govkernel.postgres import UNAVAILABLE, Connection
from govkernel.readmodels import (
    Build,
    BuildStatus,
    Compared,
    NeedsNewerReader,
    Progress,
    RebuildFailed,
    RebuildRunning,
)
from govkernel.relay import (
    IN_THE_WAY_OF_RECOVERY,
    DatabaseIdentity,
    Reconciled,
    ReconciliationRunning,
    RelayStatus,
    Stage,
    send_everything_again,
    verify_everything_again,
    vouch,
)

OPERATE: Final = "operate"
"""The action that a service's policy has to allow to its administrators."""

log = logger(__name__)

REBUILD_RUNNING: Final = ProblemType("rebuild-running", 409, "The read model is being rebuilt already.")
REBUILD_FAILED: Final = ProblemType("rebuild-failed", 409, "The rebuild was given up; the live build is as it was.")
LEDGER_CONTRADICTED: Final = ProblemType(
    "ledger-contradicted", 409, "Ledger and topic contradict each other; nothing was changed."
)
VERIFICATION_RUNNING: Final = ProblemType("verification-running", 409, "The ledger is being compared already.")
BEGUN_AFTER_S: Final = 1.0
"""What has not failed by then is told as begun; how a rebuild or rollback ends is in the builds' progress."""
TELL_EVERY_S: Final = 1.0
"""How often an answer in lines says how far it is, so that no one in between takes the connection for dead."""
MOST_FINDINGS: Final = 1000

PARTITIONS: Final = """
SELECT consumer, topic, count(*) AS partitions, sum(next_offset)::bigint AS read,
  count(*) FILTER (WHERE holder IS NOT NULL AND lease_until > clock_timestamp()) AS held,
  count(DISTINCT holder) FILTER (WHERE lease_until > clock_timestamp()) AS replicas
FROM consumer_partitions GROUP BY consumer, topic ORDER BY consumer"""

EVENTS: Final = "SELECT version, document FROM events WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3"

READS: Final = "SELECT EXISTS (SELECT FROM consumer_partitions WHERE topic = $1)"

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
    """How far the ledger has been carried to Kafka, by whom, and what keeps it."""

    leader: UUID | None = Field(description="the replica that leads, while its lease runs")
    epoch: int
    led_until: datetime | None
    verified: bool = Field(description="whether this database, since it started, lacks nothing that Kafka has")
    verified_at: datetime | None
    brought_back: int | None = Field(description="how many events Kafka gave back when it was last verified")
    system_identifier: str | None
    database_started_at: datetime | None = Field(description="the start of the database that was verified last")
    topic: str
    cluster_id: str | None
    topic_id: str | None
    lag_rows: int = Field(description="events that are committed and that Kafka has not acknowledged")
    oldest: datetime | None = Field(description="when the oldest of these was recorded")
    low_txid: int
    tail_length: int
    acknowledged: dict[int, int] = Field(description="the highest acknowledged offset of each partition")
    watermark: datetime | None
    alarm: str | None = Field(description="what needs a person")
    trouble: str | None = Field(description="what is tried again")


class ReasonRequest(Body):
    """What an operator wants, and why; the reason is recorded for good."""

    reason: str


class RereadRequest(ReasonRequest):
    """Read the topic of a service from its beginning; the reason is recorded for good."""

    service: str = Field(description="the service whose topic is meant")


Reasoned = TypeVar("Reasoned", bound=ReasonRequest)


class OrderedView(BaseModel):
    """An operator's order, as it was recorded; `repeated` where it was given before and was not carried out again."""

    event: str = Field(description="<stream>@<version>")
    repeated: bool


class StageView(BaseModel):
    """How far a long answer is."""

    stage: str
    done: int
    total: int | None


class FindingView(BaseModel):
    """One thing that is not as it should be."""

    kind: str
    place: str = Field(description="<stream>@<version>, a command, or a record")
    where: str = Field(description="ledger, commands, or a record as <topic>/<partition>@<offset>")
    what: str


class VerificationView(BaseModel):
    """What was compared, how many things differ by kind, and the first of each kind."""

    events: int
    streams: int
    commands: int
    records: int
    repeats: int
    unsent: int
    counts: dict[str, int]
    findings: list[FindingView]


class VerificationLine(BaseModel):
    """A line of a verification: how far it is, and as the last one what was found, or why it was given up."""

    progress: StageView | None = None
    result: VerificationView | None = None
    failed: str | None = None


class RowDifferenceView(BaseModel):
    """A row that differs, or that one build alone has; by field what the live build has, and what the other has."""

    part: str
    stream: UUID
    key: str
    version: int | None
    fields: dict[str, tuple[Any, Any]]
    only_in: int | None


class DifferenceView(BaseModel):
    """How another build differs from the live one; `moving` streams were at different places and were not compared."""

    name: str
    live: int
    other: int
    live_fold_version: int
    other_fold_version: int
    same: bool
    offsets: dict[int, int]
    streams: int
    moving: int
    differing: dict[str, int]
    columns_added: list[str]
    columns_removed: list[str]
    rows: list[RowDifferenceView]


class DifferenceLine(BaseModel):
    """A line of a comparison: how far it is, and as the last one what differs, or why it was given up."""

    progress: StageView | None = None
    result: DifferenceView | None = None
    failed: str | None = None


class RollbackStarted(BaseModel):
    """The previous build is being brought level and then switched to; `progress` is where to follow it."""

    name: str
    build: int
    progress: str


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


Order = LedgerRepublished | LedgerRecovered | ReadModelRolledBack | TopicReread


def _decide_order(order: Order, known: bool) -> tuple[Order, ...]:
    return () if known else (order,)


def _evolve_order(_known: bool, _order: Order) -> bool:
    return True


ORDER: Final[Aggregate[bool, Order, Order]] = Aggregate("order", False, _decide_order, _evolve_order)
"""What an operator has ordered: each a stream of its own, so that none can meet what a ledger has lost."""


def operations_api(service: str) -> ServiceApi:
    """The operators' part of a service's API."""
    api = ServiceApi(service, title="Operations")
    under_way: set[asyncio.Task[Any]] = set()

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
        relay = _operations(ask.runtime).relay
        return _relay(relay.topic, await relay.status())

    @api.operate(
        "/operations/relay/republications",
        operation="republishLedger",
        action=OPERATE,
        body=ReasonRequest,
        response=OrderedView,
    )
    async def republish_ledger(call: Call[ReasonRequest]) -> OrderedView:
        """Send every event of the ledger once more; readers drop what they have.

        It also lets the relay take a topic that was made anew, or that lost records, for its own.
        """
        order = LedgerRepublished(_reason(call, "say why everything is to be sent once more"))
        return await _ordered(call, order, send_everything_again)

    @api.query(
        "/operations/ledger/verification",
        operation="verifyLedger",
        response=VerificationLine,
        found=False,
        lines=True,
    )
    async def verify_ledger(
        ask: Ask,
        topic_only: bool = False,
        findings: Annotated[int, Query(ge=1, le=MOST_FINDINGS)] = 20,
    ) -> Lines:
        """Compare the ledger with itself, with its commands' answers, and with Kafka, while the service goes on.

        Each line says how far that is; the last one what was found. `findings` bounds what is told of each kind;
        `topic_only` leaves out what does not concern Kafka.
        """
        await ask.require(OPERATE, None)
        reconcile = _operations(ask.runtime).reconcile

        async def work(show: Callable[[StageView], None]) -> VerificationLine:
            def tell(stage: Stage) -> None:
                show(StageView(stage=stage.name, done=stage.done, total=stage.total))

            return VerificationLine(result=_reconciled(await reconcile(tell, topic_only, findings)))

        return await _in_lines(under_way, work, lambda shown: VerificationLine(progress=shown), VerificationLine)

    @api.operate(
        "/operations/ledger/recoveries",
        operation="recoverLedger",
        action=OPERATE,
        body=ReasonRequest,
        response=OrderedView,
        status=202,
    )
    async def recover_ledger(call: Call[ReasonRequest]) -> OrderedView:
        """Close the ledger until the relay has brought back what it lacks and the topic holds.

        Commands are answered 503 meanwhile. The two are compared first: where they contradict each other, or both lack
        what came before, nothing could be brought back, so nothing is changed.
        """
        order = LedgerRecovered(_reason(call, "say why the ledger may lack something"))
        if await call.ledger.answered(call.context) is None:
            await _look_first(_operations(call.runtime))
        return await _ordered(call, order, verify_everything_again)

    @api.operate(
        "/operations/relay/vouch",
        operation="vouchForDatabase",
        action=OPERATE,
        body=ReasonRequest,
        response=VouchedView,
    )
    async def vouch_for_database(call: Call[ReasonRequest]) -> VouchedView:
        """Vouch that the database lost nothing when it came back, where Kafka is away and can't tell.

        Commands are taken again from then on; who vouched and why is recorded for good.
        """
        reason = _reason(call, "say how you know that nothing was lost")
        ledger = call.ledger

        async def record(
            connection: Connection, vouched: DatabaseVouchedFor, identity: DatabaseIdentity, _actor: str
        ) -> None:
            which = f"{identity.system_identifier}:{identity.started_at}:{identity.events_file}"
            stream = uuid5(NAMESPACE_URL, f"urn:gatehouse:vouched:{service}:{which}")
            loaded = await ledger.load(VOUCHED_DATABASE, stream, connection=connection)
            item, _ = ledger.prepare(call.context, Intent(VOUCHED_DATABASE, stream, vouched), loaded)
            (outcome,) = await ledger.append(connection, [item])
            if isinstance(outcome, KeyReused):
                raise outcome
            if isinstance(outcome, Conflict):
                raise Refused(UNAVAILABLE_HERE, "somebody else vouches right now", headers={"Retry-After": "1"})

        vouched = await vouch(ledger.pool, reason=reason, actor=call.context.actor, record=record)
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

    @api.operate(
        "/operations/consumers/rereads",
        operation="rereadTopic",
        action=OPERATE,
        body=RereadRequest,
        response=OrderedView,
    )
    async def reread_topic(call: Call[RereadRequest]) -> OrderedView:
        """Let the service's consumers read a topic from its beginning: one that was made anew, or lost what was unread.

        They drop what they have applied, and meet again what they had parked. Each begins within seconds.
        """
        topic = topic_of(call.body.service)
        order = TopicReread(topic, _reason(call, "say why the topic is to be read again"))
        if await call.ledger.answered(call.context) is None and not await call.ledger.pool.fetchval(READS, topic):
            raise not_found("consumer of", call.body.service)
        return await _ordered(call, order, partial(read_again, topic=topic))

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
        await _begun(under_way, rebuilding)
        return RebuildStarted(name=name, progress=f"/operations/read-models/{name}")

    @api.query(
        "/operations/read-models/{name}/difference",
        operation="compareReadModel",
        response=DifferenceLine,
        lines=True,
    )
    async def compare_read_model(
        ask: Ask,
        name: str,
        with_log: bool = False,
        rows: Annotated[int, Query(ge=1, le=MOST_FINDINGS)] = 20,
    ) -> Lines:
        """Compare the previous build with the live one, or with `with_log` one that is made anew and thrown away then.

        Each line says how far that is; the last one what differs, with the first `rows`.
        """
        await ask.require(OPERATE, None)
        read_models = _operations(ask.runtime).read_models
        if name not in {model.name for model in read_models.models}:
            raise not_found("read model", name)

        async def work(show: Callable[[StageView], None]) -> DifferenceLine:
            def tell(progress: Progress) -> None:
                show(StageView(stage=progress.stage, done=progress.records, total=progress.total))

            compared = await read_models.compare(name, tell, with_log=with_log, most_rows=rows)
            return DifferenceLine(result=_compared(compared))

        return await _in_lines(under_way, work, lambda shown: DifferenceLine(progress=shown), DifferenceLine)

    @api.operate(
        "/operations/read-models/{name}/rollbacks",
        operation="rollBackReadModel",
        action=OPERATE,
        body=ReasonRequest,
        response=RollbackStarted,
        status=202,
        texts=("name",),
    )
    async def roll_back_read_model(call: Call[ReasonRequest]) -> RollbackStarted:
        """Bring the previous build level with the live one, and let readers see it again.

        Who wanted that, and why, is recorded in the transaction that switches. The answer comes when it has begun.
        """
        name = call.path_text("name")
        reason = _reason(call, "say why readers are to see the previous build again")
        read_models = _operations(call.runtime).read_models
        previous = [each for each in await read_models.builds() if each.name == name and each.state == "previous"]
        if name not in {model.name for model in read_models.models}:
            raise not_found("read model", name)

        async def record(connection: Connection, live: Build, back: Build) -> None:
            await _record(call, connection, ReadModelRolledBack(name, live.number, back.number, reason))

        going_back = asyncio.create_task(read_models.roll_back(name, record), name=f"rollback {name}")
        going_back.add_done_callback(lambda _ended: call.ledger.wake())
        await _begun(under_way, going_back)
        return RollbackStarted(
            name=name, build=previous[0].build if previous else 0, progress=f"/operations/read-models/{name}"
        )

    return api


def _reason(call: Call[Reasoned], remedy: str) -> str:
    """Why an operator wants something. Raises ValueRefused where nothing is said."""
    if not call.body.reason.strip():
        raise ValueRefused("reason", call.body.reason, remedy)
    return call.body.reason


Carry = Callable[..., Awaitable[bool]]


async def _ordered(call: Call[Reasoned], order: Order, carry_out: Carry) -> OrderedView:
    """Record an order and carry it out, in one transaction; once, however often it comes with the same key."""

    async def record(connection: Connection) -> bool:
        return await _record(call, connection, order)

    try:
        done = await carry_out(call.ledger.pool, record=record)
    except UNAVAILABLE as error:
        raise Refused(UNAVAILABLE_HERE, f"the database is away: {error}", headers={"Retry-After": "2"}) from error
    call.ledger.wake()
    return OrderedView(event=f"{call.command}@1", repeated=not done)


async def _record(call: Call[Reasoned], connection: Connection, order: Order) -> bool:
    """Write an order to the service's ledger, in a stream of its own; False where it was written before."""
    ledger, stream = call.ledger, call.command
    loaded = await ledger.load(ORDER, stream, connection=connection)
    item, _ = ledger.prepare(call.context, Intent(ORDER, stream, order), loaded)
    (outcome,) = await ledger.append(connection, [item])
    if isinstance(outcome, KeyReused):
        raise outcome
    if isinstance(outcome, Conflict):
        raise Refused(UNAVAILABLE_HERE, "the same order is being recorded right now", headers={"Retry-After": "1"})
    return isinstance(outcome, Appended)


async def _look_first(operations: Operations) -> None:
    """Compare ledger and topic. Raises Refused where something is in the way of bringing back what the ledger lacks."""
    try:
        found = await operations.reconcile(lambda _stage: None, True, 1)
    except ReconciliationRunning as error:
        raise Refused(VERIFICATION_RUNNING, str(error)) from error
    except (*UNAVAILABLE, asyncpg.PostgresError, KafkaUnavailable, TopicMissing) as error:
        raise Refused(UNAVAILABLE_HERE, str(error), headers={"Retry-After": "5"}) from error
    in_the_way = [each for each in found.findings if each.kind in IN_THE_WAY_OF_RECOVERY]
    if in_the_way:
        count = sum(found.counts[kind] for kind in found.counts.keys() & IN_THE_WAY_OF_RECOVERY)
        first = in_the_way[0]
        raise Refused(LEDGER_CONTRADICTED, f"{count} records of the topic, the first at {first.place}: {first.what}")


async def _begun(under_way: set[asyncio.Task[Any]], task: asyncio.Task[Any]) -> None:
    """Keep something going in the background. Raises Refused where it has failed at once."""
    under_way.add(task)
    task.add_done_callback(lambda ended: _note(under_way, ended))
    await asyncio.wait([task], timeout=BEGUN_AFTER_S)
    if not task.done() or (error := task.exception()) is None:
        return
    match error:
        case RebuildRunning():
            raise Refused(REBUILD_RUNNING, str(error)) from error
        case RebuildFailed():
            raise Refused(REBUILD_FAILED, str(error)) from error
        case ReconciliationRunning():
            raise Refused(VERIFICATION_RUNNING, str(error)) from error
        case KafkaUnavailable() | TopicMissing():
            raise Refused(UNAVAILABLE_HERE, str(error), headers={"Retry-After": "5"}) from error
        case _:
            raise error


GIVEN_UP: Final = (
    *UNAVAILABLE,
    asyncpg.PostgresError,
    KafkaUnavailable,
    TopicMissing,
    OffsetGone,
    RebuildFailed,
    NeedsNewerReader,
)
"""What may end a long answer before its end, and is told in its last line."""


async def _in_lines(
    under_way: set[asyncio.Task[Any]],
    work: Callable[[Callable[[StageView], None]], Awaitable[BaseModel]],
    progress: Callable[[StageView], BaseModel],
    line: Callable[..., BaseModel],
) -> Lines:
    """Answer with a line for each while that something takes, and with its outcome as the last one.

    It ends with the connection. Raises Refused where it has failed at once.
    """
    shown: list[StageView] = []

    def show(stage: StageView) -> None:
        shown[:] = [stage]

    async def run() -> BaseModel:
        return await work(show)

    task = asyncio.create_task(run(), name="long answer")
    await _begun(under_way, task)

    async def told() -> AsyncIterator[bytes]:
        try:
            while not task.done():
                for stage in shown:
                    yield progress(stage).model_dump_json(exclude_none=True).encode() + b"\n"
                await asyncio.wait([task], timeout=TELL_EVERY_S)
            try:
                last = task.result()
            except GIVEN_UP as error:
                last = line(failed=f"{type(error).__name__}: {error}")
            yield last.model_dump_json(exclude_unset=True).encode() + b"\n"
        finally:
            task.cancel()

    return Lines(told())


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


def _relay(topic: str, status: RelayStatus) -> RelayView:
    return RelayView(
        leader=status.leader,
        epoch=status.epoch,
        led_until=status.led_until,
        verified=status.verified,
        verified_at=status.verified_at,
        brought_back=status.brought_back,
        system_identifier=status.database.system_identifier if status.database else None,
        database_started_at=status.database.started_at if status.database else None,
        topic=topic,
        cluster_id=status.topic.cluster_id if status.topic else None,
        topic_id=status.topic.topic_id if status.topic else None,
        lag_rows=status.lag_rows,
        oldest=status.oldest,
        low_txid=status.low_txid,
        tail_length=status.tail_length,
        acknowledged=dict(status.acknowledged),
        watermark=status.watermark,
        alarm=status.alarm,
        trouble=status.trouble,
    )


def _reconciled(found: Reconciled) -> VerificationView:
    return VerificationView(
        events=found.events,
        streams=found.streams,
        commands=found.commands,
        records=found.records,
        repeats=found.repeats,
        unsent=found.unsent,
        counts={kind.value: count for kind, count in found.counts.items()},
        findings=[
            FindingView(kind=each.kind.value, place=each.place, where=each.where, what=each.what)
            for each in found.findings
        ],
    )


def _compared(compared: Compared) -> DifferenceView:
    return DifferenceView(**asdict(compared), same=compared.same)


def _note(under_way: set[asyncio.Task[Any]], ended: asyncio.Task[Any]) -> None:
    under_way.discard(ended)
    error = None if ended.cancelled() else ended.exception()
    if error is not None:
        log.error("operation_failed", task=ended.get_name(), reason=f"{type(error).__name__}: {error}")


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

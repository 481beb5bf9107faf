"""Commands: body, token, key and version are read in one function, and the answer is what the ledger says."""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha1, sha256
from typing import Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from govevents.document import Origin, canonical
from govkernel.domain import NodeId, Refusal, SubjectId
from govkernel.domain.aggregate import Aggregate
from govkernel.http.auth import Caller
from govkernel.http.bodies import Body, NoBody, check_content_type, read_bytes, validate
from govkernel.http.incoming import Incoming, first_values
from govkernel.http.problems import (
    EXPECTED,
    FORBIDDEN,
    HEADER_INVALID,
    InputError,
    Refused,
    invalid,
    malformed_header,
    not_found,
    refusal_response,
    response_for,
    shortened,
)
from govkernel.http.runtime import Runtime
from govkernel.http.versions import entity_tag, if_match, minimum_versions
from govkernel.ledger import Answer, Context, Head, Intent, Ledger, Loaded, RefusalRecord, StaleVersion
from govkernel.logging import bind
from govkernel.postgres import Uuid

AnyBody = TypeVar("AnyBody", bound=Body)
State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

LONGEST_KEY: Final = 200
IMPORT: Final = "import"


class AppendedEvent(BaseModel):
    """An event that a command has added."""

    id: str = Field(description="<stream>@<version>")
    type: str


class CommandAnswer(BaseModel):
    """How a command was answered: the stream, its version afterwards, and the events that were added, if any."""

    stream: UUID
    version: int
    events: list[AppendedEvent]


class Call(Generic[AnyBody]):
    """One command's request, as a service's code sees it."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        caller: Caller,
        body: AnyBody,
        path: dict[str, str],
        context: Context,
        expected_version: int | None,
    ) -> None:
        self.runtime = runtime
        self.caller = caller
        self.body = body
        self.path = path
        self._ids: dict[str, UUID] = {}
        self.context = context
        self.expected_version = expected_version
        self.loaded: dict[UUID, Loaded[Any]] = {}
        self.addressed: frozenset[UUID] = frozenset()
        self.newest = True

    @property
    def command(self) -> UUID:
        """The command's id, which a stream that it creates takes as its own."""
        return self.context.command

    @property
    def now(self) -> datetime:
        """When the organisation knows the fact: now, or the moment that an import or the demo clock says."""
        return self.context.time

    @property
    def origin(self) -> Origin:
        """Whether the command is live, imported or simulated."""
        return self.context.origin

    @property
    def subject(self) -> SubjectId:
        """The account that asks."""
        return self.caller.subject

    @property
    def ledger(self) -> Ledger:
        """The service's ledger, to load what the decision rests on."""
        return self.runtime.ledger

    def path_id(self, name: str) -> UUID:
        """An id in the address. Raises Refused (404) for what can't be an id."""
        if name not in self._ids:
            self._ids[name] = _uuid(name, self.path[name])
        return self._ids[name]

    def path_text(self, name: str) -> str:
        """A text in the address, as it was sent."""
        return self.path[name]

    async def load(
        self, aggregate: Aggregate[State, Command, Event], stream: UUID, *, what: str | None = None
    ) -> Loaded[State]:
        """A stream that must exist. Raises Refused (404) where it does not.

        One that the address names is taken as it is known, for it will be written: see `Ledger.load_known`.
        """
        known = not self.newest and stream in self.addressed
        loaded = await (self.ledger.load_known if known else self.ledger.load)(aggregate, stream)
        if loaded.head.version == 0:
            raise not_found(what or aggregate.name, stream)
        self.loaded[stream] = loaded
        return loaded

    async def head(self, stream: UUID) -> Head:
        """The newest version of a stream that the decision relies on."""
        return await self.ledger.head(stream)


def _uuid(name: str, text: str) -> UUID:
    try:
        if len(text) != 36:
            raise ValueError(text)
        return Uuid(text)
    except ValueError:
        raise not_found(name, text) from None


Intend = Callable[[Call[Any]], Awaitable[Intent[Any, Any, Any]]]


@dataclass(frozen=True, slots=True)
class CommandShape:
    """What is declared of one command; `action` is what intents without one of their own ask for."""

    body: type[Body]
    intend: Intend
    action: str
    if_match: bool
    path_names: tuple[str, ...]


Act = Callable[[Call[Any]], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True)
class ActionShape:
    """What is declared of a step that is no command on one stream; `node` says at which node `action` is asked for."""

    body: type[Body]
    act: Act
    action: str
    status: int
    node: Callable[[Any], NodeId | None]


Respond = Callable[[Incoming, Runtime], Awaitable[Response]]
"""Answers a request; raises what `response_for` knows."""


class Whole(Response):
    """An answer in JSON whose headers are as they are sent."""

    def __init__(self, body: bytes, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            *headers,
        ]
        self.background = None


class DirectRoute(APIRoute):
    """A route that FastAPI describes, and does no work for: the way in for everything that changes something."""

    def __init__(self, path: str, endpoint: Callable[..., Any], respond: Respond, **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        self.app = self._answer_through_framework
        self._respond = respond

    async def answer(self, incoming: Incoming, runtime: Runtime) -> Response:
        """Answer one request; what is expected to go wrong becomes a problem document."""
        try:
            return await self._respond(incoming, runtime)
        except EXPECTED as error:
            answered = response_for(error, incoming.correlation)
            if answered is None:
                raise
            return answered

    async def _answer_through_framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.answer(Incoming.of(scope, first_values(scope), receive), scope["app"].state.runtime)
        await response(scope, receive, send)


async def take_step(shape: ActionShape, incoming: Incoming, runtime: Runtime) -> Response:
    """Answer a step by its own function, once its caller may take it. Raises what `response_for` knows."""
    call = await read_call(incoming, runtime, shape.body, if_match_required=False)
    await runtime.require(call.caller, shape.node(call.body), call.context.now, shape.action)
    try:
        answered = await shape.act(call)
    except Refusal as refusal:
        status = runtime.ledger.refusal_status(refusal)
        return refusal_response(RefusalRecord.of(refusal), status, incoming.correlation)
    return Response(answered.model_dump_json(), shape.status, media_type="application/json")


async def read_call(
    incoming: Incoming, runtime: Runtime, body_model: type[Body], *, if_match_required: bool
) -> Call[Any]:
    """Read a request that changes something: token, body, version, key, times. Raises what `response_for` knows."""
    runtime.require_started()
    header = incoming.header
    caller = await runtime.verifier.caller(header(b"authorization"))
    bind(subject=str(caller.subject))
    raw = await read_bytes(incoming.receive, header(b"content-length"))
    if raw or body_model is not NoBody:
        check_content_type(header(b"content-type"))
        body, given = validate(body_model, raw)
    else:
        body, given = body_model(), {}
    seen = header(b"if-match")
    expected = if_match(seen, required=if_match_required)
    digest = sha256(
        b"\n".join((incoming.method.encode(), incoming.address.encode(), (seen or "").encode(), canonical(given)))
    ).digest()
    clock = runtime.clock()
    now, told, origin = _times(runtime, caller, clock, header(b"gov-time"), header(b"gov-demo-time"))
    context = Context(
        command=command_id(runtime.service, caller.subject, header(b"idempotency-key")),
        digest=digest,
        actor=str(caller.subject),
        now=now,
        time=told,
        correlation=incoming.correlation,
        origin=origin,
        traceparent=incoming.traceparent,
    )
    minimum = minimum_versions(header(b"gov-min-version"))
    if minimum:
        await runtime.wait_until_seen(minimum)
    return Call(
        runtime=runtime,
        caller=caller,
        body=body,
        path=incoming.path,
        context=context,
        expected_version=expected,
    )


async def answer_command(shape: CommandShape, incoming: Incoming, runtime: Runtime) -> Response:
    """Read one command, decide on it through the ledger, and render the answer. Raises what `response_for` knows."""
    call = await read_call(incoming, runtime, shape.body, if_match_required=shape.if_match)
    context = call.context
    call.addressed = frozenset(map(call.path_id, shape.path_names))

    if context.origin is Origin.SIMULATED and runtime.timers is not None:
        # Deadlines that the demo clock has passed come before what is said at its new time.
        await runtime.timers.fire_due(context.now, simulated=True)
    started = time.perf_counter()
    try:
        answer = await runtime.answering.within(
            runtime.ledger.execute(
                context, partial(_intend, runtime, shape, call), expected_version=call.expected_version
            )
        )
    except StaleVersion:
        runtime.metrics.conflicts.inc()
        raise
    runtime.metrics.append_seconds.observe(time.perf_counter() - started)
    return _rendered(runtime, answer, context.correlation)


async def _intend(runtime: Runtime, shape: CommandShape, call: Call[Any], newest: bool) -> Intent[Any, Any, Any]:
    """What a call intends, once its caller may do it."""
    # No function within a function, which would be a cycle for each command, and garbage that has to be looked for.
    context = call.context
    call.loaded.clear()
    call.newest = newest
    intent = await runtime.reading.within(_read_and_intend(shape, call))
    if not newest and call.loaded.keys() - {intent.stream}:
        # What the address names is not what is written: nothing would find out that it was stale.
        return await _intend(runtime, shape, call, True)
    actions = [intent.action or shape.action]
    if context.origin is Origin.IMPORTED:
        actions.append(IMPORT)
    allowed_under = None if newest else runtime.recall_allowed(call.caller, intent.node, context.now, *actions)
    if allowed_under is None:
        await runtime.require(call.caller, intent.node, context.now, *actions)
    return Intent(
        intent.aggregate,
        intent.stream,
        intent.command,
        intent.relies_on,
        intent.node,
        intent.action,
        call.loaded.get(intent.stream),
        allowed_under,
    )


async def _read_and_intend(shape: CommandShape, call: Call[Any]) -> Intent[Any, Any, Any]:
    intent = await shape.intend(call)
    if intent.stream in call.addressed and intent.stream not in call.loaded:
        await call.load(intent.aggregate, intent.stream)
    return intent


def _rendered(runtime: Runtime, answer: Answer, correlation: str) -> Response:
    if answer.refusal is not None:
        runtime.metrics.refusals.labels(answer.refusal.slug).inc()
        refused = refusal_response(answer.refusal, answer.status, correlation)
        refused.headers.update(_repetition(answer))
        return refused
    assert answer.stream is not None, "a command that was not refused has a stream"
    stream = str(answer.stream)
    bind(stream=stream)
    added = [
        {"id": f"{stream}@{version}", "type": each}
        for version, each in enumerate(answer.types, start=answer.from_version + 1)
    ]
    headers: list[tuple[bytes, bytes]] = []
    if answer.repeated:
        headers += ((name.lower().encode(), value.encode()) for name, value in _repetition(answer).items())
    version = answer.to_version
    if version:
        headers += (b"etag", entity_tag(version).encode()), (b"gov-version", f"{stream}@{version}".encode())
    return Whole(canonical({"stream": stream, "version": version, "events": added}), answer.status, headers)


def _repetition(answer: Answer) -> dict[str, str]:
    """What tells a caller that this is the answer to an earlier request, and to which: its own, or one before."""
    if not answer.repeated:
        return {}
    assert answer.answered_at is not None, "what was answered before was answered at some moment"
    return {"Gov-Repeated": "true", "Gov-Answered-At": answer.answered_at.isoformat()}


def command_id(service: str, subject: SubjectId, key: str | None) -> UUID:
    """The command's id: of service, caller and idempotency key, so that no two callers share one; random without a key.

    Raises Refused (400) for a key that is not 1 to 200 printable ASCII characters.
    """
    if key is None:
        return uuid4()
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise malformed_header(
            "Idempotency-Key", key, "not an idempotency key", f"send 1 to {LONGEST_KEY} printable ASCII characters"
        )
    return _uuid5(subject, f"{service}/{key}")


def _uuid5(namespace: UUID, name: str) -> UUID:
    """As the standard library's, which takes three times as long (RFC 9562, section 5.5)."""
    digest = bytearray(sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return Uuid(bytes(digest))


def _times(
    runtime: Runtime, caller: Caller, clock: datetime, import_time: str | None, demo_time: str | None
) -> tuple[datetime, datetime, Origin]:
    """Now, the time when the fact was known, and the origin that follows from who set it."""
    if import_time is not None and demo_time is not None:
        raise malformed_header("Gov-Demo-Time", demo_time, "Gov-Time is sent too", "send one of the two")
    if demo_time is not None:
        if not (runtime.demo and caller.demo):
            raise Refused(FORBIDDEN, "Gov-Demo-Time moves the demo clock, which exists under the demo issuer only")
        moment = moment_header("Gov-Demo-Time", demo_time)
        return moment, moment, Origin.SIMULATED
    if import_time is not None:
        moment = moment_header("Gov-Time", import_time)
        if moment > clock:
            fault = InputError(
                parameter="Gov-Time",
                detail="lies in the future",
                value=shortened(import_time),
                remedy="give when the fact became known, which is not later than now",
            )
            raise invalid([fault], HEADER_INVALID)
        return clock, moment, Origin.IMPORTED
    return clock, clock, Origin.LIVE


def moment_header(name: str, text: str) -> datetime:
    """A moment in a header. Raises Refused (400) for one without time zone."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed_header(
            name, text, "not a moment with time zone", "send one such as 2030-06-30T09:00:00Z"
        ) from None

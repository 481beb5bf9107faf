"""Commands: body, token, key and version are read in one function, and the answer is what the ledger says."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar
from uuid import UUID, uuid4, uuid5

import structlog
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from govevents.document import Origin, canonical
from govkernel.domain import SubjectId
from govkernel.domain.aggregate import Aggregate
from govkernel.http.auth import Caller
from govkernel.http.bodies import Body, NoBody, check_content_type, read_bytes, validate
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
from govkernel.ledger import Answer, Context, Head, Intent, Ledger, Loaded, StaleVersion

AnyBody = TypeVar("AnyBody", bound=Body)
State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

LONGEST_KEY: Final = 200
LONGEST_READING_S: Final = 5.0
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
        return UUID(text)
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
    """What is declared of a step that is no command on one stream; `action` is asked for at no node."""

    body: type[Body]
    act: Act
    action: str
    status: int


Respond = Callable[[Request, Runtime], Awaitable[Response]]
"""Answers a request; raises what `response_for` knows."""


class DirectRoute(APIRoute):
    """A route that FastAPI describes, and does no work for: the way in for everything that changes something."""

    def __init__(self, path: str, endpoint: Callable[..., Any], respond: Respond, **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        self.app = self.answer
        self._respond = respond

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is expected to go wrong becomes a problem document."""
        request = Request(scope, receive)
        try:
            response = await self._respond(request, scope["app"].state.runtime)
        except EXPECTED as error:
            answered = response_for(error, scope["state"]["correlation"])
            if answered is None:
                raise
            response = answered
        await response(scope, receive, send)


async def take_step(shape: ActionShape, request: Request, runtime: Runtime) -> Response:
    """Answer a step by its own function, once its caller may take it. Raises what `response_for` knows."""
    call = await read_call(request, runtime, shape.body, if_match_required=False)
    await runtime.require(call.caller, None, call.context.now, shape.action)
    answered = await shape.act(call)
    return Response(answered.model_dump_json(), shape.status, media_type="application/json")


async def read_call(
    request: Request, runtime: Runtime, body_model: type[Body], *, if_match_required: bool
) -> Call[Any]:
    """Read a request that changes something: token, body, version, key, times. Raises what `response_for` knows."""
    runtime.require_started()
    headers = _headers(request)
    caller = await runtime.verifier.caller(headers.get("authorization"))
    structlog.contextvars.bind_contextvars(subject=str(caller.subject))
    raw = await read_bytes(request)
    if raw or body_model is not NoBody:
        check_content_type(headers.get("content-type"))
        body, given = validate(body_model, raw)
    else:
        body, given = body_model(), {}
    seen = headers.get("if-match")
    expected = if_match(seen, required=if_match_required)
    digest = sha256(
        b"\n".join((request.method.encode(), request.scope["path"].encode(), (seen or "").encode(), canonical(given)))
    ).digest()
    clock = runtime.clock()
    now, told, origin = _times(runtime, caller, clock, headers.get("gov-time"), headers.get("gov-demo-time"))
    context = Context(
        command=command_id(runtime.service, caller.subject, headers.get("idempotency-key")),
        digest=digest,
        actor=str(caller.subject),
        now=now,
        time=told,
        correlation=request.state.correlation,
        origin=origin,
        traceparent=request.state.traceparent,
    )
    await runtime.wait_until_seen(minimum_versions(headers.get("gov-min-version")))
    path = {name: str(value) for name, value in request.path_params.items()}
    return Call(runtime=runtime, caller=caller, body=body, path=path, context=context, expected_version=expected)


def _headers(request: Request) -> dict[str, str]:
    """The first value of each header, by its name in lower case: starlette would search the list for each."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.scope["headers"])}


async def answer_command(shape: CommandShape, request: Request, runtime: Runtime) -> Response:
    """Read one command, decide on it through the ledger, and render the answer. Raises what `response_for` knows."""
    call = await read_call(request, runtime, shape.body, if_match_required=shape.if_match)
    context = call.context
    call.addressed = frozenset(call.path_id(name) for name in shape.path_names)

    async def intend(newest: bool) -> Intent[Any, Any, Any]:
        call.loaded.clear()
        call.newest = newest
        async with asyncio.timeout(LONGEST_READING_S):
            intent = await shape.intend(call)
            if intent.stream in call.addressed and intent.stream not in call.loaded:
                await call.load(intent.aggregate, intent.stream)
        if not newest and call.loaded.keys() - {intent.stream}:
            # What the address names is not what is written: nothing would find out that it was stale.
            return await intend(True)
        actions = [intent.action or shape.action]
        if context.origin is Origin.IMPORTED:
            actions.append(IMPORT)
        await runtime.require(call.caller, intent.node, context.now, *actions)
        return replace(intent, loaded=call.loaded.get(intent.stream))

    if context.origin is Origin.SIMULATED and runtime.timers is not None:
        # Deadlines that the demo clock has passed come before what is said at its new time.
        await runtime.timers.fire_due(context.now, simulated=True)
    started = time.perf_counter()
    try:
        answer = await runtime.ledger.execute(context, intend, expected_version=call.expected_version)
    except StaleVersion:
        runtime.metrics.conflicts.inc()
        raise
    runtime.metrics.append_seconds.observe(time.perf_counter() - started)
    return _rendered(runtime, answer, context.correlation)


def _rendered(runtime: Runtime, answer: Answer, correlation: str) -> Response:
    if answer.refusal is not None:
        runtime.metrics.refusals.labels(answer.refusal.slug).inc()
        refused = refusal_response(answer.refusal, answer.status, correlation)
        refused.headers.update(_repetition(answer))
        return refused
    assert answer.stream is not None, "a command that was not refused has a stream"
    structlog.contextvars.bind_contextvars(stream=str(answer.stream))
    added = [
        {"id": f"{answer.stream}@{version}", "type": each}
        for version, each in enumerate(answer.types, start=answer.from_version + 1)
    ]
    headers = _repetition(answer)
    if answer.to_version:
        headers |= {"ETag": entity_tag(answer.to_version), "Gov-Version": f"{answer.stream}@{answer.to_version}"}
    body = canonical({"stream": str(answer.stream), "version": answer.to_version, "events": added})
    return Response(body, answer.status, headers, "application/json")


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
    return uuid5(subject, f"{service}/{key}")


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

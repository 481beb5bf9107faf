"""A service's API: its commands and queries, declared once, described to OpenAPI with every problem they can answer."""

import inspect
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar, get_type_hints
from uuid import UUID

from fastapi import Body as BodyParameter
from fastapi import FastAPI, Header, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from govkernel.domain import NodeId, NotKnownYet, Refusal
from govkernel.http.bodies import Body, NoBody
from govkernel.http.commands import (
    IMPORT,
    Act,
    ActionShape,
    CommandAnswer,
    CommandShape,
    DirectRoute,
    Intend,
    answer_command,
    take_step,
)
from govkernel.http.description import describe, problem_answers
from govkernel.http.incoming import Incoming
from govkernel.http.middleware import Around, AroundApplication
from govkernel.http.problems import (
    BODY_INVALID,
    EXPECTED,
    FORBIDDEN,
    HEADER_INVALID,
    IF_MATCH_MISSING,
    JSON_INVALID,
    KEY_REUSED,
    MEDIA,
    NOT_CAUGHT_UP,
    NOT_FOUND,
    STALE,
    TOKEN_MISSING,
    TOO_LARGE,
    UNAVAILABLE_HERE,
    UNEXPECTED,
    InputError,
    invalid,
    response_for,
    shortened,
)
from govkernel.http.queries import DEFAULT_PAGE, HISTORY, LARGEST_PAGE, PAGING, Ask, Window, read_bound, read_cursor
from govkernel.http.runtime import Runtime
from govkernel.http.versions import minimum_versions
from govkernel.logging import bind

QueryFunction = TypeVar("QueryFunction", bound=Callable[..., Awaitable[Any]])
IntendFunction = TypeVar("IntendFunction", bound=Intend)
ActFunction = TypeVar("ActFunction", bound=Act)

ANY_CALL: Final = (TOKEN_MISSING, FORBIDDEN, HEADER_INVALID, NOT_CAUGHT_UP, UNAVAILABLE_HERE, UNEXPECTED)
ANY_COMMAND: Final = (JSON_INVALID, TOO_LARGE, MEDIA, BODY_INVALID, KEY_REUSED, NOT_FOUND)
KEY_TEXT: Final = "1 to 200 printable ASCII characters; the same key and request get the same answer"
BOUND_TEXT: Final = "a moment with time zone, or a date, through its end in the portfolio's time zone (UTC without one)"
SEEN_TEXT: Final = "a Gov-Version that has to be visible first, several separated by commas"


class Lines(StreamingResponse):
    """An answer that takes its time: a line of JSON for each step, and the outcome as the last one."""

    media_type = "application/x-ndjson"


class Application(FastAPI):
    """Answers what changes something ahead of all that FastAPI puts around a route, which costs as much again."""

    def __init__(self, **described: Any) -> None:
        super().__init__(**described)
        self._direct: dict[tuple[int, str], list[_Direct]] = defaultdict(list)
        self._around: Around | None = None

    def answer_directly(self, routes: Iterable[DirectRoute], runtime: Runtime, around: Around) -> None:
        """Find these routes by how many parts an address has and by its first, and answer them."""
        for route in routes:
            direct = _Direct(route.path_regex, partial(route.answer, runtime=runtime), str(route.operation_id))
            self._direct[_kind(route.path)].append(direct)
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or what else a server says."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._around is not None:
            path = scope["path"]
            for direct in self._direct.get(_kind(path), ()):
                found = direct.path.match(path)
                if found is not None:
                    scope["path_params"] = found.groupdict()
                    await self._around.answer(direct.respond, direct.operation, scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Direct:
    path: re.Pattern[str]
    respond: Callable[[Incoming], Awaitable[Response]]
    operation: str


def _kind(path: str) -> tuple[int, str]:
    return path.count("/"), path[1:].partition("/")[0]


class ServiceApi:
    """What a service offers over HTTP.

    `refusals` gives the domain's refusals their status. One that is not named gets its parent's, in the end 409; what
    is not known (yet) is 404.
    """

    def __init__(self, service: str, *, title: str, refusals: Mapping[type[Refusal], int] | None = None) -> None:
        self.service = service
        self.title = title
        self.refusals: dict[type[Refusal], int] = {Refusal: 409, NotKnownYet: 404, **(refusals or {})}
        self.routes: list[APIRoute] = []
        self.operations: set[str] = set()
        self.actions: set[str] = {IMPORT}

    def refusal_status(self, refusal: Refusal) -> int:
        """The HTTP status of a refusal."""
        return self.status_of(type(refusal))

    def status_of(self, refusal: type[Refusal]) -> int:
        """The HTTP status of a kind of refusal."""
        return next(self.refusals[each] for each in refusal.__mro__ if each in self.refusals)

    def command(
        self,
        path: str,
        *,
        operation: str,
        action: str,
        body: type[Body] = NoBody,
        if_match: bool = False,
        refusals: Iterable[type[Refusal]] = (),
        summary: str | None = None,
        texts: tuple[str, ...] = (),
    ) -> Callable[[IntendFunction], IntendFunction]:
        """Declare a command: POST to `path`, answered by the ledger.

        The function makes the intent; it may load, and is asked again after a lost race. `action` is what the caller
        must be allowed to do at the intent's node. `refusals` are listed in the documentation; `texts` names the parts
        of the path that are no ids.
        """
        self._check_new(operation)
        self.actions.add(action)
        names = tuple(re.findall(r"{(\w+)}", path))
        kinds = [(self.status_of(refusal), refusal) for refusal in (*refusals, NotKnownYet)]
        problems = [*ANY_CALL, *ANY_COMMAND, STALE, *([IF_MATCH_MISSING] if if_match else [])]

        def declare(intend: IntendFunction) -> IntendFunction:
            async def endpoint() -> None:
                """Stands for the command where FastAPI describes it."""

            parameters = [_parameter(name, Annotated[str if name in texts else UUID, Path()]) for name in names]
            if body is not NoBody:
                parameters.append(_parameter("request_body", Annotated[body, BodyParameter()]))
            parameters += [
                _parameter(
                    "idempotency_key",
                    Annotated[str | None, Header(description=KEY_TEXT, min_length=1, max_length=200)],
                    None,
                ),
                _parameter(
                    "if_match",
                    Annotated[str, Header(description="the ETag of the state that the caller has seen")]
                    if if_match
                    else Annotated[str | None, Header(description="decide only if the stream is still there")],
                    inspect.Parameter.empty if if_match else None,
                ),
                _parameter("gov_min_version", Annotated[str | None, Header(description=SEEN_TEXT)], None),
                _parameter(
                    "gov_time",
                    Annotated[str | None, Header(description="imports only: when the organisation knew the fact")],
                    None,
                ),
                _parameter(
                    "gov_demo_time", Annotated[str | None, Header(description="demo only: the demo clock")], None
                ),
            ]
            described: Any = endpoint
            described.__name__ = operation
            described.__doc__ = inspect.getdoc(intend)
            described.__signature__ = inspect.Signature(parameters)
            shape = CommandShape(body, intend, action, if_match, tuple(name for name in names if name not in texts))
            route = DirectRoute(
                path,
                endpoint,
                partial(answer_command, shape),
                methods=["POST"],
                name=operation,
                operation_id=operation,
                summary=summary or _summary(intend, operation),
                description=inspect.getdoc(intend) or operation,
                response_model=CommandAnswer,
                response_description="Done, or done before; `events` is empty where there was nothing to add.",
                responses={
                    201: {"model": CommandAnswer, "description": "The first events of a new stream."},
                    **problem_answers(problems, kinds),
                },
                openapi_extra={"security": [{"bearer": []}], "x-gatehouse-action": action},
            )
            self.routes.append(route)
            return intend

        return declare

    def operate(
        self,
        path: str,
        *,
        operation: str,
        action: str,
        response: type[BaseModel],
        body: type[Body] = NoBody,
        status: int = 200,
        texts: tuple[str, ...] = (),
        node: Callable[[Any], NodeId | None] = lambda _body: None,
        refusals: Iterable[type[Refusal]] = (),
    ) -> Callable[[ActFunction], ActFunction]:
        """Declare a step that appends nothing: POST to `path`, allowed where `action` is allowed at the body's `node`.

        Steps of operators have none. `refusals` are listed in the documentation.
        """
        self._check_new(operation)
        self.actions.add(action)
        names = re.findall(r"{(\w+)}", path)
        kinds = [(self.status_of(refusal), refusal) for refusal in refusals]

        def declare(act: ActFunction) -> ActFunction:
            async def endpoint() -> None:
                """Stands for the step where FastAPI describes it."""

            described: Any = endpoint
            described.__name__ = operation
            described.__doc__ = inspect.getdoc(act)
            described.__signature__ = inspect.Signature(
                [
                    *(_parameter(name, Annotated[str if name in texts else int, Path()]) for name in names),
                    *([_parameter("request_body", Annotated[body, BodyParameter()])] if body is not NoBody else []),
                    _parameter(
                        "idempotency_key",
                        Annotated[str | None, Header(description=KEY_TEXT, min_length=1, max_length=200)],
                        None,
                    ),
                ]
            )
            self.routes.append(
                DirectRoute(
                    path,
                    endpoint,
                    partial(take_step, ActionShape(body, act, action, status, node)),
                    methods=["POST"],
                    name=operation,
                    operation_id=operation,
                    summary=_summary(act, operation),
                    description=inspect.getdoc(act),
                    status_code=status,
                    response_model=response,
                    responses=problem_answers([*ANY_CALL, *ANY_COMMAND], kinds),
                    openapi_extra={"security": [{"bearer": []}], "x-gatehouse-action": action},
                )
            )
            return act

        return declare

    def query(
        self,
        path: str,
        *,
        operation: str,
        response: Any,
        history: bool = False,
        paged: bool = False,
        method: str = "GET",
        status: int = 200,
        found: bool = True,
        lines: bool = False,
        summary: str | None = None,
    ) -> Callable[[QueryFunction], QueryFunction]:
        """Declare a query: the function gets an Ask, and its other parameters from the address.

        `history` gives it `as_of` and `recorded_by`; `paged` gives it `limit` and `cursor`; `found` says that it may
        answer 404; `lines`, that each line of the answer is one `response`, as `Lines` sends them. A `response` that
        is a class of Starlette's responses says by its media type what is answered in place of JSON. A function that
        decides nothing about its caller is a fault, answered 500.
        """
        self._check_new(operation)
        problems = [*ANY_CALL, BODY_INVALID, *([NOT_FOUND] if found or "{" in path else [])]

        def declare(function: QueryFunction) -> QueryFunction:
            hints = get_type_hints(function, include_extras=True)
            own = [
                parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
                for parameter in list(inspect.signature(function).parameters.values())[1:]
            ]
            offered = (
                {_asked_as(parameter) for parameter in own}
                | (HISTORY if history else set())
                | (PAGING if paged else set())
            )

            async def endpoint(request: Request, **parameters: Any) -> Response:
                correlation = str(request.state.correlation)
                try:
                    return await answer_query(
                        request, request.app.state.runtime, partial(_called, function), parameters, offered, status
                    )
                except EXPECTED as error:
                    answered = response_for(error, correlation)
                    if answered is None:
                        raise
                    return answered

            document = isinstance(response, type) and issubclass(response, Response)
            of_lines: dict[int | str, dict[str, Any]] = {}
            if lines:
                schema = {"$ref": f"#/components/schemas/{response.__name__}"}
                of_lines = {status: {"content": {Lines.media_type: {"schema": schema}}}}
            described: Any = endpoint
            described.__name__ = operation
            described.__doc__ = inspect.getdoc(function)
            described.__signature__ = inspect.Signature(
                [
                    inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request),
                    *own,
                    *_query_parameters(history=history, paged=paged),
                ]
            )
            route = APIRoute(
                path,
                endpoint,
                methods=[method],
                name=operation,
                operation_id=operation,
                summary=summary or _summary(function, operation),
                description=inspect.getdoc(function) or operation,
                status_code=status,
                response_model=None if document else response,
                response_class=response if document else Lines if lines else JSONResponse,
                responses={**problem_answers(problems, []), **of_lines},
                openapi_extra={"security": [{"bearer": []}]},
            )
            self.routes.append(route)
            return function

        return declare

    def include(self, other: "ServiceApi") -> None:
        """Offer what another API declares, too."""
        for operation in other.operations:
            self._check_new(operation)
        self.routes.extend(other.routes)
        self.actions |= other.actions
        self.refusals = {**other.refusals, **self.refusals}

    def _check_new(self, operation: str) -> None:
        if operation in self.operations:
            raise ValueError(f"{operation}: two operations of {self.service} have this id")
        self.operations.add(operation)

    def application(self, runtime: Runtime | None = None, *, serves: bool = True) -> FastAPI:
        """The ASGI application; without a runtime it can only describe itself.

        One that does not serve has health and figures only.
        """
        app = Application(
            title=self.title,
            version="1",
            docs_url=None,
            redoc_url=None,
            openapi_url="/openapi.json" if serves else None,
            redirect_slashes=False,
            exception_handlers={HTTPException: _framework_problem, RequestValidationError: _framework_problem},
        )
        if serves:
            app.router.routes.extend(self.routes)
        app.openapi = partial(self.openapi, app)  # type: ignore[method-assign]
        if runtime is not None:
            app.state.runtime = runtime
            _add_health(app, runtime)
            around = Around(runtime.metrics, runtime.tracing)
            app.add_middleware(AroundApplication, around=around)
            if serves:
                app.answer_directly([route for route in self.routes if isinstance(route, DirectRoute)], runtime, around)
        return app

    def openapi(self, app: FastAPI | None = None) -> dict[str, Any]:
        """The API's description (OpenAPI 3.1): the same for the same code."""
        return describe(
            self.title,
            f"Commands and queries of the service {self.service}. Errors are RFC 9457 problem documents.",
            (app or self.application()).routes,
        )


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _asked_as(parameter: inspect.Parameter) -> str:
    """A parameter's name in the address, which may be one that Python does not take."""
    notes = getattr(parameter.annotation, "__metadata__", ())
    return next((note.alias for note in notes if getattr(note, "alias", None)), parameter.name)


def _summary(function: Callable[..., Any], operation: str) -> str:
    text = inspect.getdoc(function)
    if not text:
        raise TypeError(f"{operation}: an operation says in its docstring what it does")
    return text.splitlines()[0].rstrip(".")


def _query_parameters(*, history: bool, paged: bool) -> list[inspect.Parameter]:
    parameters = [_parameter("gov_min_version", Annotated[str | None, Header(description=SEEN_TEXT)], None)]
    if history:
        parameters += [
            _parameter("as_of", Annotated[str | None, Query(description=f"as it was known then: {BOUND_TEXT}")], None),
            _parameter(
                "recorded_by", Annotated[str | None, Query(description=f"as it was recorded then: {BOUND_TEXT}")], None
            ),
        ]
    if paged:
        parameters += [
            _parameter("limit", Annotated[int, Query(ge=1, le=LARGEST_PAGE)], DEFAULT_PAGE),
            _parameter("cursor", Annotated[str | None, Query(description="`next` of the page before")], None),
        ]
    return parameters


def _called(function: Callable[..., Awaitable[Any]], ask: Ask, parameters: Mapping[str, Any]) -> Awaitable[Any]:
    return function(ask, **parameters)


async def answer_query(
    request: Request,
    runtime: Runtime,
    function: Callable[[Ask, Mapping[str, Any]], Awaitable[Any]],
    parameters: dict[str, Any],
    offered: Iterable[str],
    status: int,
) -> Response:
    """Answer one query. Raises what `response_for` knows."""
    runtime.require_started()
    caller = await runtime.verifier.caller(request.headers.get("authorization"))
    bind(subject=str(caller.subject))
    unknown = sorted(set(request.query_params) - set(offered))
    if unknown:
        raise invalid(
            (
                InputError(
                    parameter=shortened(name),
                    detail="no such query parameter here",
                    remedy=f"use {', '.join(sorted(set(offered) - set(request.path_params))) or 'none'}",
                )
                for name in unknown
            ),
            HEADER_INVALID,
        )
    given = [name for name, _ in request.query_params.multi_items()]
    repeated = [name for name in request.query_params if given.count(name) > 1]
    if repeated:
        raise invalid(
            (
                InputError(parameter=name, detail=f"given {given.count(name)} times", remedy="give it once")
                for name in repeated
            ),
            HEADER_INVALID,
        )
    unwritable = [name for name, value in request.query_params.multi_items() if "\x00" in value]
    if unwritable:
        raise invalid(
            (
                InputError(parameter=name, detail="a text holds U+0000", remedy="remove that character")
                for name in unwritable
            ),
            HEADER_INVALID,
        )
    await runtime.wait_until_seen(minimum_versions(parameters.pop("gov_min_version", None)))
    bounds = {name: read_bound(name, text) for name in HISTORY if (text := parameters.pop(name, None)) is not None}
    cursor = parameters.pop("cursor", None)
    window = Window(parameters.pop("limit", DEFAULT_PAGE), read_cursor(cursor) if cursor is not None else None)
    ask = Ask(
        request=request,
        runtime=runtime,
        caller=caller,
        now=runtime.clock(),
        as_of=bounds.get("as_of"),
        recorded_by=bounds.get("recorded_by"),
        window=window,
    )
    answered = await function(ask, parameters)
    if not ask.decided:
        raise RuntimeError(f"{request.url.path}: the query has decided nothing about who may have its answer")
    if isinstance(answered, Response):
        answered.headers.update(ask.headers)
        return answered
    if isinstance(answered, BaseModel):
        if request.headers.get("if-none-match") not in (None, "") and request.headers[
            "if-none-match"
        ] == ask.headers.get("ETag"):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=ask.headers)
        return Response(answered.model_dump_json(), status, ask.headers, "application/json")
    return JSONResponse(answered, status, ask.headers)


async def _framework_problem(request: Request, error: Exception) -> Response:
    answered = response_for(error, str(getattr(request.state, "correlation", "")))
    assert answered is not None, "the framework's own errors all have an answer"
    return answered


def _add_health(app: FastAPI, runtime: Runtime) -> None:
    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        ready, report = await runtime.health.report()
        return JSONResponse({"service": runtime.service, **report}, 200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        body, media = runtime.metrics.render()
        return Response(body, media_type=media)

    app.add_route("/livez", livez, include_in_schema=False)
    app.add_route("/readyz", readyz, include_in_schema=False)
    app.add_route("/metrics", metrics, include_in_schema=False)

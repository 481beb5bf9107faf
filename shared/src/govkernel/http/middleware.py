"""What happens around every request: correlation, access log, figures, security headers, and a last resort."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from govkernel.http.incoming import Incoming, first_values
from govkernel.http.problems import stopping, unexpected
from govkernel.logging import OftenSaid, bind_anew, logger
from govkernel.metrics import Metrics
from govkernel.tracing import Request, Tracing

TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
SECURITY_NAMES: Final = frozenset(name for name, _ in SECURITY_HEADERS)

log = logger("govkernel.access_log")


def trace_of(traceparent: str | None) -> tuple[str, str]:
    """The trace of a request, and the traceparent of our part in it; a malformed one begins a new trace."""
    found = TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    drawn = os.urandom(24).hex()
    trace = found[1] if found and found[1].strip("0") and found[2].strip("0") else drawn[16:]
    return trace, f"00-{trace}-{drawn[:16]}-{found[3] if found else '01'}"


class AroundApplication:
    """Pure ASGI, so that a request costs no task and streams stay streams."""

    def __init__(self, app: ASGIApp, around: "Around") -> None:
        self._app = app
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request by the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = self._around.begin(scope, first_values(scope))
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _marked(message["headers"], begun)
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except asyncio.CancelledError:
            if status:
                raise
            await stopping(begun.correlation)(scope, receive, send_marked)
        except Exception as error:
            self._around.failed(scope, error)
            if status:
                raise
            await unexpected(begun.correlation)(scope, receive, send_marked)
        finally:
            self._around.end(begun, scope, getattr(scope.get("route"), "operation_id", None) or "none", status)


class Around:
    """What is done before and after each request of one process."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._answered = OftenSaid("govkernel.access_log", "request")

    async def answer(
        self,
        respond: Callable[[Incoming], Awaitable[Response]],
        operation: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request by a function that gives the whole answer."""
        headers = first_values(scope)
        begun = self.begin(scope, headers)
        status = 0
        try:
            try:
                response = await respond(Incoming.of(scope, headers, receive))
            except asyncio.CancelledError:
                # Only a process that stops gives a request up, and its caller is still there.
                response = stopping(begun.correlation)
            except Exception as error:
                self.failed(scope, error)
                response = unexpected(begun.correlation)
            status = response.status_code
            await send(
                {"type": "http.response.start", "status": status, "headers": _marked(response.raw_headers, begun)}
            )
            await send({"type": "http.response.body", "body": response.body})
        finally:
            self.end(begun, scope, operation, status)

    def begin(self, scope: Scope, headers: Mapping[bytes, bytes]) -> "_Begun":
        """Give a request its correlation and traceparent."""
        sent = headers.get(b"traceparent")
        given = None if sent is None else sent.decode("latin-1")
        traced = None
        if self._tracing is not None and scope["path"] not in QUIET:
            traced = self._tracing.request(given)
            trace, traceparent = traced.trace, traced.traceparent
        else:
            trace, traceparent = trace_of(given)
        # As a UUID is written.
        correlation = f"{trace[:8]}-{trace[8:12]}-{trace[12:16]}-{trace[16:20]}-{trace[20:]}"
        state: dict[str, Any] = scope.setdefault("state", {})
        state["correlation"] = correlation
        state["traceparent"] = traceparent
        bind_anew(correlation=correlation)
        return _Begun(correlation, traceparent, traced, time.perf_counter())

    def failed(self, scope: Scope, error: Exception) -> None:
        """Say what was raised instead of an answer."""
        log.error("request_failed", method=scope["method"], path=scope["path"], exc_info=error)

    def end(self, begun: "_Begun", scope: Scope, operation: str, status: int) -> None:
        """Say that a request was answered; status 0 is for one that was not."""
        seconds = time.perf_counter() - begun.started
        method, path = scope["method"], scope["path"]
        if begun.traced is not None:
            begun.traced.end(method, operation, status)
        self._metrics.answered(operation, method, status, seconds)
        if path not in QUIET:
            self._answered.say(
                method=method,
                path=path,
                status=status,
                milliseconds=round(seconds * 1000, 1),
                operation=operation,
            )


@dataclass(slots=True)
class _Begun:
    """A request that is being answered; `started` is in seconds of the performance counter."""

    correlation: str
    traceparent: str
    traced: Request | None
    started: float


def _marked(headers: Iterable[tuple[bytes, bytes]], begun: _Begun) -> list[tuple[bytes, bytes]]:
    """An answer's headers, and those that every answer has."""
    own = dict(headers)
    security: tuple[tuple[bytes, bytes], ...] = SECURITY_HEADERS
    if not SECURITY_NAMES.isdisjoint(own):
        security = tuple(header for header in security if header[0] not in own)
    return [
        *headers,
        *security,
        (b"traceparent", begun.traceparent.encode()),
        (b"gov-correlation", begun.correlation.encode()),
    ]

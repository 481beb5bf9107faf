"""What happens around every request: correlation, access log, figures, security headers, and a last resort."""

import re
import secrets
import time
from typing import Any, Final
from uuid import UUID

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from govkernel.http.problems import unexpected
from govkernel.logging import logger
from govkernel.metrics import Metrics
from govkernel.tracing import Tracing

TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)

access = logger("govkernel.access_log")


def trace_of(traceparent: str | None) -> tuple[str, str]:
    """The trace of a request, and the traceparent of our part in it; a malformed one begins a new trace."""
    found = TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    trace = found[1] if found and found[1].strip("0") and found[2].strip("0") else secrets.token_hex(16)
    return trace, f"00-{trace}-{secrets.token_hex(8)}-{found[3] if found else '01'}"


class Around:
    """Pure ASGI, so that a request costs no task and streams stay streams."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("traceparent")
        request = None
        if self._tracing is not None and scope["path"] not in QUIET:
            request = self._tracing.request(given)
            trace, traceparent = request.trace, request.traceparent
        else:
            trace, traceparent = trace_of(given)
        correlation = str(UUID(trace))
        state: dict[str, Any] = scope.setdefault("state", {})
        state["correlation"] = correlation
        state["traceparent"] = traceparent
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation=correlation)
        status = 0
        started = time.perf_counter()

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in SECURITY_HEADERS if header[0] not in own),
                    (b"traceparent", traceparent.encode()),
                    (b"gov-correlation", correlation.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            access.exception("request_failed", method=scope["method"], path=scope["path"])
            if status:
                raise
            await unexpected(correlation)(scope, receive, send_marked)
        finally:
            seconds = time.perf_counter() - started
            route = scope.get("route")
            operation = getattr(route, "operation_id", None) or "none"
            if request is not None:
                request.end(scope["method"], operation, status)
            self._metrics.requests.labels(operation, scope["method"], str(status)).inc()
            self._metrics.request_seconds.labels(operation).observe(seconds)
            if scope["path"] not in QUIET:
                access.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                    operation=operation,
                )

"""A connection over HTTP/1.1 as uvicorn has it, without what each request would cost: a second write, and a timer."""

from asyncio import Event
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

FORBIDDEN_IN_VALUES: Final = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)


class Exchange(RequestResponseCycle):
    """A request and its answer, which is one write where it is there as a whole."""

    _head: HTTPResponseStartEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer; a head that says how long the body is waits for it."""
        if message["type"] == "http.response.start" and not self.response_started:
            if b"content-length" in dict(message.get("headers", ())):
                self._head = message
                return
        elif self._head is not None and message["type"] == "http.response.body":
            head, self._head = self._head, None
            if self._send_whole(head, message):
                return
            await super().send(head)
        await super().send(message)

    def _send_whole(self, head: HTTPResponseStartEvent, message: HTTPResponseBodyEvent) -> bool:
        """Send head and body together, unless something about them wants uvicorn's closer look."""
        if (
            message.get("more_body", False)
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or self.access_log
            or self.scope["method"] == "HEAD"
        ):
            return False
        body = message.get("body", b"")
        headers = (*self.default_headers, *head.get("headers", ()))
        by_name = dict(headers)
        if by_name.get(b"content-length") != b"%d" % len(body) or not all(map(_is_plain, by_name)):
            return False
        lines = b"\r\n".join(map(b": ".join, headers))
        if len(lines) - len(lines.translate(None, FORBIDDEN_IN_VALUES)) != 2 * (len(headers) - 1):
            # A value would break out of its line.
            return False
        self.response_started = self.response_complete = True
        self.transport.write(b"".join((STATUS_LINE[head["status"]], lines, b"\r\n\r\n", body)))
        self.message_event.set()
        self.on_response()
        return True


@lru_cache(maxsize=256)
def _is_plain(name: bytes) -> bool:
    """Whether a header's name is written as it is sent, and means nothing to the connection."""
    return name == name.lower() and not HEADER_RE.search(name) and name not in (b"connection", b"transfer-encoding")


class Connection(HttpToolsProtocol):
    """One client's connection; a request costs it no timer."""

    _idle_since: float | None = None

    def on_headers_complete(self) -> None:
        """Begin to answer a request, or let it wait for the one before it."""
        version = self.parser.get_http_version()
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        raw_path, query = self.url, b""
        if not raw_path.startswith(b"/") or b"?" in raw_path or b"#" in raw_path:
            url = httptools.parse_url(raw_path)
            raw_path, query = url.path, url.query or b""
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        before = self.cycle
        self.cycle = Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_response_complete(self) -> None:
        """Go on with the request that has come meanwhile, or be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough; one that was used meanwhile is looked at again."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_again_after(left_s)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let nothing wait for a connection that is gone."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _unset_keepalive_if_required(self) -> None:
        # The timer goes on, and finds that the connection was used.
        self._idle_since = None

    def _look_again_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

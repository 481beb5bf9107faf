"""A connection: what goes out in one write, what in several, and when it is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from govkernel.processes.connection import Connection

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Written(asyncio.Transport):
    """A transport that keeps what is written, one item a write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


class Client:
    """The other end of one connection to an application."""

    def __init__(
        self, app: Application, *, keep_alive_s: float = 60, protocol: type[HttpToolsProtocol] = Connection
    ) -> None:
        config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off", ws="none")
        config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # whole seconds are too long for a test
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.connection = protocol(config, self.state, {})
        self.transport = Written()
        self.connection.connection_made(self.transport)

    async def ask(self, *lines: str, version: str = "1.1") -> list[bytes]:
        """What is written for a request, once all is answered."""
        first = len(self.transport.writes)
        self.send(*lines, version=version)
        await self.answered()
        return self.transport.writes[first:]

    def send(self, *lines: str, version: str = "1.1") -> None:
        method, *headers = lines
        self.connection.data_received(
            "\r\n".join([f"{method} HTTP/{version}", "Host: here", *headers, "", ""]).encode()
        )

    async def answered(self) -> None:
        while self.state.tasks:
            await asyncio.wait(self.state.tasks)


def head_and_body(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


async def test_an_answer_that_is_there_as_a_whole_is_one_write() -> None:
    client = Client(Response("done", 201, {"ETag": '"3"'}, "text/plain"))
    (written,) = await client.ask("GET /funds?which=all")
    head, body = head_and_body(written)
    assert (head[0], body) == (b"HTTP/1.1 201 Created", b"done")
    assert {b"date: today", b'etag: "3"', b"content-length: 4"} < set(head)
    assert (client.state.total_requests, client.transport.is_closing()) == (1, False)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Response("done", 201, {"ETag": '"3"', "X-Said": "caf\xe9\tau lait"}, "text/plain"),
        lambda: Response(b"", 204),
        lambda: Response(b"x" * 100_000, 503, {"Retry-After": "1"}),
        lambda: Response("bye", 200, {"Connection": "close"}),
        lambda: StreamingResponse(iter([b"a", b"b"])),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_what_is_written_is_what_uvicorn_writes(
    answer: Callable[[], Response], method: str, version: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer()(scope, receive, send)

    ours, theirs = Client(app), Client(app, protocol=HttpToolsProtocol)
    written = [b"".join(await client.ask(f"{method} /", version=version)) for client in (ours, theirs)]
    assert written[0] == written[1] != b""
    assert ours.transport.is_closing() == theirs.transport.is_closing()


async def test_what_a_request_says_is_in_its_scope() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        message = await receive()
        await PlainTextResponse(message["body"])(scope, receive, send)

    client = Client(app)
    (written,) = await client.ask("POST /a%20b?c=%20d", "Content-Length: 0", "If-Match: 3")
    assert head_and_body(written)[1] == b""
    (scope,) = scopes
    said = {name: scope[name] for name in ("method", "http_version", "path", "raw_path", "query_string")}
    assert said == {
        "method": "POST",
        "http_version": "1.1",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=%20d",
    }
    assert (b"if-match", b"3") in scope["headers"]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/funds", "/funds", b""),
        ("//funds/", "//funds/", b""),
        ("/funds?", "/funds", b""),
        ("/funds#top", "/funds", b""),
        ("/funds?a=/b?c", "/funds", b"a=/b?c"),
        ("http://here/funds?a=b", "/funds", b"a=b"),
    ],
)
async def test_an_address_is_told_from_its_query(target: str, path: str, query: bytes) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await Response()(scope, receive, send)

    await Client(app).ask(f"GET {target}")
    assert [(scope["path"], scope["raw_path"], scope["query_string"]) for scope in scopes] == [
        (path, path.encode(), query)
    ]


async def test_what_is_no_http_is_answered_400() -> None:
    client = Client(Response("done"))
    client.connection.data_received(b"nothing of the kind\r\n\r\n")
    assert client.transport.writes[0].startswith(b"HTTP/1.1 400 ")
    assert client.transport.is_closing()


async def test_a_stream_begins_before_its_first_line_is_there() -> None:
    first = asyncio.Event()

    async def lines() -> Any:
        await first.wait()
        yield "one\n"

    client = Client(StreamingResponse(lines()))
    client.send("GET /")
    while not client.transport.writes:
        await asyncio.sleep(0)
    assert client.transport.writes[0].endswith(b"transfer-encoding: chunked\r\n\r\n")
    first.set()
    await client.answered()
    assert b"".join(client.transport.writes[1:]) == b"4\r\none\n\r\n0\r\n\r\n"


async def test_no_body_is_written_where_only_the_head_is_asked_for() -> None:
    client = Client(Response("done"))
    answer = b"".join(await client.ask("HEAD /"))
    assert b"content-length: 4" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("version", "headers"), [("1.0", ()), ("1.1", ("Connection: close",))])
async def test_a_connection_that_is_not_kept_is_closed_behind_the_answer(
    version: str, headers: tuple[str, ...]
) -> None:
    client = Client(Response("done"))
    head, body = head_and_body(b"".join(await client.ask("GET /", *headers, version=version)))
    assert b"connection: close" in head
    assert (body, client.transport.is_closing()) == (b"done", True)


async def test_an_answer_may_close_its_connection() -> None:
    client = Client(Response("done", headers={"Connection": "close"}))
    assert b"done" in b"".join(await client.ask("GET /"))
    assert client.transport.is_closing()


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"4"), (b"etag", b"3\r\nset-cookie: a=b")],
        [(b"content-length", b"4"), (b"etag:", b"3")],
        [(b"content-length", b"5")],
        [(b"content-length", b"3")],
    ],
)
async def test_no_answer_breaks_out_of_its_headers_or_its_length(headers: list[tuple[bytes, bytes]]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    client = Client(app)
    written = b"".join(await client.ask("GET /"))
    assert b"set-cookie" not in written
    assert client.transport.is_closing()


async def test_a_fault_between_head_and_body_is_answered_500() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        raise LookupError

    client = Client(app)
    head, _ = head_and_body(b"".join(await client.ask("GET /")))
    assert head[0] == b"HTTP/1.1 500 Internal Server Error"
    assert client.transport.is_closing()


async def test_requests_that_come_together_are_answered_in_turn() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0 if scope["path"] == "/second" else 0.01)
        await PlainTextResponse(scope["path"])(scope, receive, send)

    client = Client(app)
    client.connection.data_received(
        b"".join(b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n" % p for p in (b"first", b"second"))
    )
    await client.answered()
    assert [head_and_body(each)[1] for each in client.transport.writes] == [b"/first", b"/second"]


async def test_nothing_is_written_to_who_is_gone() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await gone.wait()
        assert (await receive())["type"] == "http.disconnect"
        await Response("done")(scope, receive, send)

    client = Client(app)
    client.send("GET /")
    await asked.wait()
    client.connection.connection_lost(None)
    gone.set()
    await client.answered()
    assert client.transport.writes == []


async def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await go_on.wait()
        await Response("done")(scope, receive, send)

    client = Client(app, keep_alive_s=0.05)
    loop = asyncio.get_running_loop()
    await client.ask("GET /")
    client.send("GET /slow")
    await asyncio.sleep(0.15)
    assert not client.transport.is_closing()
    go_on.set()
    await client.answered()
    idle_since = loop.time()
    async with asyncio.timeout(10):
        await client.transport.closed.wait()
    assert loop.time() - idle_since > 0.04


async def test_a_server_that_stops_closes_what_is_idle_at_once_and_the_rest_behind_its_answer() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await go_on.wait()
        await Response("done")(scope, receive, send)

    idle, busy = Client(app), Client(app)
    await idle.ask("GET /")
    busy.send("GET /slow")
    await asyncio.sleep(0)
    for each in (idle, busy):
        each.connection.shutdown()
    assert (idle.transport.is_closing(), busy.transport.is_closing()) == (True, False)
    go_on.set()
    await busy.answered()
    assert b"connection: close" in b"".join(busy.transport.writes)
    assert busy.transport.is_closing()

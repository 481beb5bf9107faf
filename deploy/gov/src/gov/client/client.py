"""Commands and queries over HTTP, sent again with the same key until a service that is away has come back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

import httpx2
import msgspec

from gov.client.addresses import Addresses, Misconfigured
from gov.client.problems import Refused, problem_of

AWAY_STATUSES: Final = frozenset({429, 502, 503, 504})
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
LARGEST_PAGE: Final = 200
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Unavailable(Exception):
    """A service, or the issuer of tokens, does not answer, or says that it can't at the moment."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service} is away: {reason}; see `gov status`, and run the command again")
        self.service = service


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command was answered.

    `events` are the types of the events that were added. `repeated` says that the command had been answered before,
    and not perhaps by an earlier try of this same call. `seen` is the stream's version, for `seen=` of what follows.
    """

    status: int
    stream: UUID
    version: int
    events: tuple[str, ...]
    repeated: bool

    @property
    def seen(self) -> str:
        """The version that the answer shows, as Gov-Min-Version takes it."""
        return f"{self.stream}@{self.version}"


def new_key() -> str:
    """An idempotency key for a command that is said once."""
    return f"gov-{uuid4()}"


class Client:
    """Speaks to every service as one person.

    `token` is that person's; without one the demo issuer gives it to `username`. Where a service is away, requests are
    sent again for `patience_s`; `on_wait` is told each time of which service and why. It is an async context manager.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        token: str | None = None,
        username: str = "ana",
        patience_s: float = 0.0,
        connections: int = 16,
        on_wait: Callable[[str, str], None] = lambda _service, _reason: None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.addresses = addresses
        self._token = token
        self._username = username
        self._patience_s = patience_s
        self._on_wait = on_wait
        self._signing_in = asyncio.Lock()
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(30.0, connect=5.0, pool=None),
            limits=httpx2.Limits(max_connections=connections),
            transport=transport,
            # A proxy for the web is none for this machine's own services.
            mounts={f"all://{host}": transport or httpx2.AsyncHTTPTransport() for host in LOOPBACK},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def token(self) -> str:
        """The bearer token. Raises Misconfigured, Unavailable, or Refused for a name that the issuer doesn't know."""
        async with self._signing_in:
            if self._token is None:
                form = {"grant_type": "password", "username": self._username}
                answered, _ = await self._persist("issuer", "POST", "/token", {}, data=form)
                if answered.status_code != httpx2.codes.OK:
                    described = _read("issuer", answered).get("error_description", "it gave no reason")
                    raise Misconfigured(f"the demo issuer signs {self._username!r} in as nobody: {described}")
                self._token = str(_read("issuer", answered)["access_token"])
            return self._token

    async def command(
        self,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        if_match: int | None = None,
        time: datetime | None = None,
        demo_time: datetime | None = None,
        seen: Iterable[str] = (),
    ) -> Answer:
        """Send a command to a service's ledger. Raises Refused, Unavailable, NotRunning or Misconfigured.

        `time` is when an imported fact was known, `demo_time` the demo clock; `seen` are versions that the service must
        have seen first.
        """
        headers = {"Idempotency-Key": key or new_key()}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if time is not None:
            headers["Gov-Time"] = time.isoformat()
        if demo_time is not None:
            headers["Gov-Demo-Time"] = demo_time.isoformat()
        began = datetime.now(UTC)
        answered, doubtful = await self._signed(service, "POST", path, headers, body=body, seen=seen)
        repeated = "Gov-Repeated" in answered.headers
        # An earlier try of this very call may have been answered without our hearing of it.
        own = doubtful and datetime.fromisoformat(answered.headers.get("Gov-Answered-At", began.isoformat())) >= began
        if answered.is_error:
            raise Refused(problem_of(answered), service=service, repeated=repeated)
        content = _read(service, answered)
        return Answer(
            status=answered.status_code,
            stream=UUID(content["stream"]),
            version=int(content["version"]),
            events=tuple(event["type"] for event in content["events"]),
            repeated=repeated and not own,
        )

    async def post(self, service: str, path: str, body: Mapping[str, Any] | None = None, *, key: str) -> Any:
        """Ask for a step that is no command of a ledger, and return its answer. Raises as `command` does."""
        answered, _ = await self._signed(service, "POST", path, {"Idempotency-Key": key}, body=body)
        if answered.is_error:
            raise Refused(problem_of(answered), service=service)
        return _read(service, answered) if answered.content else None

    async def query(
        self,
        service: str,
        path: str,
        parameters: Mapping[str, str | int | None] | None = None,
        *,
        seen: Iterable[str] = (),
    ) -> Any:
        """Ask; parameters that are None are left out. Raises as `command` does."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        answered, _ = await self._signed(service, "GET", path, {}, parameters=given, seen=seen)
        if answered.is_error:
            raise Refused(problem_of(answered), service=service)
        return _read(service, answered)

    async def document(
        self, service: str, path: str, parameters: Mapping[str, str | int | None] | None = None
    ) -> bytes:
        """Ask for what is no JSON, such as a calendar. Raises as `command` does."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        answered, _ = await self._signed(service, "GET", path, {}, parameters=given)
        if answered.is_error:
            raise Refused(problem_of(answered), service=service)
        return answered.content

    async def version_of(self, service: str, path: str) -> int:
        """The version of a stream that a service shows under a path. Raises as `command` does."""
        answered, _ = await self._signed(service, "GET", path, {})
        if answered.is_error:
            raise Refused(problem_of(answered), service=service)
        return int(answered.headers["ETag"].strip('"'))

    async def items(
        self, service: str, path: str, parameters: Mapping[str, str | int | None] | None = None
    ) -> AsyncIterator[Any]:
        """Every item of a list that comes in pages. Raises as `command` does."""
        cursor: str | None = None
        while True:
            page = await self.query(service, path, {**(parameters or {}), "limit": LARGEST_PAGE, "cursor": cursor})
            for item in page["items"]:
                yield item
            cursor = page["next"]
            if cursor is None:
                return

    async def whole(
        self, service: str, path: str, parameters: Mapping[str, str | int | None] | None = None
    ) -> dict[str, Any]:
        """An answer whose rows come in pages, as one: all rows, and what else its first page says.

        Raises as `command` does.
        """
        given: dict[str, str | int | None] = {**(parameters or {}), "limit": LARGEST_PAGE}
        found: dict[str, Any] = await self.query(service, path, given)
        following = found["next"]
        while following is not None:
            page = await self.query(service, path, {**given, "cursor": following})
            found["rows"] += page["rows"]
            following = page["next"]
        return {**found, "next": None}

    async def lines(
        self, service: str, path: str, parameters: Mapping[str, str | int | None] | None = None
    ) -> AsyncIterator[Any]:
        """Each line of an answer that takes its time. Raises as `command` does, also where it breaks off."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        url = self.addresses.of(service) + path
        headers = {"Authorization": f"Bearer {await self.token()}"}
        try:
            async with self._http.stream("GET", url, headers=headers, params=given) as answered:
                if answered.is_error:
                    await answered.aread()
                    problem = problem_of(answered)
                    if answered.status_code in AWAY_STATUSES:
                        raise Unavailable(service, problem.detail)
                    raise Refused(problem, service=service)
                async for line in answered.aiter_lines():
                    yield msgspec.json.decode(line)
        except httpx2.TransportError as error:
            raise Unavailable(service, f"{url} gives no answer ({str(error) or type(error).__name__})") from error

    async def _signed(
        self,
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str | int] | None = None,
        seen: Iterable[str] = (),
    ) -> tuple[httpx2.Response, bool]:
        sent = {**headers, "Authorization": f"Bearer {await self.token()}"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        versions = ",".join(seen)
        if versions:
            sent["Gov-Min-Version"] = versions
        return await self._persist(service, method, path, sent, content=content, params=parameters)

    async def _persist(
        self, service: str, method: str, path: str, headers: Mapping[str, str], **request: Any
    ) -> tuple[httpx2.Response, bool]:
        """The answer, and whether an earlier try may have had its effect without our hearing of it."""
        url = self.addresses.of(service) + path
        clock = asyncio.get_running_loop().time
        began, pause_s, doubtful = clock(), FIRST_PAUSE_S, False
        while True:
            asked_for_s = 0.0
            try:
                answered = await self._http.request(method, url, headers=headers, **request)
                if answered.status_code not in AWAY_STATUSES:
                    return answered, doubtful
                doubtful = True
                reason = problem_of(answered).detail
                after = answered.headers.get("retry-after", "")
                asked_for_s = min(float(after), LONGEST_PAUSE_S) if after.isdecimal() else 0.0
            except httpx2.TransportError as error:
                doubtful = doubtful or not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                reason = f"{url} gives no answer ({str(error) or type(error).__name__})"
            if clock() - began + pause_s > self._patience_s:
                raise Unavailable(service, reason)
            self._on_wait(service, reason)
            await asyncio.sleep(max(asked_for_s, pause_s * random.uniform(0.5, 1.0)))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _read(service: str, answered: httpx2.Response) -> Any:
    try:
        return msgspec.json.decode(answered.content)
    except msgspec.DecodeError:
        url = answered.request.url
        raise Misconfigured(
            f"{service}: {url} answers {answered.status_code}, but not as Gatehouse does; check the address"
        ) from None

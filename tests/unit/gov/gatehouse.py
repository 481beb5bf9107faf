"""A Gatehouse in memory behind the client's transport: it answers commands once, and can be told to fail."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx2

from gov.client import Addresses, Client
from gov.client.addresses import SERVICES

Fault = Callable[[httpx2.Request], httpx2.Response | Exception | None]
"""What happens instead of an answer: a response, an error of the connection, or nothing out of the ordinary."""


def problem(status: int, slug: str, detail: str = "no", **more: Any) -> httpx2.Response:
    body = {"type": f"urn:gatehouse:problem:{slug}", "title": detail, "status": status, "detail": detail, **more}
    return httpx2.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@dataclass
class Gatehouse:
    """Commands that were taken in their order, as (path, body); `before` and `after` may make a request fail."""

    portfolios: dict[str, str] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[httpx2.Headers] = field(default_factory=list)
    answers: dict[str, tuple[datetime, httpx2.Response]] = field(default_factory=dict)
    before: Fault = lambda _: None
    after: Fault = lambda _: None

    def client(self, *, patience_s: float = 10.0) -> Client:
        addresses = Addresses({name: f"http://{name}.example" for name in SERVICES})
        return Client(addresses, token="a-token", patience_s=patience_s, transport=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Authorization"] == "Bearer a-token"
        failed = self.before(request)
        if failed is None:
            answer = self._query(request) if request.method == "GET" else self._command(request)
            failed = self.after(request)
        else:
            answer = httpx2.Response(500)
        if isinstance(failed, Exception):
            raise failed
        return failed or answer

    def _query(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/portfolios":
            items = [{"portfolio": known, "name": name} for name, known in self.portfolios.items()]
        elif path == "/bodies":
            items = [{"body": known, "name": name} for name, known in self.bodies.items()]
        else:
            assert path == "/projects", path
            items = [{"project": known, "reference": reference} for reference, known in self.projects.items()]
        start = int(request.url.params.get("cursor", "0"))
        # Pages of one, so that every list is read to its end.
        following = str(start + 1) if start + 1 < len(items) else None
        return httpx2.Response(200, json={"items": items[start : start + 1], "next": following})

    def _command(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers["Idempotency-Key"]
        if key in self.answers:
            answered_at, earlier = self.answers[key]
            headers = {"Gov-Repeated": "true", "Gov-Answered-At": answered_at.isoformat()}
            return httpx2.Response(earlier.status_code, content=earlier.content, headers=headers)
        body = json.loads(request.content)
        path = request.url.path
        stream = self.stream_of(path, body)
        self.taken.append((path, body))
        self.headers.append(request.headers)
        if path == "/portfolios":
            self.portfolios[body["name"]] = str(stream)
        if path == "/projects":
            self.projects[body["reference"]] = str(stream)
        events = [{"id": f"{stream}@1", "type": "example.Recorded"}]
        answer = httpx2.Response(201, json={"stream": str(stream), "version": 1, "events": events})
        self.answers[key] = datetime.now(UTC), answer
        return answer

    def stream_of(self, path: str, body: Any) -> UUID:
        named = body.get("reference") or body.get("name") or json.dumps(body)
        return uuid5(NAMESPACE_URL, f"{path} {body.get('portfolio')} {named}")

    def paths(self) -> list[str]:
        return [path for path, _ in self.taken]

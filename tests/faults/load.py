"""The load: clients that ask over HTTP, ask again where nobody answered, race, and repeat themselves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx2
from tests.faults.history import AGAIN, Answered, Asked, History, Invoked, What, now

CLIENTS: Final = 20
TIMEOUT_S: Final = 3.0
MOST_ATTEMPTS: Final = 4
RECENT: Final = 8
"""Among how many of the newest jars clients choose: few, so that they meet."""


@dataclass(slots=True)
class Known:
    """What clients have learnt: streams by their newest version that they were told."""

    policies: dict[UUID, int] = field(default_factory=dict)
    jars: dict[UUID, int] = field(default_factory=dict)

    def learn(self, asked: Asked, answered: Answered) -> None:
        """Remember what an answer says."""
        if answered.status not in (200, 201, 412) or answered.version is None:
            return
        stream = asked.stream or UUID(answered.body["stream"])
        known = self.policies if "policy" in asked.what else self.jars
        known[stream] = max(answered.version, known.get(stream, 0))


class Load:
    """Clients of one service. `seats` gives the replicas' names to choose from, `address` where each is to be asked."""

    def __init__(
        self, history: History, *, seed: int, token: str, seats: Callable[[], list[str]], address: Callable[[str], str]
    ) -> None:
        self._history = history
        self._random = Random(seed)
        self._seats = seats
        self._address = address
        self._numbers = count(1)
        self._known = Known()
        self._open: dict[int, Asked] = {}
        self._attempts: dict[int, int] = {}
        self._answered: list[Asked] = []
        # Replicas die and links break, so that a connection is seldom worth keeping for long.
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=40, keepalive_expiry=5)
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S, limits=limits, trust_env=False
        )

    async def run(self, stop: asyncio.Event, *, pause_s: float) -> None:
        """Ask until told to stop; every client ends its request first."""
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(self._client(Random(self._random.random() + number), stop, pause_s))

    async def settle(self, *, within_s: float) -> int:
        """Ask again for whatever has no answer yet; how much is still open when the time is over."""
        deadline = now() + within_s
        while self._open and now() < deadline:
            await asyncio.gather(*(self._again(asked) for asked in list(self._open.values())[:20]))
            await asyncio.sleep(0.2)
        return len(self._open)

    async def close(self) -> None:
        """Disconnect."""
        await self._http.aclose()

    async def _client(self, random: Random, stop: asyncio.Event, pause_s: float) -> None:
        while not stop.is_set():
            asked = self._next(random)
            if asked.key is not None and random.random() < 0.12:
                # The same key at once, to whoever is there.
                await asyncio.gather(*(self._attempt(asked, seat) for seat in self._seats()[:2]))
            else:
                await self._attempt(asked, random.choice(self._seats()))
            while asked.operation in self._open and self._attempts[asked.operation] < MOST_ATTEMPTS:
                if stop.is_set():
                    return
                await asyncio.sleep(random.uniform(0.05, 0.8))
                await self._attempt(asked, random.choice(self._seats()))
            await asyncio.sleep(random.uniform(0, 2 * pause_s))

    async def _again(self, asked: Asked) -> None:
        await self._attempt(asked, self._random.choice(self._seats()))

    def _next(self, random: Random) -> Asked:
        policies, jars = list(self._known.policies)[-2:], list(self._known.jars)[-RECENT:]
        drawn = random.random()
        if not policies or drawn < 0.01:
            return self._ask("open_policy", None, "/policies", largest=random.randint(5, 12))
        policy = random.choice(policies)
        if not jars or drawn < 0.09:
            rings_in_ms = random.choice((0, 200, 1500, 4000, 9000))
            limit = random.randint(2, 9)
            return self._ask("open_jar", None, "/jars", limit=limit, policy=str(policy), rings_in_ms=rings_in_ms)
        if drawn < 0.20:
            # Most say which version they have seen, some an old one.
            seen = max(1, self._known.policies[policy] - (random.random() < 0.15))
            path = f"/policies/{policy}/largest"
            return self._ask("change_policy", policy, path, if_match=seen, largest=random.randint(5, 12))
        if drawn < 0.203 and len(policies) > 1:
            return self._ask("close_policy", policy, f"/policies/{policy}/closure", reason="enough")
        jar = random.choice(jars)
        if drawn < 0.225:
            if_match = self._known.jars[jar] if random.random() < 0.5 else None
            return self._ask("close_jar", jar, f"/jars/{jar}/closure", if_match=if_match, reason="enough")
        if drawn < 0.32:
            return self._ask("get_jar", jar, f"/jars/{jar}")
        if drawn < 0.34 and self._answered:
            return self._reusing(random.choice(self._answered[-20:]))
        by = f"coin-{random.randint(0, 10**9)}"
        return self._ask("add_coin", jar, f"/jars/{jar}/coins", by=by, amount=random.randint(1, 12))

    def _ask(self, what: What, stream: UUID | None, path: str, *, if_match: int | None = None, **fields: Any) -> Asked:
        number = next(self._numbers)
        key = None if what == "get_jar" else f"key-{number}"
        return self._new(Asked(number, now(), what, key, path, stream, fields, if_match))

    def _reusing(self, before: Asked) -> Asked:
        number = next(self._numbers)
        fields = {**before.fields, **({"by": f"other-{number}"} if "by" in before.fields else {"reason": str(number)})}
        return self._new(
            Asked(
                number,
                now(),
                before.what,
                before.key,
                before.path,
                before.stream,
                fields,
                before.if_match,
                before.operation,
            )
        )

    def _new(self, asked: Asked) -> Asked:
        self._history.add(asked)
        self._attempts[asked.operation] = 0
        if asked.key is not None:
            self._open[asked.operation] = asked
        return asked

    async def _attempt(self, asked: Asked, seat: str) -> None:
        self._attempts[asked.operation] += 1
        attempt = self._attempts[asked.operation]
        headers = {"Idempotency-Key": asked.key} if asked.key is not None else {}
        if asked.if_match is not None:
            headers["If-Match"] = f'"{asked.if_match}"'
        url = self._address(seat) + asked.path
        self._history.add(Invoked(asked.operation, attempt, now(), seat))
        try:
            if asked.key is None:
                answer = await self._http.get(url)
            else:
                answer = await self._http.post(url, json=asked.fields, headers=headers)
            body = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            self._history.add(Answered(asked.operation, attempt, now(), None, failure=repr(error)))
            return
        tag = answer.headers.get("etag")
        answered = Answered(
            asked.operation,
            attempt,
            now(),
            answer.status_code,
            body,
            int(tag.strip('"')) if tag else None,
            "gov-repeated" in answer.headers,
        )
        self._history.add(answered)
        if answered.status not in AGAIN:
            self._open.pop(asked.operation, None)
            self._known.learn(asked, answered)
            mine = asked.key is not None and asked.reuses is None and answered.status in (200, 201, 409)
            if mine and asked.what in ("add_coin", "close_jar", "close_policy"):
                self._answered.append(asked)

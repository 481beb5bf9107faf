"""Two replicas are asked at the same moment for what excludes itself, and the history explains every answer afterwards."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
from tests.integration.approvals.explaining import Told, explain
from tests.integration.approvals.room import EVIDENCE, Room, assign, furnished, register
from tests.support.services import Service, done, service_over, subject

from approvals.entrypoints.processes import APPROVALS
from govevents.approvals import ReviewConcluded, ReviewEscalated, ReviewWithdrawn, Role
from govkernel.domain import NodeId

RACES: Final = int(os.environ.get("GOV_TEST_RACES", "200"))
"""How many races there are, of all kinds together; GOV_TEST_RACES=5000 and --timeout 0 make a long run."""
SEED: Final = int(os.environ.get("GOV_TEST_RACES_SEED", "1"))
AT_ONCE: Final = 8
MOST_ATTEMPTS: Final = 30
CHOICES: Final = ("approve", "approve", "reject", "return", "abstain")
GATES: Final[dict[str, dict[str, Any]]] = {
    "G2": {"rule": "consensus"},
    "G3": {"rule": "threshold", "threshold": "0.67", "quorum": {"minimum": 1, "share": "1"}},
    "G4": {"time_limit": {"days": 14, "then": "lapse"}},
    "G5": {"time_limit": {"days": 14, "then": "escalate"}},
}


@dataclass
class Race:
    """A review that rivals meet at, and what they were told."""

    review: str
    told: list[Told] = field(default_factory=list)
    delegations: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """Two replicas of approvals over one database."""

    room: Room
    replicas: tuple[Service, Service]
    random: Random
    clients: dict[tuple[int, str], httpx2.AsyncClient] = field(default_factory=dict)
    keys: int = 0

    async def client(self, who: str, replica: int) -> httpx2.AsyncClient:
        """A person's client of a replica."""
        if (replica, who) not in self.clients:
            self.clients[replica, who] = await self.replicas[replica].client(who)
        return self.clients[replica, who]

    async def ask(self, who: str, path: str, body: dict[str, Any], seen: int | None = None) -> list[httpx2.Response]:
        """Ask one of the replicas, and sometimes both at once under the same key."""
        self.keys += 1
        headers = {"Idempotency-Key": str(self.keys)} | ({} if seen is None else {"If-Match": f'"{seen}"'})
        which = self.random.choice([(0,), (1,), (0,), (1,), (0, 1)])
        return await asyncio.gather(*(self.post(who, replica, path, body, headers) for replica in which))

    async def post(
        self, who: str, replica: int, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx2.Response:
        """Ask a replica; what it can't answer at the moment is sent again under its key, as it says."""
        client = await self.client(who, replica)
        for _ in range(MOST_ATTEMPTS):
            answer = await client.post(path, json=body, headers=headers)
            if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                return answer
        raise AssertionError(f"{path} is never answered")

    async def begin(self, who: str, path: str, body: dict[str, Any], seen: int | None = None) -> str:
        """Ask for what nobody contends; the stream's id."""
        self.keys += 1
        headers = {"Idempotency-Key": str(self.keys)} | ({} if seen is None else {"If-Match": f'"{seen}"'})
        answer = await self.post(who, 0, path, body, headers)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["stream"])

    async def do(self, race: Race, who: str, noun: str, body: dict[str, Any], *, seen: bool = False) -> None:
        """Ask something of the race's review until it is answered by more than that it has moved on."""
        wanted = {key: value for key, value in body.items() if key != "who"}
        for _ in range(MOST_ATTEMPTS):
            version = await self.version(race) if seen else None
            answers = await self.ask(who, f"/reviews/{race.review}/{noun}", wanted, version)
            for answer in answers:
                race.told.append(Told(who, noun, body, version, answer.status_code, answer.json()))
            kept = {(answer.status_code, answer.text) for answer in answers if answer.status_code != 412}
            assert len({status for status, _ in kept}) <= 1, f"one key has one answer: {kept}"
            if kept:
                return
        raise AssertionError(f"{who} never got through with {noun}")

    async def version(self, race: Race) -> int:
        """The version of the review as one of the replicas shows it."""
        client = await self.client("aud", self.random.choice([0, 1]))
        shown = await client.get(f"/reviews/{race.review}")
        assert shown.status_code == 200, shown.text
        return int(shown.headers["etag"].strip('"'))

    async def vote(self, race: Race, who: str, delegation: str | None = None) -> None:
        """Somebody votes as they please."""
        body = {"choice": self.random.choice(CHOICES), "reason": "The case.", "delegation": delegation}
        await self.do(race, who, "votes", body, seen=True)

    async def opened(self, gate: str) -> Race:
        """A review that takes votes."""
        race = Race(await self.begin("max", "/reviews", self.room.question(gate=gate)))
        await self.begin("max", f"/reviews/{race.review}/submissions", {"proposed": "go"}, seen=1)
        return race

    async def delegated(self, race: Race, who: str, to: str) -> str:
        """A delegation for this race."""
        body = {
            "delegate": str(subject(to)),
            "node": self.room.portfolio,
            "first_day": "2020-01-01",
            "last_day": "2999-12-31",
            "reason": "On leave.",
        }
        race.delegations.append(await self.begin(who, "/delegations", body))
        return race.delegations[-1]

    async def revoke(self, delegation: str, who: str) -> None:
        """Take a delegation back."""
        answers = await self.ask(who, f"/delegations/{delegation}/revocations", {"reason": "Back."})
        for answer in answers:
            done(answer)

    async def fire(self, at: datetime) -> None:
        """Let both replicas answer every deadline up to a moment."""
        await asyncio.gather(
            *(replica.runtime.timers.fire_due(at) for replica in self.replicas if replica.runtime.timers)
        )


ENDINGS: Final = (ReviewConcluded, ReviewEscalated, ReviewWithdrawn)
Rivals = list[Awaitable[None]]


async def last_votes(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened(stage.random.choice(["G1", "G2", "G3"]))
    voters = ["ana", "bo", "cy", stage.random.choice(["ana", "bo", "cy"])]
    return race, [stage.vote(race, who) for who in voters]


async def revocation(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened("G1")
    delegation = await stage.delegated(race, "ana", "con")
    rivals = [stage.vote(race, "con", delegation), stage.revoke(delegation, stage.random.choice(["ana", "con", "pia"]))]
    return race, [*rivals, *(stage.vote(race, who) for who in stage.random.choice([(), ("bo",), ("ana",)]))]


async def withdrawal(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened("G1")
    taken_back = stage.do(race, "max", "withdrawals", {"reason": "Not needed."})
    return race, [stage.vote(race, "ana"), stage.vote(race, "bo"), taken_back]


async def other_evidence(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened(stage.random.choice(["G1", "G2"]))
    changed = {"evidence": [{**EVIDENCE, "sha256": "b" * 64}], "remark": "Newer."}
    return race, [
        stage.vote(race, "ana"),
        stage.vote(race, "bo"),
        stage.do(race, "max", "evidence", changed, seen=True),
    ]


async def time_limit(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened(stage.random.choice(["G4", "G5"]))
    submitted = (await stage.room.service.runtime.ledger.events(UUID(race.review)))[1].event
    voters = stage.random.sample(["ana", "bo", "cy"], stage.random.choice([1, 2, 3]))
    return race, [*(stage.vote(race, who) for who in voters), stage.fire(submitted.closes_at)]


async def recusal(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened(stage.random.choice(["G1", "G2", "G3", "G5"]))
    gone, by = stage.random.choice([("cy", "cy"), ("ana", "pia"), ("bo", "bo")])
    body = {"who": gone, "reason": "A stake."} | ({} if gone == by else {"account": str(subject(gone))})
    return race, [*(stage.vote(race, who) for who in ("ana", "bo", "cy")), stage.do(race, by, "recusals", body)]


KINDS: Final[tuple[Callable[[Stage], Awaitable[tuple[Race, Rivals]]], ...]] = (
    last_votes,
    revocation,
    withdrawal,
    other_evidence,
    time_limit,
    recusal,
)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    """The room of the reviews with two replicas, a council above its board, and gates with every rule."""
    async with service_over(APPROVALS, database) as one, service_over(APPROVALS, database) as other:
        room = await furnished(one)
        for name in ("eve", "fay"):
            await register(one, name)
            done(await assign(one, name, Role.APPROVER, room.portfolio), 201)
        await one.follow_itself()
        pmo = await one.client("pia")
        formed = done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)
        for name in ("eve", "fay"):
            seat = {"member": str(subject(name)), "chair": name == "eve", "first_day": "2020-01-01"}
            done(await pmo.post(f"/bodies/{formed['stream']}/members", json=seat))
        for gate, changed in GATES.items():
            above = {"escalate_to": formed["stream"]} if gate == "G5" else {}
            await room.publish(gate=gate, **above, **changed)
        yield Stage(room, (one, other), Random(SEED))


async def run(stage: Stage, kind: Callable[[Stage], Awaitable[tuple[Race, Rivals]]]) -> Race:
    """One race: nobody waits for anybody, and who begins a little earlier is drawn."""
    race, rivals = await kind(stage)
    longest_s = stage.random.choice([0, 0.05, 0.2])

    async def start(rival: Awaitable[None], after_s: float) -> None:
        await asyncio.sleep(after_s)
        await rival

    await asyncio.gather(*(start(rival, stage.random.uniform(0, longest_s)) for rival in rivals))
    return race


async def test_the_history_explains_itself_after_every_race(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    room, ledger = stage.room, stage.room.service.runtime.ledger
    nodes = frozenset({NodeId(UUID(room.project)), NodeId(UUID(room.portfolio))})
    endings: Counter[str] = Counter()
    for first in range(0, RACES, AT_ONCE):
        kinds = [KINDS[number % len(KINDS)] for number in range(first, min(RACES, first + AT_ONCE))]
        races = await asyncio.gather(*(run(stage, kind) for kind in kinds))
        await room.service.follow_itself()
        wanted = [UUID(each) for race in races for each in (race.review, *race.delegations)]
        rows = await ledger.pool.fetch("SELECT seq, stream, version FROM events WHERE stream = ANY($1)", wanted)
        order = {(row["stream"], row["version"]): row["seq"] for row in rows}
        for kind, race in zip(kinds, races, strict=True):
            history = await ledger.events(UUID(race.review))
            delegations = {each: await ledger.events(UUID(each)) for each in race.delegations}
            explain(history, race.told, delegations, nodes, order)
            ends = [recorded.event for recorded in history if isinstance(recorded.event, ENDINGS)]
            ending = ends[-1].outcome.value if ends and isinstance(ends[-1], ReviewConcluded) else None
            endings[f"{kind.__name__}: {ending or (type(ends[-1]).__name__ if ends else 'open')}"] += 1
            endings.update(f"{kind.__name__}: answered {one.status}" for one in race.told)
        if "GOV_TEST_RACES" in os.environ and first % 200 == 0:
            with capsys.disabled():
                print(f" {first + len(races)} explained", flush=True)
    with capsys.disabled():
        if "GOV_TEST_RACES" in os.environ:
            print("", *(f"{times:7} {name}" for name, times in sorted(endings.items())), sep="\n")
    assert sum(times for name, times in endings.items() if "answered" not in name) == RACES

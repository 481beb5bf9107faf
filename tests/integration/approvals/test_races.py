"""Two replicas, each a process of its own, are asked at the same moment for what excludes itself, and the history explains every answer afterwards."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
from tests.integration.approvals.explaining import Told, explain
from tests.integration.approvals.replicas import Replicas, replicas_over
from tests.integration.approvals.room import EVIDENCE, Place, assign, furnish, register
from tests.support.services import done, subject

from gov.runtime.testing import PackagedInfrastructure
from govevents.approvals import ReviewConcluded, ReviewEscalated, ReviewWithdrawn, Role
from govkernel.domain import NodeId

RACES: Final = int(os.environ.get("GOV_TEST_RACES", "200"))
"""How many races there are, of all kinds together; GOV_TEST_RACES=5000 and --timeout 0 make a long run."""
SEED: Final = int(os.environ.get("GOV_TEST_RACES_SEED", "1"))
AT_ONCE: Final = 8
LEVEL_EVERY: Final = 200
"""After so many races all that was written has to be read; a replica is killed once in them."""
FIRST_DAY: Final = datetime(2031, 1, 6, 9, tzinfo=UTC)
ORDER: Final = "SELECT seq, stream, version FROM events WHERE stream = ANY($1)"
LONGEST_LOOK_S: Final = 0.4
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
    """A review that rivals meet at, and what they were told; `now` is where its demo clock stands, None on the real one."""

    review: str
    told: list[Told] = field(default_factory=list)
    delegations: list[str] = field(default_factory=list)
    now: datetime | None = None


@dataclass
class Stage:
    """Two replicas of approvals, and the place that they decide on."""

    replicas: Replicas
    place: Place
    random: Random
    keys: int = 0
    days: int = 0

    async def ask(self, who: str, path: str, body: dict[str, Any], **headers: str) -> list[httpx2.Response]:
        """Ask one of the replicas, and sometimes both at once under the same key."""
        self.keys += 1
        keyed = {"Idempotency-Key": str(self.keys), **headers}
        which = self.random.choice([(0,), (1,), (0,), (1,), (0, 1)])
        return await asyncio.gather(*(self.replicas.post(who, replica, path, body, keyed) for replica in which))

    async def begin(self, who: str, path: str, body: dict[str, Any], **headers: str) -> str:
        """Ask for what nobody contends; the stream's id."""
        answer = (await self.ask(who, path, body, **headers))[0]
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["stream"])

    async def do(
        self, race: Race, who: str, noun: str, body: dict[str, Any], *, seen: bool = False, at: datetime | None = None
    ) -> None:
        """Ask something of the race's review until it is answered by more than that it has moved on."""
        wanted, at = {key: value for key, value in body.items() if key != "who"}, at or race.now
        for _ in range(MOST_ATTEMPTS):
            version = await self.version(race) if seen else None
            headers = _at(at) | ({} if version is None else {"If-Match": f'"{version}"'})
            answers = await self.ask(who, f"/reviews/{race.review}/{noun}", wanted, **headers)
            for answer in answers:
                race.told.append(Told(who, noun, body, version, answer.status_code, answer.json(), at))
            kept = {(answer.status_code, answer.text) for answer in answers if answer.status_code != 412}
            assert len({status for status, _ in kept}) <= 1, f"one key has one answer: {kept}"
            if kept:
                return
        raise AssertionError(f"{who} never got through with {noun}")

    async def version(self, race: Race) -> int:
        """The version of the review as one of the replicas shows it."""
        shown = await self.replicas.send("GET", "aud", self.random.choice([0, 1]), f"/reviews/{race.review}")
        assert shown.status_code == 200, shown.text
        return int(shown.headers["etag"].strip('"'))

    async def vote(self, race: Race, who: str, delegation: str | None = None, *, at: datetime | None = None) -> None:
        """Somebody votes as they please."""
        body = {"choice": self.random.choice(CHOICES), "reason": "The case.", "delegation": delegation}
        await self.do(race, who, "votes", body, seen=True, at=at)

    async def opened(self, gate: str, now: datetime | None = None) -> Race:
        """A review that takes votes."""
        race = Race(await self.begin("max", "/reviews", self.place.question(gate=gate), **_at(now)), now=now)
        seen = {"If-Match": '"1"', **_at(now)}
        await self.begin("max", f"/reviews/{race.review}/submissions", {"proposed": "go"}, **seen)
        return race

    async def delegated(self, race: Race, who: str, to: str) -> str:
        """A delegation for this race."""
        body = {
            "delegate": str(subject(to)),
            "node": self.place.portfolio,
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


def _at(now: datetime | None) -> dict[str, str]:
    return {} if now is None else {"Gov-Demo-Time": now.isoformat()}


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
    return race, [stage.vote(race, "ana"), stage.vote(race, "bo"), later(stage, taken_back)]


async def later(stage: Stage, rival: Awaitable[None]) -> None:
    """Give a rival who need not look first the time that the others take to look, or more, or less."""
    await asyncio.sleep(stage.random.uniform(0, LONGEST_LOOK_S))
    await rival


async def other_evidence(stage: Stage) -> tuple[Race, Rivals]:
    race = await stage.opened(stage.random.choice(["G1", "G2"]))
    changed = {"evidence": [{**EVIDENCE, "sha256": "b" * 64}], "remark": "Newer."}
    return race, [
        stage.vote(race, "ana"),
        stage.vote(race, "bo"),
        stage.do(race, "max", "evidence", changed, seen=True),
    ]


async def time_limit(stage: Stage) -> tuple[Race, Rivals]:
    # Whoever says that it is so late lets every earlier deadline fire, so that each race has later days than the last.
    stage.days += 60
    race = await stage.opened(stage.random.choice(["G4", "G5"]), FIRST_DAY + timedelta(days=stage.days))
    assert race.now is not None
    late = race.now + timedelta(days=14, seconds=stage.random.choice([0, 0, 5]))
    voters = stage.random.sample(["ana", "bo", "cy"], stage.random.choice([1, 2, 3]))
    too_late = stage.random.sample(["ana", "bo", "cy"], stage.random.choice([1, 2]))
    in_time = [stage.vote(race, who) for who in voters]
    return race, [*in_time, *(later(stage, stage.vote(race, who, at=late)) for who in too_late)]


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


@pytest.fixture(scope="module")
def servers() -> Iterator[PackagedInfrastructure]:
    """Servers of its own: approvals' topic has one name, and holds one ledger's events."""
    with PackagedInfrastructure() as started:
        yield started


@pytest.fixture
async def stage(servers: PackagedInfrastructure, tmp_path: Path) -> AsyncIterator[Stage]:
    """The place of the reviews with a council above its board, and gates with every rule."""
    async with replicas_over(servers, tmp_path) as replicas:
        place = await furnish(replicas)
        for name in ("eve", "fay"):
            await register(replicas, name)
            done(await assign(replicas, name, Role.APPROVER, place.portfolio), 201)
        await replicas.level()
        pmo = await replicas.client("pia")
        formed = done(await pmo.post("/bodies", json={"portfolio": place.portfolio, "name": "Council"}), 201)
        for name in ("eve", "fay"):
            seat = {"member": str(subject(name)), "chair": name == "eve", "first_day": "2020-01-01"}
            done(await pmo.post(f"/bodies/{formed['stream']}/members", json=seat))
        for gate, changed in GATES.items():
            above = {"escalate_to": formed["stream"]} if gate == "G5" else {}
            done(await pmo.post("/gate-policies", json=place.policy(gate=gate, **above, **changed)), 201)
        yield Stage(replicas, place, Random(SEED))


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
    replicas, place = stage.replicas, stage.place
    nodes = frozenset({NodeId(UUID(place.project)), NodeId(UUID(place.portfolio))})
    endings: Counter[str] = Counter()
    for first in range(0, RACES, LEVEL_EVERY):
        replicas.tokens.clear()
        kinds = [KINDS[number % len(KINDS)] for number in range(first, min(RACES, first + LEVEL_EVERY))]
        races: list[Race] = []
        after_s = stage.random.uniform(0.5, 3)
        killing = asyncio.create_task(replicas.kill_and_restart(stage.random.choice([0, 1]), after_s))
        for begun in range(0, len(kinds), AT_ONCE):
            races += await asyncio.gather(*(run(stage, kind) for kind in kinds[begun : begun + AT_ONCE]))
        await killing
        await replicas.level()
        for kind, race in zip(kinds, races, strict=True):
            histories = {UUID(each): await replicas.events(UUID(each)) for each in (race.review, *race.delegations)}
            rows = await replicas.database.fetch(ORDER, list(histories))
            order = {(row["stream"], row["version"]): row["seq"] for row in rows}
            history = histories[UUID(race.review)]
            explain(history, race.told, {each: histories[UUID(each)] for each in race.delegations}, nodes, order)
            ends = [recorded.event for recorded in history if isinstance(recorded.event, ENDINGS)]
            ending = ends[-1].outcome.value if ends and isinstance(ends[-1], ReviewConcluded) else None
            endings[f"{kind.__name__}: {ending or (type(ends[-1]).__name__ if ends else 'open')}"] += 1
            endings.update(f"{kind.__name__}: answered {one.status}" for one in race.told)
        if "GOV_TEST_RACES" in os.environ:
            with capsys.disabled():
                print(f" {first + len(races)} explained", flush=True)
    if "GOV_TEST_RACES" in os.environ:
        with capsys.disabled():
            print("", *(f"{times:7} {name}" for name, times in sorted(endings.items())), sep="\n")
            print(f"{replicas.kills:7} replicas killed\n{replicas.moved:7} requests cut, and sent to the other one")
    assert replicas.kills, "a replica was killed while it was asked"
    assert sum(times for name, times in endings.items() if "answered" not in name) == RACES

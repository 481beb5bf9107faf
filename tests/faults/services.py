"""Jars and tallies as services that the kernel runs: their APIs, what they react to, what they show."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel
from tests.faults import jars, mint, tallies
from tests.faults.boards import jar_board, mint_board, tally_board

from govevents.catalogue import Catalogue
from govevents.document import Recorded
from govevents.registry import CATALOGUE as EVERYTHING
from govkernel.domain import Link, NodeId, NotKnownYet, Reaction
from govkernel.http import Ask, Body, Call, ServiceApi
from govkernel.ledger import Intent, Ledger, Loaded
from govkernel.processes import Reacts, ServiceDefinition

SHELF: Final = NodeId(UUID("00000000-0000-4000-8000-000000000001"))
ACTION: Final = "jar.use"

CATALOGUE: Final = Catalogue.of(
    [*EVERYTHING.events.values(), *jars.EVENTS, *tallies.EVENTS, *mint.EVENTS], EVERYTHING.upcasters
)


@dataclass(frozen=True, slots=True)
class Names:
    """What the services of one round are called: rounds share their servers, and nothing else."""

    jars: str
    tallies: str
    mint: str

    @classmethod
    def of(cls, round_: str) -> "Names":
        """The names of a round."""
        return cls(f"jars{round_}", f"tallies{round_}", f"mint{round_}")


class PolicyRequest(Body):
    largest: int


class ClosingRequest(Body):
    reason: str


class JarRequest(Body):
    limit: int
    policy: UUID
    rings_in_ms: int


class CoinRequest(Body):
    by: str
    amount: int


class JarView(BaseModel):
    coins: tuple[str, ...]
    total: int
    closed: bool
    rung: int
    rewards: int


Load = Callable[[Ledger, UUID], Awaitable[Loaded[jars.Jar]]]


async def _newest(ledger: Ledger, stream: UUID) -> Loaded[jars.Jar]:
    return await ledger.load(jars.JAR, stream)


def jars_api(service: str, *, load: Load = _newest) -> ServiceApi:
    """What jars and their policies take; `load` is what queries read a jar with."""
    api = ServiceApi(service, title="Jars")

    @api.command("/policies", operation="openPolicy", body=PolicyRequest, action=ACTION)
    async def open_policy(call: Call[PolicyRequest]) -> Intent[Any, Any, Any]:
        """Open a policy."""
        return Intent(jars.POLICY, call.command, jars.OpenPolicy(call.body.largest), node=SHELF)

    @api.command(
        "/policies/{policy}/largest", operation="changePolicy", body=PolicyRequest, if_match=True, action=ACTION
    )
    async def change_policy(call: Call[PolicyRequest]) -> Intent[Any, Any, Any]:
        """Change how large a coin may be."""
        return Intent(jars.POLICY, call.path_id("policy"), jars.ChangePolicy(call.body.largest), node=SHELF)

    @api.command("/policies/{policy}/closure", operation="closePolicy", body=ClosingRequest, action=ACTION)
    async def close_policy(call: Call[ClosingRequest]) -> Intent[Any, Any, Any]:
        """Close a policy."""
        return Intent(jars.POLICY, call.path_id("policy"), jars.ClosePolicy(call.body.reason), node=SHELF)

    @api.command("/jars", operation="openJar", body=JarRequest, action=ACTION)
    async def open_jar(call: Call[JarRequest]) -> Intent[Any, Any, Any]:
        """Open a jar."""
        rings_at = call.now + timedelta(milliseconds=call.body.rings_in_ms)
        command = jars.OpenJar(call.body.limit, call.body.policy, rings_at)
        return Intent(jars.JAR, call.command, command, node=SHELF)

    @api.command("/jars/{jar}/coins", operation="addCoin", body=CoinRequest, action=ACTION)
    async def add_coin(call: Call[CoinRequest]) -> Intent[Any, Any, Any]:
        """Add a coin, as its jar's policy allows it now."""
        stream = call.path_id("jar")
        jar = (await call.load(jars.JAR, stream)).state
        assert jar.policy is not None, "a jar that exists has a policy"
        policy = await call.load(jars.POLICY, jar.policy)
        command = jars.AddCoin(call.body.by, call.body.amount, jar.policy, policy.head.version, policy.state)
        return Intent(jars.JAR, stream, command, relies_on=(policy.head,), node=SHELF)

    @api.command("/jars/{jar}/closure", operation="closeJar", body=ClosingRequest, action=ACTION)
    async def close_jar(call: Call[ClosingRequest]) -> Intent[Any, Any, Any]:
        """Close a jar."""
        return Intent(jars.JAR, call.path_id("jar"), jars.CloseJar(call.body.reason), node=SHELF)

    @api.query("/jars/{jar}", operation="getJar", response=JarView)
    async def get_jar(ask: Ask, jar: UUID) -> JarView:
        """Read a jar."""
        await ask.require(ACTION, SHELF)
        loaded = await load(ask.runtime.ledger, jar)
        if loaded.head.version == 0:
            raise jars.JarUnknown
        ask.tag(jar, loaded.head.version)
        state = loaded.state
        return JarView(
            coins=state.coins, total=state.total, closed=state.closed, rung=state.rung, rewards=state.rewards
        )

    return api


def reward(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """A tally that has reached its number rewards its jar."""
    reached: tallies.TallyReached = recorded.event
    return (Reaction(jars.JAR, reached.jar, jars.RewardJar(recorded.id)),)


def purse_of(stream: UUID) -> UUID:
    """The purse into which a stream of the mint goes."""
    return uuid5(NAMESPACE_URL, f"urn:gatehouse:faults:purse:{stream}")


def fill(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """A coin of the mint goes into its purse; one that is worth nothing can't be, whoever sent it."""
    minted: mint.CoinMinted = recorded.event
    if minted.worth < 0:
        raise ValueError(f"{minted.serial}: worth {minted.worth}")
    return (Reaction(jars.PURSE, purse_of(recorded.envelope.stream), jars.FillPurse(recorded.id)),)


def needs(recorded: Recorded[Any]) -> tuple[Link, ...]:
    """A jar is tallied once its policy is known."""
    happened = recorded.event
    return (Link(tallies.NOTED, happened.policy),) if isinstance(happened, jars.JarOpened) else ()


def count(recorded: Recorded[Any], find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """What tallies do because of an event of jars."""
    stream = tallies.mirror_of(recorded.envelope.stream)
    match recorded.event:
        case jars.PolicyOpened():
            return (Reaction(tallies.NOTE, stream, tallies.NotePolicy(recorded.envelope.stream, recorded.id)),)
        case jars.JarOpened(policy=policy):
            if not find[Link(tallies.NOTED, policy)]:
                raise NotKnownYet(f"policy {policy} is not known yet")
            return (Reaction(tallies.TALLY, stream, tallies.OpenTally(recorded.envelope.stream, recorded.id)),)
        case jars.CoinAdded():
            return (Reaction(tallies.TALLY, stream, tallies.CountCoin(recorded.id)),)
        case _:
            return ()


def jars_service(names: Names) -> ServiceDefinition:
    """Jars: commands over HTTP, timers, and reactions to tallies and to the mint."""
    return ServiceDefinition(
        name=names.jars,
        api=jars_api(names.jars),
        policy=Path(__file__).with_name("policy.toml"),
        aggregates=(jars.POLICY, jars.JAR, jars.PURSE),
        read_models=(jar_board(names.jars), mint_board(names.mint)),
        reactions=(
            Reacts(service=names.tallies, events=(tallies.TallyReached,), react=reward),
            Reacts(service=names.mint, events=(mint.CoinMinted,), react=fill),
        ),
        catalogue=CATALOGUE,
    )


def tallies_service(names: Names) -> ServiceDefinition:
    """Tallies: no commands but those that follow from the events of jars."""
    return ServiceDefinition(
        name=names.tallies,
        api=ServiceApi(names.tallies, title="Tallies"),
        policy=Path(__file__).with_name("policy.toml"),
        aggregates=(tallies.NOTE, tallies.TALLY),
        read_models=(tally_board(names.tallies),),
        reactions=(
            Reacts(
                service=names.jars,
                events=(jars.PolicyOpened, jars.JarOpened, jars.CoinAdded),
                react=count,
                needs=needs,
            ),
        ),
        catalogue=CATALOGUE,
    )

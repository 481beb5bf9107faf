"""Reactions: what follows from an event is decided and appended once, with the offsets, in each stream's order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import pytest
from tests.integration.kernel.consuming import Place, World, document, place_of, until, world_at

from govevents.approvals import ReviewWithdrawn
from govevents.document import Origin, Recorded
from govevents.registry import CATALOGUE
from govevents.reporting import Signatory, StatusReportSignedOff
from govevents.values import ProjectId, SubjectId
from govkernel.consumer import Parked
from govkernel.domain import Aggregate, Link, NotKnownYet, Reaction, Refusal
from govkernel.ledger import Context, Intent, Ledger
from govkernel.reactions import ReactionHandler, command_of

OPENED: Final = "opened_for"
SIGNER = SubjectId(UUID(int=7))


class AlreadyFull(Refusal):
    """No more than five notes are kept."""


@dataclass(frozen=True, slots=True)
class Note:
    project: UUID
    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    project: UUID | None = None
    texts: tuple[str, ...] = ()


def decide(command: Note, state: Notes) -> tuple[StatusReportSignedOff, ...]:
    if command.text == "early" and not state.texts:
        raise NotKnownYet("nothing has been opened")
    if len(state.texts) == 5:
        raise AlreadyFull
    return (StatusReportSignedOff(ProjectId(command.project), 1, Signatory.MANAGER, SIGNER, command.text),)


def evolve(state: Notes, event: StatusReportSignedOff) -> Notes:
    return Notes(event.project, (*state.texts, event.remark))


def links(state: Notes) -> frozenset[Link]:
    return frozenset() if state.project is None else frozenset({Link(OPENED, state.project)})


NOTES: Final = Aggregate("notes", Notes(), decide, evolve, links=links)


def stream_for(project: UUID) -> UUID:
    return uuid5(project, "notes")


def needs(recorded: Recorded[Any]) -> tuple[Link, ...]:
    return (Link(OPENED, recorded.event.project),)


def react(recorded: Recorded[Any], find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """`open` notes down a project; everything else goes to the streams that are open for it."""
    event = recorded.event
    if event.reason in {"open", "early"}:
        return (Reaction(NOTES, stream_for(event.project), Note(event.project, event.reason)),)
    if event.reason == "broken":
        raise KeyError("broken")
    (link,) = needs(recorded)
    if event.reason == "must be open" and not find[link]:
        raise NotKnownYet("not open yet")
    return tuple(Reaction(NOTES, stream, Note(event.project, event.reason)) for stream in find[link])


@pytest.fixture(params=["memory", "postgresql and kafka"])
def place(request: pytest.FixtureRequest) -> Place | None:
    return place_of(request)


@pytest.fixture
async def here(place: Place | None) -> AsyncIterator[World]:
    async with world_at(place) as made:
        yield made


@pytest.fixture
async def servers(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    """A world on real servers: an operator's steps are PostgreSQL's alone."""
    async with world_at(Place(database, kafka, topic)) as made:
        yield made


def handler(here: World, own: Ledger) -> ReactionHandler:
    return ReactionHandler(
        "reactions", here.service, own, react, subscribes=frozenset({"approvals.ReviewWithdrawn"}), needs=needs
    )


async def say(here: World, project: UUID, *reasons: str, origin: Origin = Origin.LIVE) -> list[Any]:
    """One stream that says these things about a project, one event each."""
    stream = uuid4()
    made: list[Any] = []
    for version, reason in enumerate(reasons, start=1):
        event = ReviewWithdrawn(ProjectId(project), reason)
        made.append(
            document(here.service, stream, version, made[-1].hash if made else None, event=event, origin=origin)
        )
    await here.send(*made)
    return made


async def texts(own: Ledger, project: UUID) -> tuple[str, ...]:
    return (await own.load(NOTES, stream_for(project))).state.texts


async def test_a_batchs_reactions_on_one_stream_build_on_each_other_and_on_the_links_they_make(here: World) -> None:
    own = here.ledger()
    project = uuid4()
    sent = await say(here, project, "open", "first", "second")
    await here.read_to_the_end(here.consumer(handler(here, own)))
    assert await texts(own, project) == ("open", "first", "second")

    events = await own.events(stream_for(project))
    assert [each.envelope.causationid for each in events] == [f"{each.stream}@{each.version}" for each in sent]
    assert {each.envelope.correlationid for each in events} == {"c"}
    assert {each.envelope.actor for each in events} == {"service:reporting"}
    assert [each.envelope.command for each in events] == [
        command_of("reactions", f"{each.stream}@{each.version}", stream_for(project), 0) for each in sent
    ]


async def test_what_was_reacted_to_before_is_answered_as_before(here: World) -> None:
    own = here.ledger()
    project = uuid4()
    await say(here, project, "open", "first")
    await here.read_to_the_end(here.consumer(handler(here, own)))
    # An operator has set the consumer back: its offsets and guards are gone, the commands are not.
    await here.forget_guards()
    await here.read_on_from(0)
    await say(here, project, "second")
    await here.read_to_the_end(here.consumer(handler(here, own)))
    assert await texts(own, project) == ("open", "first", "second")


async def test_imported_events_cause_nothing_and_simulated_ones_simulated_commands(here: World) -> None:
    own = here.ledger()
    imported, simulated = uuid4(), uuid4()
    await say(here, imported, "open", origin=Origin.IMPORTED)
    (cause,) = await say(here, simulated, "open", origin=Origin.SIMULATED)
    await here.read_to_the_end(here.consumer(handler(here, own)))
    assert await texts(own, imported) == ()
    (followed,) = await own.events(stream_for(simulated))
    assert followed.envelope.origin is Origin.SIMULATED
    assert followed.envelope.time == cause.time


async def test_a_reaction_that_is_refused_for_good_is_recorded_and_the_consumer_goes_on(here: World) -> None:
    own = here.ledger()
    project, other = uuid4(), uuid4()
    sent = await say(here, project, "open", "2", "3", "4", "5", "6", "7")
    await say(here, other, "open")
    await here.read_to_the_end(here.consumer(handler(here, own)))
    assert await texts(own, project) == ("open", "2", "3", "4", "5")
    assert await texts(own, other) == ("open",)
    assert await here.parked() == []
    refused = [row for row in await here.table("commands") if row["status"] == 409]
    assert {row["command"] for row in refused} == {
        command_of("reactions", f"{each.stream}@{each.version}", stream_for(project), 0) for each in sent[5:]
    }
    assert all("already-full" in row["refusal"] for row in refused)


@pytest.mark.parametrize("reason", ["must be open", "early"])
async def test_what_rests_on_something_not_known_yet_waits_for_it_and_leaves_no_answer(
    here: World, reason: str
) -> None:
    own = here.ledger()
    project = uuid4()
    waiting = await say(here, project, reason, "after")
    consumer = here.consumer(handler(here, own))
    await here.read_to_the_end(consumer)
    assert await here.parked() == [("not_yet", 1), ("behind", 2)]
    assert await here.table("commands") == []

    await say(here, project, "open")

    async def caught_up() -> bool:
        await consumer.one_pass()
        return await texts(own, project) == ("open", reason, "after")

    await until(caught_up, deadline_s=10)
    assert await here.parked() == []
    assert len(waiting) == 2


async def test_an_event_that_breaks_a_reaction_is_parked_and_undoes_nothing_of_the_others(here: World) -> None:
    own = here.ledger()
    sick, sane = uuid4(), uuid4()
    await say(here, sick, "open", "broken", "after")
    await say(here, sane, "open", "first")
    reactions = handler(here, own)
    await here.read_to_the_end(here.consumer(reactions))
    assert await texts(own, sick) == ("open",)
    assert await texts(own, sane) == ("open", "first")
    assert await here.parked() == [("refused", 2), ("behind", 3)]


async def test_a_reaction_that_was_skipped_lets_its_streams_others_follow(servers: World) -> None:
    own = servers.ledger()
    project = uuid4()
    await say(servers, project, "open", "broken", "after")
    reactions = handler(servers, own)
    await servers.read_to_the_end(servers.consumer(reactions))
    operator = Parked(servers.pool, [reactions], CATALOGUE, own)
    first, _ = await operator.list()
    now = datetime.now(UTC)
    await operator.skip(first.id, "its cause was withdrawn", context=Context(uuid4(), b"", "ana", now, now, "c"))
    assert await texts(own, project) == ("open", "after")


async def test_a_race_lost_to_a_person_is_decided_again_in_the_same_batch(here: World) -> None:
    own = here.ledger()
    project = uuid4()
    await say(here, project, "open")
    consumer = here.consumer(handler(here, own))
    await here.read_to_the_end(consumer)
    people = 0

    class Meddled(Ledger):
        """A ledger in which a person is always a moment faster, once."""

        async def append(self, connection: Any, batch: Any) -> Any:
            nonlocal people
            if people == 0:
                people += 1
                now = datetime.now(UTC)
                context = Context(uuid4(), b"", "ana", now, now, "c")

                async def intend(_newest: bool) -> Intent[Any, Any, Any]:
                    return Intent(NOTES, stream_for(project), Note(project, "a person's"))

                await own.execute(context, intend)
            return await super().append(connection, batch)

    raced = here.ledger(Meddled)
    reactions = ReactionHandler(
        "reactions", here.service, raced, react, subscribes=frozenset({"approvals.ReviewWithdrawn"}), needs=needs
    )
    await consumer.close()
    await say(here, project, "first")
    await here.read_to_the_end(here.consumer(reactions))
    assert await texts(own, project) == ("open", "a person's", "first")
    assert await here.parked() == []


async def test_a_ledger_that_takes_nothing_parks_nothing(here: World) -> None:
    own = here.ledger()
    project = uuid4()
    await here.close_ledger()
    await say(here, project, "open")
    stop = asyncio.Event()
    consumer = here.consumer(handler(here, own))
    running = asyncio.create_task(consumer.run(stop))

    async def troubled() -> bool:
        return consumer.status().trouble is not None

    await until(troubled)
    assert not consumer.status().ready
    assert await here.parked() == []
    await here.open_ledger()

    async def applied() -> bool:
        return await texts(own, project) == ("open",)

    await until(applied)
    stop.set()
    await running

"""A build in memory, where it needs no database to be shown: what it can't read, and what it was told to leave out."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.phases import PHASES, PhaseRow
from tests.support.streams import Stream

from govevents.document import Document
from govevents.event import event
from govevents.projects import PhaseCompleted, PhaseStarted, ProjectTerminated
from govevents.registry import CATALOGUE
from govkernel.consumer import Arrival, Kind
from govkernel.readmodels import NeedsNewerReader
from govkernel.readmodels.replay import Replay


class Read(NamedTuple):
    """A record as it was read."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def records(*values: Document | bytes, stream: Stream) -> list[Read]:
    """Records of one partition, at offsets from 0, under the stream's key."""
    return [
        Read(offset, str(stream.stream).encode(), value if isinstance(value, bytes) else value.body)
        for offset, value in enumerate(values)
    ]


def rows(replay: Replay[PhaseRow], stream: Stream) -> dict[str, bool]:
    (kept,) = [rows.kept for of, _, rows in replay.streams() if of == stream.stream]
    return {key: each.row.finished for key, each in kept.items()}


def version(replay: Replay[PhaseRow], stream: Stream) -> int:
    (guard,) = [guard for of, guard, _ in replay.streams() if of == stream.stream]
    return guard.version


def test_an_event_that_is_newer_than_the_process_ends_the_rebuild() -> None:
    newer: Any = event("projects", version=2)(
        type("PhaseStarted", (), {"__doc__": "As before, and more.", "__annotations__": {"phase": str}})
    )
    stream = Stream("projects")
    with pytest.raises(NeedsNewerReader, match="version 2 is newer than this reader"):
        Replay(PHASES, CATALOGUE).take(0, records(stream.add(newer("design")), stream=stream))


def test_a_skipped_event_that_was_next_only_moves_the_guard() -> None:
    stream = Stream("projects")
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 1)])
    replay.take(
        0,
        records(
            stream.add(PhaseStarted("design")),
            stream.add(PhaseCompleted("never started")),
            stream.add(PhaseCompleted("design")),
            stream=stream,
        ),
    )
    replay.finish(())
    assert rows(replay, stream) == {"design": True}
    assert version(replay, stream) == 3
    assert replay.parked == {}


def test_a_skipped_event_that_came_early_moves_the_guard_when_its_turn_comes() -> None:
    stream = Stream("projects")
    first, second, third = (stream.add(PhaseStarted(phase)) for phase in ("design", "build", "test"))
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 0)])
    replay.take(0, records(second, first, third, stream=stream))
    replay.finish(())
    assert rows(replay, stream) == {"design": False, "test": False}
    assert replay.parked == {}


def test_a_skipped_event_whose_turn_never_comes_is_discarded_alone() -> None:
    stream = Stream("projects")
    documents = [stream.add(PhaseStarted(phase)) for phase in ("design", "build", "test")]
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 1)])
    replay.take(0, records(documents[0], documents[2], stream=stream))
    replay.finish(())
    assert rows(replay, stream) == {"design": False}
    assert version(replay, stream) == 1
    assert replay.parked == {}


def test_an_event_that_was_skipped_in_a_topic_before_this_one_is_known_by_its_hash_wherever_it_lies() -> None:
    stream = Stream("projects")
    first, skipped, third = (stream.add(PhaseStarted(phase)) for phase in ("design", "build", "test"))
    replay = Replay(PHASES, CATALOGUE, skipped_elsewhere=[skipped.hash])
    replay.take(0, records(first, skipped, third, stream=stream))
    replay.finish(())
    assert rows(replay, stream) == {"design": False, "test": False}
    assert replay.parked == {}


def test_a_stream_that_an_operator_put_right_goes_on_and_what_blocked_it_stays_listed() -> None:
    stream = Stream("projects")
    read = records(stream.add(PhaseStarted("design")), b"garbage", stream.add(PhaseCompleted("design")), stream=stream)
    blocked, put_right = Replay(PHASES, CATALOGUE), Replay(PHASES, CATALOGUE)
    for replay, still_blocked in ((blocked, [stream.stream]), (put_right, [])):
        replay.take(0, read)
        replay.finish(still_blocked)

    assert rows(blocked, stream) == {"design": False}
    assert [parking.kind for parking in blocked.parked.values()] == [Kind.UNREADABLE, Kind.BEHIND]
    assert rows(put_right, stream) == {"design": True}
    assert [parking.kind for parking in put_right.parked.values()] == [Kind.SET_ASIDE]


class Ponderous(Replay[PhaseRow]):
    """Takes no short cut."""

    def _went_on(self, arrival: Arrival) -> bool:
        return False


DOCUMENTS = Stream("projects")
OFFERED = [
    *(DOCUMENTS.add(PhaseStarted(phase)) for phase in ("design", "build")),
    DOCUMENTS.add(PhaseCompleted("never started")),
    DOCUMENTS.add(PhaseCompleted("design")),
    DOCUMENTS.add(ProjectTerminated("", None)),
]
RIVAL = Stream("projects", stream=DOCUMENTS.stream)
FORKED = [RIVAL.add(PhaseStarted("otherwise")), RIVAL.add(PhaseStarted("further"))]


@given(st.lists(st.sampled_from([*OFFERED, *FORKED, b"garbage"]), max_size=12))
def test_the_short_way_of_a_plain_event_comes_to_the_same_as_the_long_one(values: list[Document | bytes]) -> None:
    quick, ponderous = Replay(PHASES, CATALOGUE), Ponderous(PHASES, CATALOGUE)
    read = records(*OFFERED[:1], *values, stream=DOCUMENTS)
    assert quick.take(0, read) == ponderous.take(0, read)
    assert list(quick.streams()) == list(ponderous.streams())
    assert quick.parked == ponderous.parked

"""A build in memory, where it needs no database to be shown: what it can't read, and what it was told to leave out."""

from typing import Any

import pytest
from tests.support.phases import PHASES, PhaseRow
from tests.support.streams import Stream

from govevents.document import Document
from govevents.event import event
from govevents.projects import PhaseCompleted, PhaseStarted
from govevents.registry import CATALOGUE
from govkernel.consumer import Arrival, Kind, look_at
from govkernel.readmodels import NeedsNewerReader
from govkernel.readmodels.replay import Replay


def arrivals(*values: Document | bytes, stream: Stream) -> list[Arrival]:
    """Records of one partition, at offsets from 0, under the stream's key."""
    return [
        look_at(
            0,
            offset,
            str(stream.stream).encode(),
            value if isinstance(value, bytes) else value.body,
            service="projects",
        )
        for offset, value in enumerate(values)
    ]


def rows(replay: Replay[PhaseRow], stream: Stream) -> dict[str, bool]:
    return {key: kept.row.finished for key, kept in replay.streams[stream.stream].kept.items()}


def test_an_event_that_is_newer_than_the_process_ends_the_rebuild() -> None:
    newer: Any = event("projects", version=2)(
        type("PhaseStarted", (), {"__doc__": "As before, and more.", "__annotations__": {"phase": str}})
    )
    stream = Stream("projects")
    with pytest.raises(NeedsNewerReader, match="version 2 is newer than this reader"):
        Replay(PHASES, CATALOGUE).take(arrivals(stream.add(newer("design")), stream=stream))


def test_a_skipped_event_that_was_next_only_moves_the_guard() -> None:
    stream = Stream("projects")
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 1)])
    replay.take(
        arrivals(
            stream.add(PhaseStarted("design")),
            stream.add(PhaseCompleted("never started")),
            stream.add(PhaseCompleted("design")),
            stream=stream,
        )
    )
    replay.finish(())
    assert rows(replay, stream) == {"design": True}
    assert replay.guards[stream.stream].version == 3
    assert replay.parked == {}


def test_a_skipped_event_that_came_early_moves_the_guard_when_its_turn_comes() -> None:
    stream = Stream("projects")
    first, second, third = (stream.add(PhaseStarted(phase)) for phase in ("design", "build", "test"))
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 0)])
    replay.take(arrivals(second, first, third, stream=stream))
    replay.finish(())
    assert rows(replay, stream) == {"design": False, "test": False}
    assert replay.parked == {}


def test_a_skipped_event_whose_turn_never_comes_is_discarded_alone() -> None:
    stream = Stream("projects")
    documents = [stream.add(PhaseStarted(phase)) for phase in ("design", "build", "test")]
    replay = Replay(PHASES, CATALOGUE, skipped=[(0, 1)])
    replay.take(arrivals(documents[0], documents[2], stream=stream))
    replay.finish(())
    assert rows(replay, stream) == {"design": False}
    assert replay.guards[stream.stream].version == 1
    assert replay.parked == {}


def test_a_stream_that_an_operator_put_right_goes_on_and_what_blocked_it_stays_listed() -> None:
    stream = Stream("projects")
    records = arrivals(
        stream.add(PhaseStarted("design")), b"garbage", stream.add(PhaseCompleted("design")), stream=stream
    )
    blocked, put_right = Replay(PHASES, CATALOGUE), Replay(PHASES, CATALOGUE)
    for replay, still_blocked in ((blocked, [stream.stream]), (put_right, [])):
        replay.take(records)
        replay.finish(still_blocked)

    assert rows(blocked, stream) == {"design": False}
    assert [parking.kind for parking in blocked.parked.values()] == [Kind.UNREADABLE, Kind.BEHIND]
    assert rows(put_right, stream) == {"design": True}
    assert [parking.kind for parking in put_right.parked.values()] == [Kind.SET_ASIDE]

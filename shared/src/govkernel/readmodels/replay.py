"""A build in memory: what the live inbox does in a database, done without one, by the same rules."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, Generic
from uuid import UUID

import msgspec

from govevents.catalogue import Catalogue
from govkernel.consumer.guard import (
    BLOCKING,
    START,
    Arrival,
    Guard,
    Intake,
    Kind,
    Parking,
    Rejected,
    Stream,
    Verdict,
    judge,
)
from govkernel.readmodels.fold import Past, StreamRows
from govkernel.readmodels.model import ReadModel, Row

PASSED_OVER: Final = ""
"""The type that a skipped event is given here: no read model subscribes to it, so that it only moves the guard."""

Place = tuple[int, int]
"""A record's partition and offset."""


class NeedsNewerReader(Exception):
    """The topic holds an event that is newer than this process: rebuild with one that knows it."""


class Replay(Generic[Row]):
    """Takes a topic's records in each partition's order, and holds what the live build would hold.

    `skipped` are the records that operators let be skipped, `set_aside` those that a retry has shown not to belong to
    their streams. Raises NeedsNewerReader.
    """

    def __init__(
        self,
        model: ReadModel[Row],
        catalogue: Catalogue,
        *,
        skipped: Collection[Place] = (),
        set_aside: Collection[Place] = (),
    ) -> None:
        self._model = model
        self._catalogue = catalogue
        self._skipped = frozenset(skipped)
        self._set_aside = frozenset(set_aside)
        self._parked_of: dict[UUID | None, set[int]] = {}
        self._last_parked = 0
        self.guards: dict[UUID, Guard] = {}
        self.parked: dict[int, Parking] = {}
        self.streams: dict[UUID, StreamRows[Row]] = {}
        self.past: list[Past[Row]] = []

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Take the next records of a partition in."""
        batch: list[Arrival] = []
        for arrival in arrivals:
            place = arrival.partition, arrival.offset
            if place in self._skipped:
                self._settle(batch)
                batch = []
                self._skip(arrival)
            elif place in self._set_aside:
                self._settle(batch)
                batch = []
                self._park(Parking(arrival, Kind.SET_ASIDE, "the stream went on without it"))
            else:
                batch.append(arrival)
        self._settle(batch)

    def finish(self, still_blocked: Collection[UUID]) -> None:
        """No more records come: discard what was skipped without ever being next, and go on where an operator went on.

        `still_blocked` are the streams that are blocked where the truth is compared with.
        """
        followed: set[UUID] = set()
        for number, parking in list(self.parked.items()):
            stream, envelope = parking.arrival.stream, parking.arrival.envelope
            if envelope is not None and envelope.type == PASSED_OVER:
                self._forget(number)
                if stream is not None:
                    followed.add(stream)
            elif parking.kind.value in BLOCKING and stream is not None and stream not in still_blocked:
                followed.add(stream)
        for stream in sorted(followed):
            self._follow(stream)

    def _skip(self, arrival: Arrival) -> None:
        if arrival.stream is None or arrival.envelope is None:
            return
        state = self._state(arrival.stream)
        verdict = judge(state.guard, arrival.envelope, arrival.hash)
        if verdict in (Verdict.NEXT, Verdict.GAP) and not state.held.get(arrival.envelope.version):
            passed_over = msgspec.structs.replace(arrival.envelope, type=PASSED_OVER)
            self._settle([replace(arrival, envelope=passed_over)])

    def _settle(self, batch: Sequence[Arrival]) -> None:
        if not batch:
            return
        states = {stream: self._state(stream) for stream in {each.stream for each in batch} if stream is not None}
        intake = Intake(self._catalogue, self._model.subscribes, states)
        for arrival in batch:
            intake.offer(arrival)
        for stream in intake.to_drain():
            intake.drain(stream, self._waiting(stream))
        self._apply(intake)

    def _follow(self, stream: UUID) -> None:
        intake = Intake(self._catalogue, self._model.subscribes, {stream: self._state(stream)})
        before = self.guards.get(stream, START)
        intake.drain(stream, self._waiting(stream), blocked_too=True)
        self._apply(intake)
        after = self.guards.get(stream, START)
        if after == before:
            return
        for number in self._parked_of.get(stream, ()):
            parking = self.parked[number]
            envelope = parking.arrival.envelope
            if parking.kind.value in BLOCKING and (envelope is None or envelope.version <= after.version):
                self.parked[number] = replace(parking, kind=Kind.SET_ASIDE)

    def _apply(self, intake: Intake) -> None:
        for stopped in intake.stopped.values():
            raise NeedsNewerReader(stopped.reason)
        rejected: dict[UUID, Rejected] = {}
        for recorded in intake.accepted:
            stream = recorded.envelope.stream
            if stream in rejected:
                continue
            rows = self.streams.get(stream)
            if rows is None:
                rows = self.streams[stream] = StreamRows(stream)
            try:
                self.past.extend(rows.apply(self._model, recorded))
            except Exception as error:
                # As the live build does: whatever a fold raises concerns this stream alone.
                rejected[stream] = Rejected(recorded, f"{type(error).__name__}: {error}", retry=False)
        settlement = intake.settle(rejected.values())
        for stream, (_, after) in settlement.guards.items():
            self.guards[stream] = after
        for number in settlement.drained:
            self._forget(number)
        for parking in settlement.kept:
            assert parking.arrival.parked is not None, "what is kept was parked before"
            self.parked[parking.arrival.parked] = parking
        for parking in settlement.park:
            self._park(parking)

    def _state(self, stream: UUID) -> Stream:
        state = Stream(self.guards.get(stream, START))
        for number in self._parked_of.get(stream, ()):
            parking = self.parked[number]
            if parking.kind is Kind.SET_ASIDE:
                continue
            state.parked = True
            state.blocked = state.blocked or parking.kind.value in BLOCKING
            if parking.arrival.envelope is not None:
                state.held.setdefault(parking.arrival.envelope.version, set()).add(parking.arrival.hash)
        return state

    def _waiting(self, stream: UUID) -> list[Arrival]:
        waiting = [self.parked[number] for number in self._parked_of.get(stream, ())]
        return sorted(
            (each.arrival for each in waiting if each.kind is not Kind.SET_ASIDE), key=lambda arrival: arrival.offset
        )

    def _park(self, parking: Parking) -> None:
        self._last_parked += 1
        number = self._last_parked
        arrival = replace(parking.arrival, parked=number)
        self.parked[number] = replace(parking, arrival=arrival)
        self._parked_of.setdefault(arrival.stream, set()).add(number)

    def _forget(self, number: int) -> None:
        parking = self.parked.pop(number)
        self._parked_of[parking.arrival.stream].discard(number)

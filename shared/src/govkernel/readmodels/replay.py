"""A build in memory: what the live inbox does in a database, done without one, by the same rules."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
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
    look_at,
)
from govkernel.kafka import Record
from govkernel.readmodels.fold import Past, StreamRows
from govkernel.readmodels.model import ReadModel, Row

PASSED_OVER: Final = ""
"""The type that a skipped event is given here: no read model subscribes to it, so that it only moves the guard."""

Place = tuple[int, int]
"""A record's partition and offset."""


class NeedsNewerReader(Exception):
    """The topic holds an event that is newer than this process: rebuild with one that knows it."""


@dataclass(slots=True)
class _Held(Generic[Row]):
    """A stream as the build has it."""

    rows: StreamRows[Row]
    guard: Guard = START


class Replay(Generic[Row]):
    """Takes a topic's records in each partition's order, and holds what the live build would hold.

    `skipped` are the records that operators let be skipped, `skipped_elsewhere` the hashes of those that were skipped
    in a topic that this one took the place of. `set_aside` are those that a retry has shown not to belong to their
    streams. Raises NeedsNewerReader.
    """

    def __init__(
        self,
        model: ReadModel[Row],
        catalogue: Catalogue,
        *,
        skipped: Collection[Place] = (),
        skipped_elsewhere: Collection[bytes] = (),
        set_aside: Collection[Place] = (),
    ) -> None:
        self._model = model
        self._catalogue = catalogue
        self._subscribes = model.subscribes
        self._skipped = frozenset(skipped)
        self._skipped_elsewhere = frozenset(skipped_elsewhere)
        self._set_aside = frozenset(set_aside)
        self._held: dict[bytes, _Held[Row]] = {}
        self._parked_of: dict[UUID | None, set[int]] = {}
        self._last_parked = 0
        self._past: list[Past[Row]] = []
        self.parked: dict[int, Parking] = {}

    def take(self, partition: int, records: Iterable[Record]) -> list[Past[Row]]:
        """Take the next records of a partition in; the rows that ended by them."""
        for record in records:
            arrival = look_at(partition, record.offset, record.key, record.value, service=self._model.service)
            place = partition, record.offset
            if place in self._skipped or arrival.hash in self._skipped_elsewhere:
                self._skip(arrival)
            elif place in self._set_aside:
                self._park(Parking(arrival, Kind.SET_ASIDE, "the stream went on without it"))
            elif not self._went_on(arrival):
                self._settle(arrival)
        return self._ended()

    def streams(self) -> Iterator[tuple[UUID, Guard, StreamRows[Row]]]:
        """Every stream of which something was applied or passed over, in their order."""
        for held in sorted(self._held.values(), key=lambda each: each.rows.stream):
            if held.guard.version:
                yield held.rows.stream, held.guard, held.rows

    def finish(self, still_blocked: Collection[UUID]) -> list[Past[Row]]:
        """No more records come: discard what was skipped without ever being next, and go on where an operator went on.

        `still_blocked` are the streams that are blocked where the truth is compared with. Gives the rows that ended.
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
        return self._ended()

    def _went_on(self, arrival: Arrival) -> bool:
        """Take the plain case: nothing of its stream is parked, and it repeats or continues it. False for any other.

        What `_settle` does of it is the same, and several times as long.
        """
        envelope = arrival.envelope
        if envelope is None or arrival.key is None or self._parked_of.get(arrival.stream):
            return False
        held = self._of(arrival.key, envelope.stream)
        verdict = judge(held.guard, envelope, arrival.hash)
        if verdict is not Verdict.NEXT:
            return verdict is Verdict.REPEAT
        if envelope.type in self._subscribes:
            try:
                recorded = self._catalogue.decode_data(envelope, arrival.hash)
                self._past += held.rows.apply(self._model, recorded)
            except Exception:
                # Nothing has changed, and it will fail again where it is told what becomes of it.
                return False
        held.guard = Guard(envelope.version, arrival.hash)
        return True

    def _of(self, key: bytes, stream: UUID) -> "_Held[Row]":
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(StreamRows(stream))
        return held

    def _ended(self) -> list[Past[Row]]:
        ended, self._past = self._past, []
        return ended

    def _skip(self, arrival: Arrival) -> None:
        if arrival.stream is None or arrival.envelope is None:
            return
        state = self._state(arrival.stream)
        verdict = judge(state.guard, arrival.envelope, arrival.hash)
        if verdict in (Verdict.NEXT, Verdict.GAP) and not state.held.get(arrival.envelope.version):
            passed_over = msgspec.structs.replace(arrival.envelope, type=PASSED_OVER)
            self._settle(msgspec.structs.replace(arrival, envelope=passed_over))

    def _settle(self, arrival: Arrival) -> None:
        stream = arrival.stream
        states = {} if stream is None else {stream: self._state(stream)}
        waiting = {} if stream is None else {stream: self._waiting(stream)}
        intake = Intake(self._catalogue, self._subscribes, states, waiting)
        intake.offer(arrival)
        self._apply(intake)

    def _follow(self, stream: UUID) -> None:
        state = self._state(stream)
        before = state.guard
        intake = Intake(self._catalogue, self._subscribes, {stream: state}, {stream: self._waiting(stream)})
        intake.drain(stream, blocked_too=True)
        self._apply(intake)
        after = self._guard(stream)
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
            try:
                self._past += self._of(_key_of(stream), stream).rows.apply(self._model, recorded)
            except Exception as error:
                # As the live build does: whatever a fold raises concerns this stream alone.
                rejected[stream] = Rejected(recorded, f"{type(error).__name__}: {error}", retry=False)
        settlement = intake.settle(rejected.values())
        for stream, (_, after) in settlement.guards.items():
            self._of(_key_of(stream), stream).guard = after
        for number in settlement.drained:
            self._forget(number)
        for parking in settlement.kept:
            assert parking.arrival.parked is not None, "what is kept was parked before"
            self.parked[parking.arrival.parked] = parking
        for parking in settlement.park:
            self._park(parking)

    def _state(self, stream: UUID) -> Stream:
        state = Stream(self._guard(stream))
        for number in self._parked_of.get(stream, ()):
            parking = self.parked[number]
            if parking.kind is Kind.SET_ASIDE:
                continue
            state.parked = True
            state.blocked = state.blocked or parking.kind.value in BLOCKING
            if parking.arrival.envelope is not None:
                state.held.setdefault(parking.arrival.envelope.version, set()).add(parking.arrival.hash)
        return state

    def _guard(self, stream: UUID) -> Guard:
        held = self._held.get(_key_of(stream))
        return START if held is None else held.guard

    def _waiting(self, stream: UUID) -> list[Arrival]:
        waiting = [self.parked[number] for number in self._parked_of.get(stream, ())]
        return sorted(
            (each.arrival for each in waiting if each.kind is not Kind.SET_ASIDE), key=lambda arrival: arrival.offset
        )

    def _park(self, parking: Parking) -> None:
        self._last_parked += 1
        number = self._last_parked
        arrival = msgspec.structs.replace(parking.arrival, parked=number)
        self.parked[number] = replace(parking, arrival=arrival)
        self._parked_of.setdefault(arrival.stream, set()).add(number)

    def _forget(self, number: int) -> None:
        parking = self.parked.pop(number)
        self._parked_of[parking.arrival.stream].discard(number)


def _key_of(stream: UUID) -> bytes:
    """The key of a stream's records, by which it is held: bytes are hashed in a fraction of a UUID's time."""
    return str(stream).encode()

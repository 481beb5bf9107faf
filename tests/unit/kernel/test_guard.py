"""What becomes of a record: taken, dropped as a repeat, or parked, whatever the order in which records come."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from govevents.approvals import ReviewEscalated, ReviewWithdrawn
from govevents.document import Document, Origin, encode
from govevents.registry import CATALOGUE
from govevents.values import ProjectId
from govkernel.consumer import Arrival, Guard, Intake, Kind, Rejected, Stream, judge, look_at
from govkernel.consumer.guard import BLOCKING, START, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = [uuid5(UUID(int=0), str(number)) for number in range(3)]
SUBSCRIBES = frozenset({"approvals.ReviewWithdrawn"})


def document(stream: UUID, version: int, previous: bytes | None, *, reason: str = "", other: bool = False) -> Document:
    project = ProjectId(stream)
    event = ReviewEscalated(project, reason, None, None, ()) if other else ReviewWithdrawn(project, reason)
    return encode(
        event,
        service="approvals",
        aggregate="review",
        stream=stream,
        version=version,
        previous_hash=previous,
        time=NOW,
        recorded_at=NOW,
        actor="service:approvals",
        command=UUID(int=version),
        correlation="c",
        causation=None,
        origin=Origin.LIVE,
    )


def chain(stream: UUID, length: int, *, reason: str = "") -> list[Document]:
    made: list[Document] = []
    for version in range(1, length + 1):
        # Every third event is of a type that the consumer does not subscribe to.
        made.append(document(stream, version, made[-1].hash if made else None, reason=reason, other=version % 3 == 0))
    return made


@dataclass
class Store:
    """What the inbox keeps in rows, in memory: guards, parked records, effects."""

    guards: dict[UUID, Guard] = field(default_factory=dict)
    parked: dict[int, tuple[Arrival, Kind]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    offset: int = 0
    rows: int = 0

    def batch(self, records: Sequence[tuple[UUID, bytes]], *, refuse: frozenset[str] = frozenset()) -> None:
        arrivals = []
        for stream, body in records:
            arrivals.append(look_at(0, self.offset, str(stream).encode(), body, service="approvals"))
            self.offset += 1
        self.apply({stream for stream, _ in records}, arrivals, refuse=refuse, blocked_too=False)

    def retry(self, stream: UUID) -> None:
        self.apply({stream}, [], refuse=frozenset(), blocked_too=True)

    def skip(self, row: int) -> None:
        stream = self.parked.pop(row)[0].stream
        assert stream is not None
        self.apply({stream}, [], refuse=frozenset(), blocked_too=False, drain_all=True)

    def apply(
        self,
        streams: set[UUID],
        arrivals: Sequence[Arrival],
        *,
        refuse: frozenset[str],
        blocked_too: bool,
        drain_all: bool = False,
    ) -> None:
        states = {stream: self.state(stream) for stream in streams}
        waiting = {stream: self.waiting(stream) for stream in streams}
        intake = Intake(CATALOGUE, SUBSCRIBES, states, waiting)
        for arrival in arrivals:
            intake.offer(arrival)
        if blocked_too or drain_all:
            for stream in streams:
                intake.drain(stream, blocked_too=blocked_too)
        rejected: list[Rejected] = []
        for recorded in intake.accepted:
            if recorded.envelope.stream in {each.recorded.envelope.stream for each in rejected}:
                continue
            if recorded.id in refuse:
                rejected.append(Rejected(recorded, "refused", retry=False))
            else:
                self.effects.append(recorded.id)
        settlement = intake.settle(rejected)
        for stream, (before, after) in settlement.guards.items():
            assert self.guards.get(stream, START) == before
            self.guards[stream] = after
        for row in settlement.drained:
            del self.parked[row]
        for parking in settlement.kept:
            assert parking.arrival.parked is not None
            self.parked[parking.arrival.parked] = parking.arrival, parking.kind
        for parking in settlement.park:
            self.rows += 1
            place = parking.arrival
            self.parked[self.rows] = (
                look_at(0, place.offset, place.key, place.value, service="approvals", parked=self.rows),
                parking.kind,
            )
        if blocked_too:
            for stream, (_, after) in settlement.guards.items():
                for row, (arrival, kind) in list(self.parked.items()):
                    passed = arrival.envelope is None or arrival.envelope.version <= after.version
                    if arrival.stream == stream and kind.value in BLOCKING and passed:
                        self.parked[row] = arrival, Kind.SET_ASIDE

    def waiting(self, stream: UUID) -> list[Arrival]:
        return [each for each, kind in self.parked.values() if each.stream == stream and kind is not Kind.SET_ASIDE]

    def state(self, stream: UUID) -> Stream:
        rows = [
            (each, kind) for each, kind in self.parked.values() if each.stream == stream and kind is not Kind.SET_ASIDE
        ]
        state = Stream(self.guards.get(stream, START), bool(rows), any(kind.value in BLOCKING for _, kind in rows))
        for each, _ in rows:
            if each.envelope is not None:
                state.held.setdefault(each.envelope.version, set()).add(each.hash)
        return state

    @property
    def kinds(self) -> list[Kind]:
        return [kind for _, kind in self.parked.values()]


def ids(stream: UUID, *versions: int) -> list[str]:
    return [f"{stream}@{version}" for version in versions]


def records(documents: Sequence[Document]) -> list[tuple[UUID, bytes]]:
    return [(each.stream, each.body) for each in documents]


A, B, _ = STREAMS


def test_a_document_repeats_continues_contradicts_or_runs_ahead() -> None:
    first, second, third = chain(A, 3)
    rival = document(A, 2, first.hash, reason="rival")

    def verdict(guard: Guard, each: Document) -> Verdict:
        arrival = look_at(0, 0, str(A).encode(), each.body, service="approvals")
        assert arrival.envelope is not None
        return judge(guard, arrival.envelope, arrival.hash)

    at_two = Guard(2, second.hash)
    assert verdict(START, first) is Verdict.NEXT
    assert verdict(START, second) is Verdict.GAP
    assert verdict(at_two, first) is Verdict.REPEAT
    assert verdict(at_two, second) is Verdict.REPEAT
    assert verdict(at_two, rival) is Verdict.FORK
    assert verdict(at_two, third) is Verdict.NEXT
    assert verdict(Guard(2, rival.hash), third) is Verdict.FORK


@given(data=st.data())
def test_every_event_is_applied_once_and_in_order_however_records_are_repeated_and_mixed(data: st.DataObject) -> None:
    chains = {stream: chain(stream, data.draw(st.integers(0, 7))) for stream in STREAMS}
    every = [each for documents in chains.values() for each in documents]
    repeats = data.draw(st.lists(st.sampled_from(every), max_size=10)) if every else []
    order = data.draw(st.permutations([*every, *repeats]))
    store = Store()
    while order:
        size = data.draw(st.integers(1, len(order)))
        store.batch(records(order[:size]))
        order = order[size:]

    for stream, documents in chains.items():
        mine = [each for each in store.effects if each.startswith(str(stream))]
        assert mine == ids(stream, *(each.version for each in documents if each.version % 3))
    assert not store.parked


@given(data=st.data())
def test_nothing_is_dropped_but_what_was_applied_and_nothing_applied_that_does_not_chain(data: st.DataObject) -> None:
    true = chain(A, 6)
    forged = [document(A, version, true[version - 2].hash, reason="forged") for version in range(2, 7)]
    bodies = [each.body for each in true] + [each.body for each in forged] + [b"garbage", b"{}"]
    sent = data.draw(st.lists(st.sampled_from(bodies), min_size=1, max_size=25))
    refuse = frozenset(data.draw(st.sets(st.sampled_from(ids(A, 1, 2, 4, 5)), max_size=2)))
    store = Store()
    at = 0
    while at < len(sent):
        size = data.draw(st.integers(1, len(sent) - at))
        store.batch([(A, body) for body in sent[at : at + size]], refuse=refuse)
        at += size
        if data.draw(st.booleans()):
            store.retry(A)

    guard = store.guards.get(A, START)
    kept = {arrival.value for arrival, _ in store.parked.values()}
    for body in sent:
        arrival = look_at(0, 0, str(A).encode(), body, service="approvals")
        version = arrival.envelope.version if arrival.envelope is not None else guard.version + 1
        assert version < guard.version or arrival.hash == guard.hash or body in kept
    assert len(store.effects) == len(set(store.effects))
    versions = [int(each.rpartition("@")[2]) for each in store.effects]
    assert versions == sorted(versions)


@given(data=st.data())
def test_what_becomes_of_records_does_not_depend_on_how_they_are_cut_into_batches(data: st.DataObject) -> None:
    true = chain(A, 5)
    forged = [document(A, version, true[version - 2].hash, reason="forged") for version in range(2, 6)]
    bodies = [each.body for each in true] + [each.body for each in forged] + [b"garbage"]
    sent = [(A, body) for body in data.draw(st.lists(st.sampled_from(bodies), min_size=1, max_size=12))]
    refuse = frozenset(data.draw(st.sets(st.sampled_from(ids(A, 1, 2, 4, 5)), max_size=1)))
    at_once, one_by_one = Store(), Store()
    at_once.batch(sent, refuse=refuse)
    for each in sent:
        one_by_one.batch([each], refuse=refuse)
    assert at_once.effects == one_by_one.effects
    assert at_once.guards == one_by_one.guards
    parked = [
        {(each.offset, kind.value in BLOCKING) for each, kind in store.parked.values()}
        for store in (at_once, one_by_one)
    ]
    assert parked[0] == parked[1]


def test_an_event_that_is_refused_holds_back_its_stream_alone_until_it_is_tried_again() -> None:
    mine, other = chain(A, 5), chain(B, 2)
    store = Store()
    store.batch(records([*mine, *other]), refuse=frozenset(ids(A, 2)))
    assert store.effects == [*ids(A, 1), *ids(B, 1, 2)]
    assert store.kinds == [Kind.REFUSED, Kind.BEHIND, Kind.BEHIND, Kind.BEHIND]
    store.batch(records(mine))
    assert len(store.parked) == 4, "what comes again and waits already is not parked twice"
    store.retry(A)
    assert store.effects == [*ids(A, 1), *ids(B, 1, 2), *ids(A, 2, 4, 5)]
    assert not store.parked


def test_garbage_under_a_streams_key_holds_it_back_until_a_retry_shows_that_it_goes_on_without_it() -> None:
    documents = chain(A, 5)
    store = Store()
    store.batch([*records(documents[:1]), (A, b"garbage"), *records(documents[1:3])])
    assert store.effects == ids(A, 1)
    assert store.kinds == [Kind.UNREADABLE, Kind.BEHIND, Kind.BEHIND]
    store.retry(A)
    assert store.effects == ids(A, 1, 2)
    assert store.kinds == [Kind.SET_ASIDE]
    store.batch(records(documents[3:]))
    assert store.effects == ids(A, 1, 2, 4, 5)


def test_a_retry_that_shows_nothing_leaves_garbage_blocking() -> None:
    documents = chain(A, 2)
    store = Store()
    store.batch([*records(documents[:1]), (A, b"garbage")])
    store.retry(A)
    store.batch(records(documents[1:]))
    assert store.kinds == [Kind.UNREADABLE, Kind.BEHIND]
    store.skip(1)
    assert store.effects == ids(A, 1, 2)
    assert not store.parked


def test_what_waits_for_a_missing_event_follows_it_unasked() -> None:
    documents = chain(A, 5)
    store = Store()
    store.batch(records([documents[4], documents[2], documents[3]]))
    assert store.kinds == [Kind.GAP, Kind.BEHIND, Kind.BEHIND]
    store.batch(records(documents[:2]))
    assert store.effects == ids(A, 1, 2, 4, 5)
    assert not store.parked


def test_two_documents_that_claim_the_same_place_are_both_kept_and_neither_is_preferred() -> None:
    first, second, *_ = chain(A, 3)
    rival = document(A, 2, first.hash, reason="rival")
    store = Store()
    store.batch(records([second, rival]))
    store.batch(records([first]))
    assert store.kinds == [Kind.GAP, Kind.FORK, Kind.BEHIND]
    store.retry(A)
    assert store.effects == ids(A, 1), "somebody has to say which one is true"
    assert store.kinds == [Kind.FORK, Kind.FORK]
    store.skip(2)
    store.retry(A)
    assert store.effects == ids(A, 1, 2)
    assert not store.parked


def test_a_fork_of_what_was_applied_holds_back_its_stream() -> None:
    documents = chain(A, 3)
    rival = document(A, 2, documents[0].hash, reason="rival")
    store = Store()
    store.batch(records([*documents[:2], rival, documents[2]]))
    assert store.effects == ids(A, 1, 2)
    assert store.kinds == [Kind.FORK, Kind.BEHIND]
    store.retry(A)
    assert store.kinds == [Kind.SET_ASIDE]
    assert store.guards[A].version == 3


def test_a_record_whose_key_source_or_bytes_are_not_its_topics_is_unreadable() -> None:
    (first,) = chain(A, 1)

    def why(key: bytes | None, value: bytes | None, service: str = "approvals") -> tuple[UUID | None, str]:
        arrival = look_at(0, 0, key, value, service=service)
        assert arrival.envelope is None
        return arrival.stream, arrival.unreadable

    assert why(str(B).encode(), first.body) == (B, f"the document is of stream {A}, its key names {B}")
    assert "its topic is that of risks" in why(str(A).encode(), first.body, "risks")[1]
    assert why(None, first.body) == (None, "the record's key None is no stream id")
    assert why(str(A).upper().encode(), first.body)[0] is None or str(A).upper() == str(A)
    assert why(b"\xff", first.body)[0] is None
    assert why(str(A).encode(), None)[0] == A
    assert why(str(A).encode(), b"\x80")[0] == A

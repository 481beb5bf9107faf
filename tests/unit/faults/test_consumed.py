"""The model of a consumer: what it must have applied, parked and dropped of a topic."""

from uuid import UUID, uuid4

from tests.faults.consumed import Outcome, Record, consume
from tests.faults.mint import CoinMinted
from tests.faults.services import CATALOGUE
from tests.support.streams import Stream

SERVICE = "mint"


def coins(count: int, stream: UUID | None = None) -> list[bytes]:
    made = Stream(SERVICE, stream or uuid4())
    return [made.add(CoinMinted(f"coin-{number}", number)).body for number in range(1, count + 1)]


def read(stream: UUID, *bodies: bytes, key: bytes | None = None, service: str = SERVICE) -> Outcome:
    records = [Record(0, offset, key or str(stream).encode(), body) for offset, body in enumerate(bodies)]
    return consume(
        records,
        service=service,
        subscribes=frozenset({"mint.CoinMinted"}),
        catalogue=CATALOGUE,
        takes=lambda recorded: recorded.event.worth != 2,
    )


def versions(outcome: Outcome) -> list[int]:
    return [recorded.envelope.version for recorded in outcome.applied]


def test_what_continues_its_stream_is_applied_and_repeats_are_dropped() -> None:
    stream = uuid4()
    one = coins(1, stream)[0]
    outcome = read(stream, one, one, one)
    assert versions(outcome) == [1]
    assert outcome.heads[stream][0] == 1
    assert not outcome.parked


def test_what_comes_too_early_waits_for_what_comes_before_it() -> None:
    stream = uuid4()
    first, second, third = (each.replace(b'"worth":2', b'"worth":7') for each in coins(3, stream))
    assert versions(read(stream, first)) == [1]
    waiting = read(stream, third, second)
    assert versions(waiting) == []
    assert waiting.parked == {(0, 0), (0, 1)}


def test_what_the_handler_can_not_take_is_parked_with_what_follows() -> None:
    stream = uuid4()
    outcome = read(stream, *coins(3, stream))
    assert versions(outcome) == [1]
    assert outcome.parked == {(0, 1), (0, 2)}
    assert outcome.heads[stream][0] == 1


def test_poison_blocks_its_stream_and_no_other() -> None:
    stream, other = uuid4(), uuid4()
    records = [
        Record(0, 0, str(stream).encode(), b"poison"),
        Record(0, 1, str(stream).encode(), coins(1, stream)[0]),
        Record(0, 2, str(other).encode(), coins(1, other)[0]),
    ]
    outcome = consume(records, service=SERVICE, subscribes=frozenset({"mint.CoinMinted"}), catalogue=CATALOGUE)
    assert [recorded.envelope.stream for recorded in outcome.applied] == [other]
    assert outcome.parked == {(0, 0), (0, 1)}


def test_another_document_under_the_same_version_blocks_the_stream() -> None:
    stream = uuid4()
    first, forged = coins(1, stream)[0], coins(1, stream)[0].replace(b"coin-1", b"forged")
    outcome = read(stream, first, forged, first)
    assert versions(outcome) == [1]
    assert outcome.parked == {(0, 1)}


def test_a_type_that_nobody_subscribes_to_is_passed_over() -> None:
    stream = uuid4()
    unheard = coins(1, stream)[0].replace(b"mint.CoinMinted", b"mint.CoinMelted")
    outcome = read(stream, unheard)
    assert not outcome.applied
    assert not outcome.parked
    assert outcome.heads[stream][0] == 1


def test_a_key_that_is_no_stream_and_a_document_of_another_service_are_parked() -> None:
    stream = uuid4()
    one = coins(1, stream)[0]
    assert read(stream, one, key=b"nobody").parked == {(0, 0)}
    assert read(stream, one, service="elsewhere").parked == {(0, 0)}

"""Golden samples: documents of every version, made once, that every later reader must read as they were meant."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from govevents.document import canonical, hash_of, read_envelope
from govevents.event import event_type
from govevents.published import Published
from govevents.registry import CATALOGUE

PUBLISHED = Published()
GOLDEN = sorted(PUBLISHED.golden().items())
NEWEST = [((name, version), body) for (name, version), body in GOLDEN if CATALOGUE.type_of(name).version == version]
IDS = [f"{name}.v{version}" for (name, version), _ in GOLDEN]


def test_every_event_has_a_golden_sample() -> None:
    have = {key for key, _ in GOLDEN}
    assert {(name, event_type(cls).version) for name, cls in CATALOGUE.events.items()} <= have


@pytest.mark.parametrize(("key", "body"), GOLDEN, ids=IDS)
def test_a_sample_is_read_in_the_newest_version(key: tuple[str, int], body: bytes) -> None:
    recorded = CATALOGUE.decode(body)
    assert event_type(recorded.event) == CATALOGUE.type_of(key[0])
    assert recorded.envelope.schema_version == key[1]
    assert recorded.hash == hash_of(body)


@pytest.mark.parametrize(("key", "body"), GOLDEN, ids=IDS)
def test_a_sample_satisfies_its_released_schemas(key: tuple[str, int], body: bytes) -> None:
    document = json.loads(body)
    envelope = json.loads((PUBLISHED.schemas / "envelope.v1.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(envelope).validate(document)
    jsonschema.Draft202012Validator(PUBLISHED.released()[key]).validate(document["data"])


@pytest.mark.parametrize(("key", "body"), NEWEST, ids=[f"{name}.v{version}" for (name, version), _ in NEWEST])
def test_msgspec_and_pydantic_read_the_same_event(key: tuple[str, int], body: bytes) -> None:
    event = CATALOGUE.decode(body).event
    adapter = TypeAdapter(CATALOGUE.events[key[0]])
    assert adapter.validate_json(bytes(read_envelope(body).data)) == event


@pytest.mark.parametrize(("key", "body"), NEWEST, ids=[f"{name}.v{version}" for (name, version), _ in NEWEST])
def test_pydantic_refuses_an_unknown_field(key: tuple[str, int], body: bytes) -> None:
    data = {**json.loads(body)["data"], "unheard_of": 1}
    with pytest.raises(ValidationError, match="unheard_of"):
        TypeAdapter(CATALOGUE.events[key[0]]).validate_json(canonical(data))


@pytest.mark.parametrize(("key", "body"), GOLDEN, ids=IDS)
def test_a_sample_holds_the_bytes_that_would_be_written_again(key: tuple[str, int], body: bytes) -> None:
    assert canonical(json.loads(body)) == body
    event = CATALOGUE.decode(body).event
    if event_type(event).version == key[1]:
        assert canonical(event) == bytes(read_envelope(body).data)


def test_a_sample_is_never_written_again(tmp_path: Path) -> None:
    Published(tmp_path).generate()
    sample = tmp_path / "samples" / "approvals.VoteCast.v2.json"
    sample.write_bytes(b"as it was released")
    assert Published(tmp_path).generate() == []
    assert sample.read_bytes() == b"as it was released"


def test_an_event_that_no_ledger_has_may_be_written_anew(tmp_path: Path) -> None:
    Published(tmp_path).generate()
    sample = tmp_path / "samples" / "approvals.VoteCast.v2.json"
    good = sample.read_bytes()
    sample.write_bytes(b"as it was drafted")
    assert Published(tmp_path).generate(["approvals.VoteCast"]) == ["samples/approvals.VoteCast.v2.json"]
    assert sample.read_bytes() == good


def test_a_name_that_is_no_event_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"approvals\.VoteLost"):
        Published(tmp_path).generate(["approvals.VoteLost"])

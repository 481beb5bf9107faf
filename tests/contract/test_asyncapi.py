"""The AsyncAPI document names every topic, message, sender and receiver, and every reference in it leads somewhere."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

from govevents import asyncapi
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.event import event_type
from govevents.examples import sample_document
from govevents.published import Published
from govevents.registry import CATALOGUE, CONSUMERS, SERVICES, Subscription

PUBLISHED = Published()
DOCUMENT: dict[str, Any] = yaml.safe_load((PUBLISHED.folder / "asyncapi.yaml").read_text("utf-8"))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def follow(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_reference_leads_to_something() -> None:
    seen = set(references(DOCUMENT))
    assert seen
    for reference in seen:
        if reference.startswith("#/"):
            assert follow(reference)
        else:
            assert (PUBLISHED.folder / reference).is_file()


def test_it_has_what_the_standard_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert operation["channel"]["$ref"].startswith("#/channels/")
        # A message of an operation refers to its channel, never to the components directly.
        for message in operation.get("messages", ()):
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


def test_every_topic_is_a_channel_and_no_other_is() -> None:
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert sorted(addresses) == sorted([WATERMARK_TOPIC, *(topic_of(service) for service in SERVICES)])


def test_every_event_travels_on_its_services_topic_and_those_of_operators_on_all() -> None:
    for service in SERVICES:
        messages = set(DOCUMENT["channels"][service]["messages"])
        own = {name for name, cls in CATALOGUE.events.items() if event_type(cls).service == service}
        assert messages == own | {name for name in CATALOGUE.events if name.startswith("operations.")}


@pytest.mark.parametrize(("name", "cls"), sorted(CATALOGUE.events.items()))
def test_a_document_satisfies_the_payload_of_its_message(name: str, cls: type[object]) -> None:
    files = {
        f"schemas/{path.name}": Resource.from_contents(json.loads(path.read_text("utf-8")))
        for path in PUBLISHED.schemas.iterdir()
    }
    payload = follow(f"#/components/messages/{name}")["payload"]
    validator = jsonschema.Draft202012Validator(payload, registry=Registry().with_resources(files.items()))
    document = json.loads(sample_document(cls).body)
    validator.validate(document)
    assert not validator.is_valid({**document, "data": {}})
    assert not validator.is_valid({**document, "type": "operations.SomethingElse"})


def test_every_declared_consumer_receives() -> None:
    for each in CONSUMERS:
        operation = DOCUMENT["operations"][f"{each.reader}.receive.{each.source}"]
        assert {message["$ref"].rpartition("/")[2] for message in operation["messages"]} == each.events


def test_a_service_declares_what_it_reads_from_a_topic_once() -> None:
    pairs = [(each.reader, each.source) for each in CONSUMERS]
    assert len(pairs) == len(set(pairs))
    assert {service for pair in pairs for service in pair} <= set(SERVICES)


def test_reading_what_nobody_sends_is_refused() -> None:
    wrong = Subscription("risks", "projects", frozenset({"approvals.VoteCast"}))
    with pytest.raises(ValueError, match=r"risks reads approvals\.VoteCast, which projects does not send"):
        asyncapi.document(CATALOGUE, SERVICES, [wrong])

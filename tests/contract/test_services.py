"""What services say of themselves is what is published of them: whose events they read, and what their APIs take."""

import importlib
from typing import Any

import pytest

from govevents.event import event_type
from govevents.published import Published
from govevents.registry import CONSUMERS, SERVICES
from govkernel.access import ACCESS_MODELS
from govkernel.processes import ServiceDefinition, openapi_text
from govkernel.readmodels import ReadModel


def definition_of(service: str) -> ServiceDefinition:
    module = importlib.import_module(f"{service}.entrypoints.processes")
    found = [each for each in vars(module).values() if isinstance(each, ServiceDefinition)]
    assert len(found) == 1, f"{module.__name__} wires one service together, as a constant of the module"
    assert found[0].name == service
    return found[0]


def full_names(events: tuple[type[Any], ...]) -> frozenset[str]:
    return frozenset(event_type(each).full_name for each in events)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_what_it_declares_and_nothing_else(service: str) -> None:
    definition = definition_of(service)
    models: tuple[ReadModel[Any], ...] = (*ACCESS_MODELS, *definition.read_models)
    subscriptions = [(each.service, each.events) for each in models]
    subscriptions += [(each.service, each.events) for each in definition.reactions]
    read: dict[str, frozenset[str]] = {}
    for source, events in subscriptions:
        read[source] = read.get(source, frozenset()) | full_names(events)
    declared = {each.source: each.events for each in CONSUMERS if each.reader == service}
    assert read == declared, "put it right in CONSUMERS in govevents/registry.py, and run `make schemas`"


@pytest.mark.parametrize("service", SERVICES)
def test_the_stored_description_of_an_api_is_current(service: str) -> None:
    stored = Published().folder / "openapi" / f"{service}.json"
    assert stored.exists(), "run `make schemas`"
    assert stored.read_text("utf-8") == openapi_text(definition_of(service)), (
        "run `make schemas`, and read what changed"
    )

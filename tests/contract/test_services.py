"""What services say of themselves is what is published of them: whose events they read, and what their APIs take."""

from typing import Any

import pytest
from tests.support.services import definition_of

from govevents.event import event_type
from govevents.published import Published
from govevents.registry import CONSUMERS, SERVICES
from govkernel.access import ACCESS_MODELS
from govkernel.processes import openapi_text
from govkernel.readmodels import ReadModel


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


@pytest.mark.parametrize("service", SERVICES)
def test_no_api_says_that_a_decimal_may_be_a_json_number(service: str) -> None:
    assert '"type": "number"' not in openapi_text(definition_of(service))

"""One trace leads from a request, over the event that it appended, to whoever applied that; without an exporter, none."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from govevents.document import Origin, Recorded, encode
from govevents.operations import RecordSkipped
from govevents.registry import CATALOGUE
from govkernel.consumer import Rejected
from govkernel.consumer.traced import OLDEST, TracedHandler
from govkernel.tracing import Tracing

NOW = datetime(2030, 6, 30, 9, tzinfo=UTC)
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Traced:
    tracing: Tracing
    exporter: InMemorySpanExporter

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced() -> Iterator[Traced]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Traced(Tracing(provider), exporter)
    provider.shutdown()


def recorded(traceparent: str | None, *, version: int = 1, at: datetime = NOW, stream: Any = None) -> Recorded[Any]:
    return CATALOGUE.decode(
        encode(
            RecordSkipped("tests", "topic", None, 0, 0, None, ""),
            service="testing",
            aggregate="test",
            stream=stream or uuid4(),
            version=version,
            previous_hash=None if version == 1 else b"x" * 32,
            time=at,
            recorded_at=at,
            actor="service:testing",
            command=uuid4(),
            correlation="c",
            causation=None,
            origin=Origin.LIVE,
            traceparent=traceparent,
        ).body
    )


class Rejecting:
    """Rejects the events that it is told to reject."""

    name, service, subscribes = "roles/1", "testing", frozenset({"operations.RecordSkipped"})

    def __init__(self, *rejected: Rejected) -> None:
        self._rejected = rejected

    async def apply(self, _connection: Any, _batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        return self._rejected


async def applied(traced: Traced, *batch: Recorded[Any], rejected: Sequence[Rejected] = ()) -> Sequence[Rejected]:
    nowhere: Any = None
    return await TracedHandler(Rejecting(*rejected), traced.tracing, clock=lambda: NOW).apply(nowhere, batch)


async def test_a_request_and_the_application_of_its_event_are_in_the_callers_trace(traced: Traced) -> None:
    request = traced.tracing.request(CALLER)
    event = recorded(request.traceparent)
    request.end("POST", "castVote", 201)
    await applied(traced, event)
    served, application = traced.spans()
    assert (served.name, served.kind) == ("POST castVote", SpanKind.SERVER)
    assert served.parent is not None
    assert f"{served.parent.span_id:016x}" == "b7ad6b7169203331"
    assert application.name == "apply operations.RecordSkipped"
    assert application.parent is not None
    assert application.parent.span_id == served.context.span_id
    assert {f"{each.context.trace_id:032x}" for each in (served, application)} == {"0af7651916cd43dd8448eb211c80319c"}
    assert dict(application.attributes or {})["gatehouse.event"] == event.id


def test_a_caller_without_a_trace_begins_one_and_a_fault_of_ours_is_an_error(traced: Traced) -> None:
    request = traced.tracing.request(None)
    request.end("GET", "getReview", 500)
    (served,) = traced.spans()
    assert served.parent is None
    assert served.status.status_code is StatusCode.ERROR
    assert request.traceparent.split("-")[1] == request.trace == f"{served.context.trace_id:032x}"


async def test_a_caller_that_is_not_sampled_leaves_no_spans_anywhere(traced: Traced) -> None:
    request = traced.tracing.request(CALLER[:-1] + "0")
    request.end("POST", "castVote", 201)
    assert request.traceparent.endswith("-00")
    await applied(traced, recorded(request.traceparent))
    assert traced.spans() == []


async def test_a_rejected_event_is_an_error_and_what_follows_it_was_not_applied(traced: Traced) -> None:
    stream = uuid4()
    first, second, other = recorded(CALLER, stream=stream), recorded(CALLER, stream=stream, version=2), recorded(CALLER)
    rejected = Rejected(first, "no such role", retry=False)
    assert await applied(traced, first, second, other, rejected=[rejected]) == (rejected,)
    told = {dict(span.attributes or {})["gatehouse.event"]: span.status for span in traced.spans()}
    assert set(told) == {first.id, other.id}
    assert (told[first.id].status_code, told[first.id].description) == (StatusCode.ERROR, "no such role")
    assert told[other.id].status_code is StatusCode.UNSET


async def test_what_is_read_again_long_after_it_was_recorded_is_in_no_trace(traced: Traced) -> None:
    await applied(traced, recorded(CALLER, at=NOW - OLDEST - timedelta(seconds=1)), recorded(None))
    assert traced.spans() == []


def test_nothing_of_opentelemetry_is_loaded_where_traces_are_off() -> None:
    loaded = (
        "import sys, govkernel.processes.process; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

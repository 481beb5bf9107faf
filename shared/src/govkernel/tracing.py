"""Traces: from a request, through the events that it appended, to whoever applies them in other processes.

The context travels in the events' own `traceparent`, so nothing is added to the wire. Without an exporter there is no
`Tracing` at all, and nothing of OpenTelemetry is imported.
"""

from typing import TYPE_CHECKING, Final

from govevents.document import Envelope

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider as ExportingProvider
    from opentelemetry.trace import Span, TracerProvider

LONGEST_EXPORT_S: Final = 1.0
"""A process that stops waits no longer than this for whoever collects its traces."""


class Request:
    """A request under way; its context is that of every event that it appends."""

    def __init__(self, span: "Span") -> None:
        self._span = span
        self.trace = f"{span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """The context as W3C's header has it."""
        context = self._span.get_span_context()
        return f"00-{self.trace}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, method: str, operation: str, status: int) -> None:
        """It has been answered."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {operation}")
        self._span.set_attributes(
            {"http.request.method": method, "http.response.status_code": status, "gatehouse.operation": operation}
        )
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracing:
    """One process's traces, given to whatever `provider` exports them to."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._tracer = provider.get_tracer("gatehouse")

    def request(self, traceparent: str | None) -> Request:
        """Begin to answer a request, as a part of the caller's trace where it has one."""
        from opentelemetry.trace import SpanKind

        return Request(self._tracer.start_span("request", _context(traceparent), kind=SpanKind.SERVER))

    def applied(self, consumer: str, envelope: Envelope, began_ns: int, ended_ns: int, *, rejected: str | None) -> None:
        """An event was applied, or rejected for a reason, between these moments (ns since 1970), with its batch."""
        from opentelemetry.trace import SpanKind, StatusCode

        span = self._tracer.start_span(
            f"apply {envelope.type}",
            _context(envelope.traceparent),
            kind=SpanKind.CONSUMER,
            start_time=began_ns,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "gatehouse.consumer": consumer,
                "gatehouse.event": envelope.id,
            },
        )
        if rejected is not None:
            span.set_status(StatusCode.ERROR, rejected)
        span.end(ended_ns)


def exporting_provider(service: str) -> "ExportingProvider":
    """A provider that sends traces by OTLP over HTTP to where OpenTelemetry's own environment variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.namespace": "gatehouse"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=LONGEST_EXPORT_S)))
    return provider


def _context(traceparent: str | None) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": traceparent} if traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())

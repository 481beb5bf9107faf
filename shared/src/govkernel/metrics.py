"""The figures that a service's process shows to Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One process's figures, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self.service = service
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "gov_http_requests", "Requests answered.", ["operation", "method", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "gov_http_request_seconds", "Time to answer.", ["operation"], buckets=SECONDS, registry=self.registry
        )
        self.append_seconds = Histogram(
            "gov_append_seconds",
            "Time from the decision to the acknowledged commit.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.conflicts = Counter("gov_append_conflicts", "Commands that lost a race.", registry=self.registry)
        self.refusals = Counter("gov_refusals", "Commands refused.", ["slug"], registry=self.registry)
        self.outbox_rows = Gauge("gov_outbox_rows", "Events not yet acknowledged by Kafka.", registry=self.registry)
        self.outbox_age = Gauge(
            "gov_outbox_oldest_seconds",
            "Age of the oldest event that Kafka has not acknowledged.",
            registry=self.registry,
        )
        self.lag = Gauge("gov_consumer_lag_records", "Records not yet applied.", ["consumer"], registry=self.registry)
        self.parked = Gauge("gov_parked_records", "Records parked.", ["consumer"], registry=self.registry)
        self.restarts = Counter("gov_task_restarts", "Crashed tasks started again.", ["task"], registry=self.registry)

    def render(self) -> tuple[bytes, str]:
        """Everything in the OpenMetrics text format, and its content type."""
        body: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return body, CONTENT_TYPE_LATEST

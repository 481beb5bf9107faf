"""The figures that a service's process shows to Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

BATCH = (1, 2, 4, 8, 14, 20, 32, 50, 64, 100)
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
        self.append_batch = Histogram(
            "gov_append_batch_commands", "Commands appended together.", buckets=BATCH, registry=self.registry
        )
        self.pool_connections = Gauge(
            "gov_pool_connections",
            "Connections to PostgreSQL: in_use of them work, size is how many there may be.",
            ["state"],
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
        self.relay_tail = Gauge(
            "gov_relay_tail_events",
            "Events sent from behind a transaction that is still open; each pass compares them.",
            registry=self.registry,
        )
        self.relay_leader = Gauge("gov_relay_leader", "1 while a replica carries the ledger.", registry=self.registry)
        self.relay_verified = Gauge(
            "gov_relay_verified", "1 once this database lacks nothing that Kafka has.", registry=self.registry
        )
        self.relay_alarm = Gauge(
            "gov_relay_alarm", "1 while the relay waits for a person to look.", registry=self.registry
        )
        self.kafka_up = Gauge("gov_kafka_up", "1 while Kafka answers this process.", registry=self.registry)
        self.lag = Gauge("gov_consumer_lag_records", "Records not yet applied.", ["consumer"], registry=self.registry)
        self.lag_seconds = Gauge(
            "gov_consumer_lag_seconds",
            "For how long what is not applied has been there; 0 where everything is.",
            ["consumer"],
            registry=self.registry,
        )
        self.consumer_alarm = Gauge(
            "gov_consumer_alarm", "1 while a consumer waits for a person to look.", ["consumer"], registry=self.registry
        )
        self.parked = Gauge("gov_parked_records", "Records parked.", ["consumer"], registry=self.registry)
        self.parked_streams = Gauge(
            "gov_parked_streams", "Streams that stand still for a parked record.", ["consumer"], registry=self.registry
        )
        self.read_model_trouble = Gauge(
            "gov_read_model_trouble",
            "1 while a read model is not followed or not built here.",
            ["read_model"],
            registry=self.registry,
        )
        self.rebuild_rate = Gauge(
            "gov_rebuild_records_per_second",
            "Records that a rebuild reads in a second; 0 while there is none.",
            ["read_model"],
            registry=self.registry,
        )
        self.restarts = Counter("gov_task_restarts", "Crashed tasks started again.", ["task"], registry=self.registry)

        self._of_answer: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, operation: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered within so many seconds."""
        figures = self._of_answer.get((operation, method, status))
        if figures is None:
            figures = self.requests.labels(operation, method, str(status)), self.request_seconds.labels(operation)
            self._of_answer[operation, method, status] = figures
        count, histogram = figures
        count.inc()
        histogram.observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """Everything in the OpenMetrics text format, and its content type."""
        body: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return body, CONTENT_TYPE_LATEST

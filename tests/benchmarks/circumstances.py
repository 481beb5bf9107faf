"""What a run was measured on: the machine, the versions, and what the servers promise to keep."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import psutil
from tests.benchmarks.bench import Bench

from gov.runtime.jars import read_lock

SETTINGS: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "data_checksums",
)
LIBRARIES: Final = ("aiokafka", "asyncpg", "confluent-kafka", "fastapi", "msgspec", "pydantic", "starlette", "uvicorn")


async def circumstances(bench: Bench) -> dict[str, Any]:
    """What has to be stated beside the figures."""
    connection = await asyncpg.connect(bench.postgres_url)
    try:
        postgres = {name: await connection.fetchval(f"SHOW {name}") for name in SETTINGS}
    finally:
        await connection.close()
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_before": list(os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "scale": asdict(bench.scale),
        "postgres": postgres,
        "kafka": {"version": kafka_version(), "acks": "all", "brokers": bench.kafka_bootstrap.count(",") + 1},
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def in_words(stated: Mapping[str, Any]) -> str:
    """What matters most of it, in a few lines."""
    postgres, kafka, scale = stated["postgres"], stated["kafka"], stated["scale"]
    machine = (
        f"{stated['cpus_usable']} of {stated['cpus']} CPUs, {stated['memory_bytes'] / 2**30:.0f} GiB, "
        f"load {stated['load_average_before'][0]:.1f} before; {stated['system']}, Python {stated['python']}"
    )
    servers = (
        f"PostgreSQL {postgres['server_version']}: fsync {postgres['fsync']}, "
        f"synchronous_commit {postgres['synchronous_commit']}, shared_buffers {postgres['shared_buffers']}, "
        f"max_wal_size {postgres['max_wal_size']}; "
        f"Kafka {kafka['version']}: {kafka['brokers']} broker, acks {kafka['acks']}"
    )
    measured = f"{scale['repeats']} repeats by turns, {scale['seconds']} s each where time is given"
    return f"{machine}\n{servers}\n{measured}"


def kafka_version() -> str:
    """The version of the broker's jars."""
    return next(jar.version for jar in read_lock() if jar.artifact == "kafka-clients")

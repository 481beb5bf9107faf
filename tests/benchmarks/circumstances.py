"""What a run was measured on: the machine, the versions, and what the servers promise to keep."""

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
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
FSYNCS: Final = 200
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
        "fsync_us": fsync_us(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "scale": asdict(bench.scale),
        "postgres": postgres,
        "kafka": {"version": kafka_version(), "acks": "all", "brokers": bench.kafka_bootstrap.count(",") + 1},
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def fsync_us() -> float:
    """How many microseconds it takes to write 8 KiB and have them kept, as each commit does: the median of many."""
    block = b"b" * 8192
    taken = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(FSYNCS):
            began = perf_counter()
            file.seek(0)
            file.write(block)
            os.fsync(file.fileno())
            taken.append(perf_counter() - began)
    return median(taken) * 1_000_000


def in_words(stated: Mapping[str, Any]) -> str:
    """What matters most of it, in a few lines."""
    postgres, kafka, scale = stated["postgres"], stated["kafka"], stated["scale"]
    machine = (
        f"{stated['cpus_usable']} of {stated['cpus']} CPUs, {stated['memory_bytes'] / 2**30:.0f} GiB, "
        f"load {stated['load_average_before'][0]:.1f} before, fsync takes {stated['fsync_us']:.0f} us; {stated['system']}, Python {stated['python']}"
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

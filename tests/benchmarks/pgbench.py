"""PostgreSQL's own load generator: prepared single-row INSERTs into the ledger's table, by so many clients."""

import asyncio
import itertools
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.benchmarks.bench import Bench

RUNS: Final = itertools.count(1)
MOST_CLIENTS: Final = 64

# Each client writes a stream of its own, as each of our callers does. What a client would have made is given.
INSERT: Final = r"""
\set version :version + 1
\set number :run * 1000 + :client_id
INSERT INTO events (stream, version, type, time, recorded_at, document, hash)
VALUES (lpad(:number::text, 32, '0')::uuid, :version, 'pgbench.Inserted', now(), now(), :document, :hash);
"""


@dataclass(frozen=True, slots=True)
class Inserted:
    """How many rows were inserted, and how many of them in a second."""

    rows: int
    per_second: float


async def insert(bench: Bench, url: str, *, clients: int, document_bytes: int, seconds: int) -> Inserted:
    """Insert for so long at least, one row a transaction, documents of that size."""
    # Its time begins before it connects; what it says of a second counts from after that.
    connecting_s = 1 + clients // 32
    address = urlsplit(url)
    environment = {
        **os.environ,
        "PGHOST": address.hostname or "",
        "PGPORT": str(address.port),
        "PGUSER": address.username or "",
        "PGPASSWORD": address.password or "",
        "PGDATABASE": address.path[1:],
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(INSERT, "utf-8")
        process = await asyncio.create_subprocess_exec(
            str(bench.postgres_programs / "pgbench"),
            *("--no-vacuum", "--protocol=prepared", f"--file={script}", f"--time={seconds + connecting_s}"),
            *(f"--client={clients}", f"--jobs={min(2, clients)}"),
            *(f"--define=run={next(RUNS)}", "--define=version=0", f"--define=hash={'h' * 32}"),
            f"--define=document={'d' * document_bytes}",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output = (await process.communicate())[0].decode()
        finally:
            if process.returncode is None:
                process.kill()
    rows = re.search(r"number of transactions actually processed: (\d+)", output)
    rate = re.search(r"tps = ([\d.]+) \(without initial connection time\)", output)
    assert rows and rate and process.returncode == 0, output
    return Inserted(int(rows[1]), float(rate[1]))

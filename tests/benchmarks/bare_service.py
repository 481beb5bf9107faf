"""The floor of a command over HTTP: a bare FastAPI endpoint with a pydantic body and one asyncpg INSERT.

`python -m tests.benchmarks.bare_service <port> <database> <bytes of a document>`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

from govkernel.processes.process import LARGEST_POOL

INSERT: Final = """
INSERT INTO events (stream, version, type, time, recorded_at, document, hash)
VALUES ($1, 1, 'bare.Inserted', $2, $2, $3, $4)"""


class DrawRequest(BaseModel):
    amount_minor: Annotated[int, Field(gt=0, le=2**50)]
    purpose: Annotated[str, Field(min_length=1, max_length=500)]


class Drawn(BaseModel):
    stream: UUID


def application(database: str, document: bytes) -> FastAPI:
    """The endpoint over a pool as large as a service's."""
    pools: list[Any] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database, min_size=LARGEST_POOL, max_size=LARGEST_POOL) as pool:
            pools.append(pool)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/funds/{fund}/drawings", status_code=201)
    async def draw(fund: UUID, body: DrawRequest) -> Drawn:
        stream = uuid4()
        await pools[0].execute(INSERT, stream, datetime.now(UTC), document, b"h" * 32)
        return Drawn(stream=stream)

    return app


if __name__ == "__main__":
    port, url, size = sys.argv[1:]
    uvicorn.run(
        application(url, b"d" * int(size)),
        host="127.0.0.1",
        port=int(port),
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        backlog=1024,
    )

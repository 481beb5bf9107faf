"""Reading a topic from its beginning: the way out where a topic was made anew, or has lost what was not read yet."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from govkernel.postgres import Connection

FORGET_OFFSETS: Final = "DELETE FROM consumer_partitions WHERE topic = $1"

# What was parked lies at places of the old topic; whatever of it is in the new one is met again there.
FORGET_PARKED: Final = "DELETE FROM parked WHERE topic = $1"


async def read_again(pool: "asyncpg.Pool[Any]", topic: str, *, record: Callable[[Connection], Awaitable[bool]]) -> bool:
    """Let every consumer of a topic in this database read it from its beginning; what they have applied they drop.

    `record` writes down who ordered it, in the same transaction, and returns False where that was ordered before: then
    nothing more is done. A consumer that had stopped begins at its next try, another one at its next look at the topic.
    """
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        recorded = await record(connection)
        if recorded:
            # In the order in which batches lock them.
            await connection.execute(FORGET_OFFSETS, topic)
            await connection.execute(FORGET_PARKED, topic)
    return recorded

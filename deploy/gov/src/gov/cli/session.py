"""Signing in and asking, as every command does it."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

from rich.progress import Progress

from gov.cli.output import Output
from gov.client import Client, Misconfigured, NotRunning, Unavailable, find_addresses

Value = TypeVar("Value")

REMINDER_S: Final = 15.0


def client_of(output: Output, username: str, *, patience_s: float = 0.0) -> Client:
    """A client for whoever GOV_TOKEN speaks for, else for a person of the demo issuer. Raises Misconfigured."""
    told: dict[str, float] = {}

    def on_wait(service: str, reason: str) -> None:
        # Every request that is under way meets the same outage: people need to read of it once.
        if time.monotonic() - told.get(service, -REMINDER_S) >= REMINDER_S:
            told[service] = time.monotonic()
            output.aside(f"{service} is away, trying again: {reason}", "yellow")

    return Client(
        find_addresses(),
        token=os.environ.get("GOV_TOKEN", "").strip() or None,
        username=username,
        patience_s=patience_s,
        on_wait=on_wait,
    )


def wait_for(work: Coroutine[Any, Any, Value]) -> Value:
    """Run a command's work to its end."""
    return asyncio.run(work)


async def of_each(
    output: Output, services: Iterable[str], ask: Callable[[str], Awaitable[Value]]
) -> tuple[dict[str, Value], list[str]]:
    """What each service answers, by its name, and the names of those that are away, of which people are told."""
    answered: dict[str, Value] = {}
    away: list[str] = []
    for service in services:
        try:
            answered[service] = await ask(service)
        except (NotRunning, Unavailable) as error:
            away.append(service)
            output.aside(str(error), "red")
    return answered, away


async def result_of(
    client: Client, progress: Progress, service: str, path: str, parameters: Mapping[str, str | int | None], name: str
) -> dict[str, Any]:
    """The outcome of an answer that takes its time, its stages shown under a name. Raises Unavailable."""
    task = progress.add_task(name, total=None)
    async for line in client.lines(service, path, parameters):
        if (stage := line.get("progress")) is not None:
            shown = f"{name}: {stage['stage']}"
            progress.update(task, total=stage.get("total"), completed=stage["done"], description=shown)
        elif (result := line.get("result")) is not None:
            found: dict[str, Any] = result
            return found
        else:
            raise Unavailable(service, line["failed"])
    raise Unavailable(service, "it stopped in the middle of its answer")


async def node_id(client: Client, node: str | None) -> str | None:
    """The id of a node that is given by id or, being a portfolio, by name. Raises Misconfigured where there is none."""
    return None if node is None else await portfolio_id(client, node, option="--node")


async def portfolio_id(client: Client, node: str, *, option: str = "--portfolio") -> str:
    """The id that is given, or that of the portfolio of this name. Raises Misconfigured where there is none."""
    try:
        return str(UUID(node))
    except ValueError:
        pass
    names = []
    async for item in client.items("projects", "/portfolios"):
        if item["name"] == node:
            return str(item["portfolio"])
        names.append(item["name"])
    known = ", ".join(map(repr, sorted(names))) or "none yet"
    raise Misconfigured(f"{option}: there is no portfolio {node!r}; give an id, or one of: {known}")

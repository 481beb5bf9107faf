"""gov consumers: what an operator can do about those who read a topic, over all services."""

from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, of_each, wait_for
from gov.client import new_key
from gov.client.addresses import SERVICES
from govevents.catalogue import topic_of

app = typer.Typer(no_args_is_help=True, help="Those who read topics; `gov projections status` shows how far they are.")


@app.callback()
def consumers() -> None:
    """Keep the name of the step, although there is only one."""


@app.command()
def reread(
    services: Annotated[list[str], typer.Argument(help="The services whose topics are to be read again.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded for good.")],
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Let every consumer of these services' topics read them from their beginning.

    For topics that were made anew or lost what was not read yet. Each drops what it has applied, meets again what it
    had parked, and begins within seconds. Exit code 3 where a service is away: run it again then.
    """
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    output = Output(json=json)

    async def ask() -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
        async with client_of(output, as_, patience_s=10) as client:

            async def order(reader: str) -> list[dict[str, Any]]:
                consumers = (await client.query(reader, "/operations/consumers"))["items"]
                ordered = []
                for service in services:
                    topic = topic_of(service)
                    reading = [each["consumer"] for each in consumers if each["topic"] == topic]
                    if reading:
                        body = {"service": service, "reason": reason}
                        done = await client.post(reader, "/operations/consumers/rereads", body, key=new_key())
                        ordered.append({"service": reader, "topic": topic, "consumers": reading, **done})
                return ordered

            return await of_each(output, SERVICES, order)

    by_reader, away = wait_for(ask())
    ordered = [each for items in by_reader.values() for each in items]
    output.document({"items": ordered, "away": away})
    output.table(
        "Topics that are read again",
        ("by", "topic", "consumers", "recorded as"),
        ((each["service"], each["topic"], ", ".join(each["consumers"]), each["event"]) for each in ordered),
    )
    if away:
        raise typer.Exit(Exit.AWAY)
    if not ordered:
        output.line("Nobody reads that, or all who do have just begun.")

"""gov relay: how far each service's ledger has been carried to Kafka, and what an operator can do about it."""

from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, of_each, wait_for
from gov.client import new_key
from gov.client.addresses import SERVICES

app = typer.Typer(no_args_is_help=True, help="How far each ledger has been carried to Kafka.")

ServiceName = Annotated[str, typer.Argument(help="The service whose relay is meant.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded for good.")]


@app.command()
def status(
    services: Annotated[list[str] | None, typer.Argument(help="Only of these services.")] = None,
    *,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Show who carries each ledger, how far, and what is in the way.

    Exit code 1 where a database is not verified or a relay is held up, 3 where a service is away.
    """
    output = Output(json=json)

    async def ask() -> tuple[dict[str, Any], list[str]]:
        async with client_of(output, as_) as client:
            return await of_each(output, services or SERVICES, lambda each: client.query(each, "/operations/relay"))

    by_service, away = wait_for(ask())
    found = [{"service": each, **relay} for each, relay in by_service.items()]
    output.document({"items": found, "away": away})
    output.table(
        "Relays",
        ("service", "database", "leader", "epoch", "leads until", "not sent", "oldest", "tail", "watermark"),
        (
            (
                each["service"],
                "verified" if each["verified"] else "waits for verification",
                each["leader"] or "nobody",
                each["epoch"],
                each["led_until"],
                each["lag_rows"],
                each["oldest"],
                each["tail_length"],
                each["watermark"],
            )
            for each in found
        ),
    )
    output.table(
        "Topics",
        ("service", "topic", "id", "cluster", "acknowledged offsets"),
        ((each["service"], each["topic"], each["topic_id"], each["cluster_id"], _offsets(each)) for each in found),
    )
    for each in found:
        if each["alarm"] or each["trouble"]:
            output.line(f"{each['service']}: {each['alarm'] or each['trouble']}", "red")
    if away:
        raise typer.Exit(Exit.AWAY)
    if any(each["alarm"] or each["trouble"] or not each["verified"] for each in found):
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def republish(
    service: ServiceName, *, reason: Reason, as_: options.As = options.OPERATOR, json: options.Json = False
) -> None:
    """Send every event of a ledger to Kafka once more; readers drop what they have already.

    For a topic that was made anew or lost records, and that the relay therefore refuses.
    """
    done = _post(Output(json=json), as_, service, "/operations/relay/republications", reason)
    Output(json=json).line(f"Everything of {service} is sent once more; it is recorded as {done['event']}.")


@app.command()
def vouch(
    service: ServiceName, *, reason: Reason, as_: options.As = options.OPERATOR, json: options.Json = False
) -> None:
    """Say that a database lost nothing when it came back, where Kafka is away and can't tell.

    Commands are taken again from then on. What it has lost all the same will be a fork.
    """
    done = _post(Output(json=json), as_, service, "/operations/relay/vouch", reason)
    Output(json=json).line(f"{service} takes commands again; its database has been running since {done['started_at']}.")


def _post(output: Output, username: str, service: str, path: str, reason: str) -> Any:
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")

    async def ask() -> Any:
        async with client_of(output, username, patience_s=10) as client:
            return await client.post(service, path, {"reason": reason}, key=new_key())

    done = wait_for(ask())
    output.document({"service": service, **done})
    return done


def _offsets(relay: dict[str, Any]) -> str:
    return " ".join(f"{partition}:{offset}" for partition, offset in relay["acknowledged"].items())

"""gov parked: what consumers could not apply, over all services."""

from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, of_each, wait_for
from gov.client import new_key
from gov.client.addresses import SERVICES

app = typer.Typer(no_args_is_help=True, help="Records that consumers could not apply.")

ServiceName = Annotated[str, typer.Argument(help="The service whose consumer parked the record.")]
Record = Annotated[int, typer.Argument(help="The record's number in that service, from `gov parked list`.", min=1)]


@app.command("list")
def list_(
    *,
    service: Annotated[str | None, typer.Option("--service", help="Only of this service.")] = None,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """List the parked records of every service.

    Exit code 1 where there are any, 3 where a service is away.
    """
    output = Output(json=json)

    async def ask() -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
        async with client_of(output, as_) as client:

            async def parked(each: str) -> list[dict[str, Any]]:
                return [{"service": each, **item} async for item in client.items(each, "/operations/parked")]

            return await of_each(output, [service] if service else SERVICES, parked)

    by_service, away = wait_for(ask())
    found = [item for items in by_service.values() for item in items]
    output.document({"items": found, "away": away})
    output.table(
        "Parked records",
        ("service", "record", "consumer", "stream", "version", "kind", "since", "tries", "reason"),
        (
            [
                each[name]
                for name in ("service", "id", "consumer", "stream", "version", "kind", "parked_at", "tries", "reason")
            ]
            for each in found
        ),
    )
    if away:
        raise typer.Exit(Exit.AWAY)
    if found:
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def show(
    service: ServiceName, record: Record, *, as_: options.As = options.OPERATOR, json: options.Json = False
) -> None:
    """Show one record with its bytes."""
    output = Output(json=json)

    async def ask() -> Any:
        async with client_of(output, as_) as client:
            return await client.query(service, f"/operations/parked/{record}")

    found = {"service": service, **wait_for(ask())}
    output.document(found)
    output.table(f"Record {record} of {service}", ("", ""), found.items())


@app.command()
def retry(
    service: ServiceName, record: Record, *, as_: options.As = options.OPERATOR, json: options.Json = False
) -> None:
    """Try a record again, and what follows it.

    Exit code 1 where it stays parked.
    """
    _step(Output(json=json), as_, service, record, "retry", None)


@app.command()
def skip(
    service: ServiceName,
    record: Record,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why the record may be left out; it is recorded for good.")],
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Go on without a record, for a reason that is recorded."""
    if not reason.strip():
        raise typer.BadParameter("say why the record may be left out", param_hint="--reason")
    _step(Output(json=json), as_, service, record, "skip", {"reason": reason})


def _step(output: Output, username: str, service: str, record: int, step: str, body: dict[str, str] | None) -> None:
    async def ask() -> Any:
        async with client_of(output, username, patience_s=10) as client:
            return await client.post(service, f"/operations/parked/{record}/{step}", body, key=new_key())

    done = wait_for(ask())
    output.document({"service": service, "record": record, **done})
    remains = done["remains"]
    output.line(f"{done['applied']} events were applied.")
    if remains is not None:
        output.line(f"Record {record} is still parked: {remains['reason']}", "red")
        raise typer.Exit(Exit.PROBLEMS)

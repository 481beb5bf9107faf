"""gov log: is every ledger whole, does Kafka hold the same bytes, and bringing back what a ledger has lost."""

import asyncio
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, of_each, result_of, wait_for
from gov.client import Client, Unavailable, new_key
from gov.client.addresses import SERVICES

app = typer.Typer(no_args_is_help=True, help="Ledgers compared with themselves and with Kafka.")

VERIFICATION: Final = "/operations/ledger/verification"
LOST: Final = "lost"
IN_THE_WAY: Final = frozenset({"fork", "cut_off"})
POLL_S: Final = 0.5
LONGEST_RECOVERY_S: Final = 3600.0

Findings = Annotated[
    int, typer.Option("--findings", help="How many differences of each kind are shown.", min=1, max=1000)
]


@app.command()
def verify(
    services: Annotated[list[str] | None, typer.Argument(help="Only of these services.")] = None,
    *,
    findings: Findings = 20,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Compare ledgers with their hashes, their commands and Kafka.

    The services go on meanwhile. Exit code 1 where anything differs, 3 where a service is away.
    """
    output = Output(json=json)

    async def ask() -> tuple[dict[str, dict[str, Any]], list[str]]:
        async with client_of(output, as_) as client:
            with output.progress() as progress:
                return await of_each(
                    output, services or SERVICES, lambda each: _compare(client, progress, each, findings=findings)
                )

    by_service, away = wait_for(ask())
    found = [{"service": each, **compared} for each, compared in by_service.items()]
    output.document({"items": found, "away": away})
    output.table(
        "Ledgers",
        ("service", "events", "streams", "commands", "records in Kafka", "sent again", "not sent yet", "differences"),
        (
            (
                each["service"],
                *(each[name] for name in ("events", "streams", "commands", "records", "repeats", "unsent")),
                sum(each["counts"].values()),
            )
            for each in found
        ),
    )
    _show(output, found)
    if away:
        raise typer.Exit(Exit.AWAY)
    if any(each["counts"] for each in found):
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def recover(
    service: Annotated[str, typer.Argument(help="The service whose ledger lacks something.")],
    *,
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Bring it back, and record why for good. Without it nothing is changed."),
    ] = None,
    findings: Findings = 20,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Show what a ledger lacks and Kafka has, and bring it back.

    Commands wait while that is done. Where both hold different documents at one place nothing is touched. Exit code 1
    where something can't be brought back.
    """
    if reason is not None and not reason.strip():
        raise typer.BadParameter("say why the ledger may lack something", param_hint="--reason")
    output = Output(json=json)
    told = wait_for(_recover(output, as_, service, reason, findings))
    output.document(told)
    _show(output, [told])
    lost, brought_back = told["lost"], told["brought_back"]
    if told["in_the_way"]:
        output.line(
            f"Nothing was changed: {told['in_the_way']} events contradict the ledger, and a person has to say which "
            "are true.",
            "red",
        )
        raise typer.Exit(Exit.PROBLEMS)
    if told["alarm"]:
        output.line(f"The relay gave up, and commands are not taken: {told['alarm']}", "red")
        raise typer.Exit(Exit.PROBLEMS)
    if brought_back is not None:
        output.line(f"{brought_back} events were brought back; {service} takes commands again.")
    elif lost:
        output.line(f"{lost} events can be brought back: give a --reason to do it.")
        raise typer.Exit(Exit.PROBLEMS)
    else:
        output.line(f"The ledger of {service} lacks nothing that Kafka has.")


async def _recover(output: Output, username: str, service: str, reason: str | None, findings: int) -> dict[str, Any]:
    async with client_of(output, username, patience_s=10) as client:
        with output.progress() as progress:
            found = await _compare(client, progress, service, findings=findings, topic_only=True)
            lost = found["counts"].get(LOST, 0)
            in_the_way = sum(found["counts"].get(kind, 0) for kind in IN_THE_WAY)
            told = {
                "service": service,
                "lost": lost,
                "in_the_way": in_the_way,
                "brought_back": None,
                "alarm": None,
                "findings": [each for each in found["findings"] if each["kind"] in IN_THE_WAY | {LOST}],
            }
            if reason is None or in_the_way or not lost:
                return told
            await client.post(service, "/operations/ledger/recoveries", {"reason": reason}, key=new_key())
            task = progress.add_task(f"{service}: the relay reads Kafka and brings back", total=None)
            relay = await _until_verified(client, service)
            progress.remove_task(task)
            return {**told, "brought_back": None if relay["alarm"] else relay["brought_back"], "alarm": relay["alarm"]}


async def _until_verified(client: Client, service: str) -> Any:
    clock = asyncio.get_running_loop().time
    deadline = clock() + LONGEST_RECOVERY_S
    while clock() < deadline:
        relay = await client.query(service, "/operations/relay")
        if relay["verified"] or relay["alarm"]:
            return relay
        await asyncio.sleep(POLL_S)
    raise Unavailable(service, f"its relay has not verified the database within {LONGEST_RECOVERY_S:.0f} s")


async def _compare(
    client: Client, progress: Progress, service: str, *, findings: int, topic_only: bool = False
) -> dict[str, Any]:
    parameters: dict[str, str | int | None] = {"findings": findings, "topic_only": "true" if topic_only else None}
    return await result_of(client, progress, service, VERIFICATION, parameters, service)


def _show(output: Output, found: list[dict[str, Any]]) -> None:
    names = ("kind", "place", "where", "what")
    rows = [(each["service"], *(one[name] for name in names)) for each in found for one in each["findings"]]
    if rows:
        output.table("Differences", ("service", "kind", "what", "where", "how"), rows)

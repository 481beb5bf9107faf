"""The local system: up, down, status, doctor, demo, and tokens of its issuer."""

import shlex
import signal
import time
from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.doctor import examine
from gov.cli.output import Exit, Output
from gov.cli.session import wait_for
from gov.client import Addresses, Client, find_addresses
from gov.client.addresses import WEB
from gov.issuer.people import accounts
from gov.runtime.state import State, state_folder
from gov.runtime.system import LocalSystem, SystemState, SystemStatus


def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background, and return once all is ready.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Start the local system: PostgreSQL, Kafka, issuer, services.

    Ctrl-C stops it; with --detach it runs on, and `gov down` stops it.
    """
    if json and not detach:
        raise typer.BadParameter(
            "needs --detach: in the foreground stdout shows the services' logs", param_hint="--json"
        )
    output = Output(json=json)

    def ready(status: SystemStatus) -> None:
        output.document(_described(status))
        _show_addresses(output, status, stop="`gov down` stops it." if detach else "Ctrl-C stops it.")

    LocalSystem(State(state_folder())).up(detach=detach, on_ready=ready)


def down(
    *,
    forget: Annotated[bool, typer.Option("--forget", help="Delete all its data, too.")] = False,
    json: options.Json = False,
) -> None:
    """Stop the local system, and what a killed one has left."""
    output = Output(json=json)
    folder = state_folder()
    was_running = False
    if folder.exists():
        system = LocalSystem(State(folder))
        was_running = system.down()
        if forget:
            system.forget()
    output.document({"was_running": was_running, "forgotten": forget})
    output.line(f"{'Stopped.' if was_running else 'Nothing was running.'}{' Its data is deleted.' if forget else ''}")


def status(*, json: options.Json = False) -> None:
    """Show whether the local system runs, and where.

    Exit code 3 unless it is ready.
    """
    output = Output(json=json)
    folder = state_folder()
    if not folder.exists():
        output.document(
            {"state": SystemState.STOPPED, "supervisor_pid": None, "addresses": {}, "children": [], "failure": None}
        )
        output.line(f"Nothing has run in {folder} yet; start it with `gov up`.")
        raise typer.Exit(Exit.AWAY)
    found = LocalSystem(State(folder)).status()
    output.document(_described(found))
    output.line(f"The system of {folder} is {found.state.value}.")
    output.table(
        "Processes",
        ("name", "state", "pid", "restarts", "address"),
        (
            (
                child.name,
                child.state,
                child.process.pid if child.process else None,
                child.restarts,
                found.addresses.get(child.name),
            )
            for child in found.children
        ),
    )
    if found.failure is not None:
        output.line(f"{found.failure.child} {found.failure.reason}", "red")
        for each in found.failure.lines:
            output.line(f"    {each}")
    if found.state is not SystemState.READY:
        raise typer.Exit(Exit.AWAY)


def env(*, json: options.Json = False) -> None:
    """Print the addresses for a shell: eval "$(gov env)".

    Each is exported under its service's name in capitals, such as PROJECTS.
    """
    addresses = find_addresses()
    found = {name.upper(): addresses.of(name) for name in WEB}
    output = Output(json=json)
    output.document(found)
    for name, address in found.items():
        output.line(f"export {name}={shlex.quote(address)}")


def doctor(*, json: options.Json = False) -> None:
    """Say what this machine lacks, and how to get it.

    Exit code 1 where something is missing.
    """
    output = Output(json=json)
    findings = examine(state_folder())
    output.document(
        {
            "ok": all(finding.ok for finding in findings),
            "findings": [
                {"name": each.name, "ok": each.ok, "found": each.found, "remedy": "" if each.ok else each.remedy}
                for each in findings
            ],
        }
    )
    output.table(
        "What the local system needs",
        ("", "what", "found", "what to do"),
        (("ok" if each.ok else "MISSING", each.name, each.found, "" if each.ok else each.remedy) for each in findings),
    )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(Exit.PROBLEMS)


def demo(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    json: options.Json = False,
) -> None:
    """Start the local system and play a portfolio in.

    It is played through the public APIs under the demo clock; playing it again changes nothing. Ctrl-C stops what this
    has started; the data stays until `gov down --forget`.
    """
    if json and not detach:
        raise typer.BadParameter("needs --detach: the command goes on until Ctrl-C", param_hint="--json")
    output = Output(json=json)
    system = LocalSystem(State(state_folder()))
    stops = system.status().state is not SystemState.READY and not detach
    # A terminal that is closed ends the demonstration as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if system.status().state is not SystemState.READY:
            output.aside("Starting PostgreSQL, Kafka and the services; their logs are in " + str(system.state.logs))
            system.up(detach=True)
        started = system.status()
        addresses = Addresses({name: each for name, each in started.addresses.items() if name in WEB})
        played = _play(output, system.state, addresses)
        output.document({**_described(started), "played": played})
        _show_addresses(output, started, stop="Ctrl-C stops it." if stops else "`gov down` stops it.")
        output.table(
            "Demo sign-ins: `gov token NAME`, no password",
            ("name", "who"),
            ((account.username, f"{account.name}, {account.about}") for account in accounts().values()),
        )
        while stops and system.status().state is SystemState.READY:
            time.sleep(0.5)
    except KeyboardInterrupt:
        output.aside("Stopping.")
    finally:
        if stops:
            system.down()


def _play(output: Output, state: State, addresses: Addresses) -> dict[str, Any]:
    # Only here: no other command has to wait for it to be loaded.
    from gov.demo import play, remember, remembered

    played = wait_for(remembered(state, addresses))
    if played is not None:
        output.line(f"Played in before: {len(played.projects)} projects.")
    else:
        with output.progress() as progress:
            task = progress.add_task("Playing 18 months in", total=None)
            played = wait_for(play(addresses, on_command=lambda: progress.advance(task)))
        remember(state, played)
        output.line(f"Played in: {len(played.projects)} projects, {played.commands} commands.")
    return {
        "portfolio": str(played.portfolio),
        "projects": {reference: str(project) for reference, project in played.projects.items()},
        "waiting": str(played.waiting),
        "commands": played.commands,
    }


def token(
    name: Annotated[str, typer.Argument(help="A person of the demo issuer, such as ana.")],
    *,
    json: options.Json = False,
) -> None:
    """Print a token of the demo issuer.

    For other clients: curl -H "Authorization: Bearer $(gov token ana)" ...
    """

    async def ask() -> str:
        async with Client(find_addresses(), username=name) as client:
            return await client.token()

    given = wait_for(ask())
    output = Output(json=json)
    output.document({"username": name, "access_token": given, "token_type": "Bearer"})
    output.line(given)


def _described(found: SystemStatus) -> dict[str, Any]:
    return {
        "state": found.state,
        "supervisor_pid": found.supervisor_pid,
        "addresses": dict(found.addresses),
        "children": [
            {
                "name": child.name,
                "state": child.state,
                "pid": child.process.pid if child.process else None,
                "restarts": child.restarts,
                "since": child.since,
            }
            for child in found.children
        ],
        "failure": found.failure,
    }


def _show_addresses(output: Output, found: SystemStatus, *, stop: str) -> None:
    output.table("Ready", ("what", "address"), found.addresses.items())
    output.line(f"People sign in at the demo issuer by name alone: {found.addresses.get('issuer')}/people. {stop}")

"""gov projections: read models, where they stand, and building them anew."""

import asyncio
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, result_of, wait_for
from gov.client import Client, Misconfigured, Refused, new_key

app = typer.Typer(no_args_is_help=True, help="Read models: where they stand, and building them anew.")

POLL_S: Final = 0.3
SWITCHED: Final = "switched"
UNDER_WAY: Final = frozenset({"building", "tailing"})
PROJECTIONS: Final = "projections"


@app.command("list")
def list_(
    *,
    service: options.Service = PROJECTIONS,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """List the read models and the build that readers see."""
    output = Output(json=json)
    live = [build for build in wait_for(_builds(output, as_, service)) if build["state"] == "live"]
    output.document({"service": service, "items": live})
    output.table(
        f"Read models of {service}",
        ("name", "build", "fold version", "live since"),
        (
            (each["name"], each["build"], each["fold_version"], each["finished_at"] or each["started_at"])
            for each in live
        ),
    )


@app.command()
def status(
    *,
    service: options.Service = PROJECTIONS,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Show every build, each consumer's lag, and what is parked.

    Exit code 1 where something is parked, or a consumer is in trouble.
    """
    output = Output(json=json)

    async def ask() -> tuple[list[Any], list[Any]]:
        async with client_of(output, as_) as client:
            builds = (await client.query(service, "/operations/read-models"))["items"]
            return builds, (await client.query(service, "/operations/consumers"))["items"]

    builds, consumers = wait_for(ask())
    output.document({"service": service, "builds": builds, "consumers": consumers})
    output.table(
        f"Builds of {service}",
        ("name", "build", "state", "fold version", "progress"),
        (
            (each["name"], each["build"], each["state"], each["fold_version"], _told(each["progress"]))
            for each in builds
        ),
    )
    output.table(
        "Consumers",
        ("consumer", "topic", "held", "records behind", "parked", "trouble"),
        (
            (
                each["consumer"],
                each["topic"],
                f"{each['held']}/{each['partitions']}",
                each["lag"],
                sum(each["parked"].values()),
                each["alarm"] or each["trouble"],
            )
            for each in consumers
        ),
    )
    if any(each["parked"] or each["alarm"] or each["trouble"] for each in consumers):
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def rebuild(
    names: Annotated[list[str] | None, typer.Argument(help="Read models to build anew.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Build every read model anew.")] = False,
    accept_difference: Annotated[
        bool, typer.Option("--accept-difference", help="Switch although a newer fold gives other rows.")
    ] = False,
    service: options.Service = PROJECTIONS,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Build read models anew from the log, and switch.

    The new build is made beside the live one and compared with it; readers notice nothing.
    """
    if bool(names) == all_:
        raise typer.BadParameter("give names, or --all for every read model", param_hint="NAME...")
    output = Output(json=json)
    results = wait_for(_rebuild(output, as_, service, names, accept_difference=accept_difference))
    output.document({"service": service, "items": results})
    output.table(
        "Rebuilt",
        ("name", "build", "state", "events", "outcome"),
        ((each["name"], each["build"], each["state"], each["records"], each["outcome"]) for each in results),
    )
    if any(each["state"] != "live" for each in results):
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def diff(
    name: Annotated[str, typer.Argument(help="The read model.")],
    *,
    with_log: Annotated[
        bool, typer.Option("--log", help="With a build made anew from the log, which is thrown away then.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", help="How many differing rows are shown.", min=1, max=1000)] = 20,
    service: options.Service = PROJECTIONS,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Compare the previous build with the one that readers see, or the log with it.

    Both are compared at the same places of their streams. Exit code 1 where anything differs.
    """
    output = Output(json=json)
    found = wait_for(_diff(output, as_, service, name, with_log=with_log, rows=rows))
    output.document({"service": service, **found})
    live, other = f"build {found['live']} (live)", f"build {found['other']}"
    for row in found["rows"]:
        place = f"{row['part']} of {row['stream']}, {row['key']!r}"
        place += f", version {row['version']}" if row["version"] is not None else ""
        if row["only_in"] is not None:
            only = live if row["only_in"] == found["live"] else other
            output.line(f"{place}: is in {only} only", "red")
            continue
        output.table(
            place, ("field", live, other), ((field, *values) for field, values in sorted(row["fields"].items()))
        )
    columns = [f"+{each}" for each in found["columns_added"]] + [f"-{each}" for each in found["columns_removed"]]
    if columns:
        output.line(f"The columns of {other} against those of {live}: {' '.join(columns)}")
    moving = f"; {found['moving']} were at different places and were not" if found["moving"] else ""
    output.line(f"{found['streams']} streams were compared{moving}.")
    if found["same"]:
        output.line(f"{live} and {other} are the same.")
        return
    counted = ", ".join(f"{part} of {count} streams" for part, count in found["differing"].items()) or "columns only"
    output.line(f"{live} and {other} differ: {counted}.", "red")
    raise typer.Exit(Exit.PROBLEMS)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The read model.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded for good.")],
    service: options.Service = PROJECTIONS,
    as_: options.As = options.OPERATOR,
    json: options.Json = False,
) -> None:
    """Let readers see the previous build again, once it has come level.

    A running release with a newer fold would build anew at once: roll that release back first.
    """
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    output = Output(json=json)
    build = wait_for(_roll_back(output, as_, service, name, reason))
    output.document({"service": service, **build})
    if build["state"] != "live":
        output.line(f"{name} stays as it was: {build['progress'].get('failed')}", "red")
        raise typer.Exit(Exit.PROBLEMS)
    output.line(f"Readers of {name} see build {build['build']} again, of fold version {build['fold_version']}.")


async def _diff(output: Output, username: str, service: str, name: str, *, with_log: bool, rows: int) -> dict[str, Any]:
    parameters: dict[str, str | int | None] = {"rows": rows, "with_log": "true" if with_log else None}
    async with client_of(output, username) as client:
        with output.progress() as progress:
            path = f"/operations/read-models/{name}/difference"
            return await result_of(client, progress, service, path, parameters, name)


async def _roll_back(output: Output, username: str, service: str, name: str, reason: str) -> dict[str, Any]:
    async with client_of(output, username, patience_s=10) as client:
        path = f"/operations/read-models/{name}"
        begun = await client.post(service, f"{path}/rollbacks", {"reason": reason}, key=new_key())
        with output.progress() as progress:
            task = progress.add_task(name, total=None)
            while True:
                builds: list[dict[str, Any]] = (await client.query(service, path))["items"]
                (back,) = [each for each in builds if each["build"] == begun["build"]]
                told = back["progress"]
                if (back["state"] == "live" and told.get("stage") == SWITCHED) or told.get("failed"):
                    return back
                shown = f"{name}: {told.get('stage')}"
                progress.update(task, total=told.get("total"), completed=told.get("records", 0), description=shown)
                await asyncio.sleep(POLL_S)


async def _builds(output: Output, username: str, service: str) -> list[Any]:
    async with client_of(output, username) as client:
        found: list[Any] = (await client.query(service, "/operations/read-models"))["items"]
        return found


async def _rebuild(
    output: Output, username: str, service: str, names: list[str] | None, *, accept_difference: bool
) -> list[dict[str, Any]]:
    async with client_of(output, username, patience_s=60) as client:
        builds = (await client.query(service, "/operations/read-models"))["items"]
        newest: dict[str, int] = {}
        for build in builds:
            newest[build["name"]] = max(newest.get(build["name"], 0), build["build"])
        unknown = sorted(set(names or ()) - set(newest))
        if unknown:
            raise Misconfigured(f"{', '.join(unknown)}: no such read model; {service} has {', '.join(sorted(newest))}")
        with output.progress() as progress:
            # One after the other: each is as fast as the machine allows.
            return [
                await _rebuild_one(client, service, name, newest[name], progress, accept_difference=accept_difference)
                for name in dict.fromkeys(names or sorted(newest))
            ]


async def _rebuild_one(
    client: Client, service: str, name: str, before: int, progress: Progress, *, accept_difference: bool
) -> dict[str, Any]:
    task = progress.add_task(name, total=None)
    try:
        body = {"accept_difference": accept_difference}
        await client.post(service, f"/operations/read-models/{name}/rebuilds", body, key=new_key())
    except Refused as refused:
        return {"name": name, "build": None, "state": "refused", "records": None, "outcome": str(refused)}
    while True:
        builds = (await client.query(service, f"/operations/read-models/{name}"))["items"]
        new = next((build for build in builds if build["build"] > before), None)
        if new is not None:
            told = new["progress"]
            progress.update(
                task,
                total=told.get("total"),
                completed=told.get("records", 0),
                description=f"{name}: {told.get('stage', new['state'])}",
            )
            if new["state"] not in UNDER_WAY and (new["state"] != "live" or told.get("stage") == SWITCHED):
                difference = told.get("difference")
                return {
                    "name": name,
                    "build": new["build"],
                    "state": new["state"],
                    "records": told.get("records"),
                    "outcome": told.get("failed") or (f"differs: {difference}" if difference else "the same rows"),
                }
        await asyncio.sleep(POLL_S)


def _told(progress: dict[str, Any]) -> str:
    if progress.get("failed"):
        return str(progress["failed"])
    if "records" not in progress:
        return str(progress.get("stage") or "")
    left = progress.get("seconds_left")
    return (
        f"{progress.get('stage')}: {progress.get('records')} of {progress.get('total')}, "
        f"{progress.get('records_per_s') or 0:.0f}/s{f', {left:.0f} s left' if left else ''}"
    )

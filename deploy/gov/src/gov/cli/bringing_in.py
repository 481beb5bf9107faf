"""gov import: portfolios and decisions from CSV and XLSX files."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gov.cli import options
from gov.cli.output import Exit, Output, as_json
from gov.cli.session import client_of, wait_for
from gov.client import Misconfigured
from gov.imports import run
from gov.imports.mapping import GatesMapping, MappingRefused, ProjectsMapping, load_mapping
from gov.imports.plan import Plan, plan_gates, plan_projects
from gov.imports.run import Result
from gov.imports.table import Table, read_table

app = typer.Typer(no_args_is_help=True, help="Bring portfolios in from CSV and XLSX files.")

File = Annotated[Path, typer.Argument(help="CSV (UTF-8) or XLSX.", exists=True, dir_okay=False, readable=True)]
Mapping = Annotated[
    Path, typer.Option("--mapping", help="What each column means (YAML).", exists=True, dir_okay=False, readable=True)
]
Report = Annotated[Path | None, typer.Option("--report", help="Write the result to this file, too (JSON).")]


@app.command()
def projects(
    file: File,
    *,
    mapping: Mapping,
    dry_run: options.DryRun = False,
    report: Report = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Bring in projects, their milestones, and what reports said of them.

    Every row is taken, or reported with row, column, value, reason and remedy. A second run takes nothing twice.
    """
    read = load_mapping(mapping)
    if not isinstance(read, ProjectsMapping):
        raise MappingRefused(f"{mapping}: kind: {read.kind!r} is for `gov import {read.kind}`")
    table = read_table(file)
    plan = plan_projects(read, table, today=datetime.now(read.portfolio.zone).date())
    _import(plan, table, dry_run=dry_run, report=report, username=as_, output=Output(json=json))


@app.command()
def gates(
    file: File,
    *,
    mapping: Mapping,
    dry_run: options.DryRun = False,
    report: Report = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Bring in decisions that were made at gates, and the table that says whose decision a value is.

    Bring the projects in first. Every row is taken or reported; a second run takes nothing twice.
    """
    read = load_mapping(mapping)
    if not isinstance(read, GatesMapping):
        raise MappingRefused(f"{mapping}: kind: {read.kind!r} is for `gov import {read.kind}`")
    table = read_table(file)
    plan = plan_gates(read, table, today=datetime.now(read.portfolio.zone).date())
    _import(plan, table, dry_run=dry_run, report=report, username=as_, output=Output(json=json))


def _import(plan: Plan, table: Table, *, dry_run: bool, report: Path | None, username: str, output: Output) -> None:
    if report is not None and not report.parent.is_dir():
        raise Misconfigured(f"--report: there is no folder {str(report.parent)!r}; make it, or write elsewhere")
    result = run.rehearse(plan, table) if dry_run else wait_for(_send(plan, table, username, output))
    output.document(result.as_json())
    if report is not None:
        report.write_text(as_json(result.as_json()) + "\n", encoding="utf-8")
    _show(result, output)
    if result.away:
        raise typer.Exit(Exit.AWAY)
    if not result.complete:
        raise typer.Exit(Exit.PROBLEMS)


async def _send(plan: Plan, table: Table, username: str, output: Output) -> Result:
    with output.progress() as progress:
        task = progress.add_task(table.name, total=run.size(plan))
        async with client_of(output, username, patience_s=run.PATIENCE_S) as client:
            return await run.run(
                client,
                plan,
                table,
                started=datetime.now(UTC),
                advance=lambda count: progress.advance(task, count),
            )


def _show(result: Result, output: Output) -> None:
    told = result.as_json()
    if result.dry_run:
        output.table(
            f"{result.file} -> {result.portfolio}: would be sent",
            ("what", "how many"),
            ((name.replace("_", " "), count) for name, count in result.planned.items()),
        )
    else:
        output.table(
            f"{result.file} -> {result.portfolio}",
            ("rows", "how many"),
            ((name.replace("_", " "), count) for name, count in told["rows"].items() if count is not None),
        )
        output.line(f"{result.events} events were recorded.")
    if result.problems:
        output.table(
            "Not taken",
            ("row", "column", "value", "reason", "remedy"),
            ((each.row or "mapping", each.column, each.value, each.reason, each.remedy) for each in result.problems),
        )
    if result.stopped:
        output.line(f"Stopped: {result.stopped}", "red")
        output.line("What was taken stays; run the same command again to go on.")

"""gov bands: the table that says, by value, which body decides."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, portfolio_id, wait_for
from gov.imports.bands import BandsResult, body_ids, plan_bands, publish_bands, rehearse_bands
from gov.imports.table import read_table

app = typer.Typer(no_args_is_help=True, help="The table that says, by value, which body decides.")

File = Annotated[
    Path,
    typer.Argument(
        help="CSV (UTF-8) or XLSX with the columns body, upper, currency and inclusive (yes or no), in rising order.",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]
FormBodies = Annotated[bool, typer.Option("--form-bodies", help="Form the bodies that the portfolio doesn't have.")]


@app.command()
def publish(
    file: File,
    *,
    portfolio: options.Portfolio,
    form_bodies: FormBodies = False,
    dry_run: options.DryRun = False,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Publish a table of value bands, which replaces the one before.

    It is taken whole, or not at all: then each fault is reported with row, column, value, reason and remedy.
    """
    output = Output(json=json)
    table = read_table(file)
    plan = plan_bands(table)

    async def send() -> BandsResult:
        async with client_of(output, as_) as client:
            known = await portfolio_id(client, portfolio)
            return await publish_bands(client, plan, table, known, form_bodies=form_bodies)

    result = rehearse_bands(plan, table) if dry_run else wait_for(send())
    output.document(result.as_json())
    if result.problems:
        output.table(
            "Not published",
            ("row", "column", "value", "reason", "remedy"),
            ((each.row, each.column, each.value, each.reason, each.remedy) for each in result.problems),
        )
        raise typer.Exit(Exit.PROBLEMS)
    title = "Would be published" if dry_run else "Published" if result.published else "Holds already"
    _show(output, title, [band.as_json() for band in result.bands])
    if result.formed:
        output.line(f"Bodies formed: {', '.join(result.formed)}.")


@app.command()
def show(
    *,
    portfolio: options.Portfolio,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show the table of value bands that holds, and the file that it came from."""
    output = Output(json=json)

    async def ask() -> dict[str, Any]:
        async with client_of(output, as_) as client:
            known = await portfolio_id(client, portfolio)
            table = await client.query("approvals", f"/value-bands/{known}")
            names = {body: name for name, body in (await body_ids(client, known)).items()}
            return {**table, "bands": [{**band, "name": names.get(band["body"])} for band in table["bands"]]}

    table = wait_for(ask())
    output.document(table)
    _show(output, "Value bands", [{**band, "body": band["name"] or band["body"]} for band in table["bands"]])
    if table["source"]:
        output.line(f"From {table['source']['file']}, SHA-256 {table['source']['sha256']}.")


def _show(output: Output, title: str, bands: list[dict[str, Any]]) -> None:
    output.table(
        title,
        ("body", "up to", "currency", "bound included"),
        (
            (
                band["body"],
                band["upper"]["amount"] if band["upper"] else "without limit",
                band["upper"]["currency"] if band["upper"] else None,
                band["inclusive"] if band["upper"] else None,
            )
            for band in bands
        ),
    )

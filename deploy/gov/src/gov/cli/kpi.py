"""gov kpi: figures, their definitions, and what each of them rests on."""

from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Output
from gov.cli.session import client_of, node_id, wait_for

app = typer.Typer(no_args_is_help=True, help="Figures, their definitions, and what each of them rests on.")

Name = Annotated[str, typer.Argument(help="A KPI of `gov kpi list`.")]
From = Annotated[str | None, typer.Option("--from", help="Where the measured stretch begins, such as the gate PBC.")]
To = Annotated[str | None, typer.Option("--to", help="Where the measured stretch ends, such as the gate BCA.")]
By = Annotated[str | None, typer.Option("--by", help="What to group by: an attribute of projects, such as EPT.")]

ABOUT = frozenset({"rows", "formula", "undefined_because"})


@app.command("list")
def list_(*, as_: options.As = options.ADMINISTRATOR, json: options.Json = False) -> None:
    """List the KPIs with unit and formula."""
    output = Output(json=json)

    async def ask() -> Any:
        async with client_of(output, as_) as client:
            return await client.query("projections", "/kpis")

    found = wait_for(ask())
    output.document(found)
    items = found["items"] if isinstance(found, dict) else found
    _rows(output, "KPIs", items)


@app.command()
def show(
    name: Name,
    *,
    node: options.Node = None,
    from_: From = None,
    to: To = None,
    by: By = None,
    as_of: options.AsOf = None,
    recorded_by: options.RecordedBy = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Compute a KPI."""
    asked = {"from": from_, "to": to, "by": by, "as_of": as_of, "recorded_by": recorded_by}
    _ask(Output(json=json), as_, f"/kpis/{name}", node, asked)


@app.command()
def explain(
    name: Name,
    *,
    node: options.Node = None,
    from_: From = None,
    to: To = None,
    by: By = None,
    as_of: options.AsOf = None,
    recorded_by: options.RecordedBy = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show what a KPI rests on.

    That is its formula, the rows it was computed from, and the events that set them.
    """
    asked = {"from": from_, "to": to, "by": by, "as_of": as_of, "recorded_by": recorded_by}
    _ask(Output(json=json), as_, f"/kpis/{name}/explanation", node, asked)


def _ask(output: Output, username: str, path: str, node: str | None, asked: dict[str, str | None]) -> None:
    async def ask() -> Any:
        async with client_of(output, username) as client:
            return await client.query("projections", path, {**asked, "node": await node_id(client, node)})

    found = wait_for(ask())
    output.document(found)
    output.table(
        str(found.get("kpi", "")), ("", ""), ((key, value) for key, value in found.items() if key not in ABOUT)
    )
    if found.get("formula"):
        output.line(f"Formula: {found['formula']}")
    _rows(output, "Rows", found.get("rows") or ())
    if found.get("undefined_because"):
        output.line(f"Undefined: {found['undefined_because']}", "yellow")


def _rows(output: Output, title: str, rows: Any) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    output.table(title, columns, ([row.get(column) for column in columns] for row in rows))

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

ASKED = ("node", "from_gate", "to_gate", "by", "as_of", "recorded_by")
"""What a figure was asked for with, as its answer repeats it."""


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
    asked_for = {key: found.get(key) for key in ASKED if found.get(key) is not None}
    output.line(f"{found['kpi']} (version {found['version']}), in {found['unit']}; data of {found['data_date']}")
    output.line("; ".join(f"{key.replace('_', ' ')} {value}" for key, value in asked_for.items()))
    if found.get("provisional"):
        output.line("Provisional: a service may still send what it recorded by then.", "yellow")
    output.line(f"Formula: {found['formula']}")
    total = [{**found["total"], "group": "all"}] if found.get("total") else []
    if found.get("figures"):
        _rows(output, "Figures", [*found["figures"], *total])
        _rows(output, "What they rest on", found.get("rows") or ())
    else:
        _rows(output, "Figures", [*(found.get("rows") or ()), *total])
    if found.get("undefined_because"):
        output.line(f"Undefined: {found['undefined_because']}", "yellow")


def _cell(value: Any) -> Any:
    """A value as people read it; one that has parts is written in words and not as JSON."""
    if isinstance(value, dict) and "amount" in value and "currency" in value:
        counted = f" ({value['count']})" if "count" in value else ""
        return f"{value['amount']} {value['currency']}{counted}"
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell(each)}" for key, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(str(_cell(each)) for each in value)
    return value


def _rows(output: Output, title: str, rows: Any) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    output.table(title, columns, ([_cell(row.get(column)) for column in columns] for row in rows))

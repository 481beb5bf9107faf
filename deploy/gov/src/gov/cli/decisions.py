"""gov inbox, gov decisions and gov latency: what waits for whom, what was decided, and how long that took."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Output
from gov.cli.session import client_of, node_id, wait_for

Of = Annotated[
    str | None, typer.Option("--of", metavar="ACCOUNT", help="Somebody else's inbox, by their account's id.")
]
Project = Annotated[str | None, typer.Option("--project", help="Only decisions about this project, by its id.")]
Gate = Annotated[str | None, typer.Option("--gate", help="Only decisions at this gate.")]
Outcome = Annotated[
    str | None,
    typer.Option("--outcome", help="Only decisions with this outcome: go, conditional_go, hold, recycle or kill."),
]
FirstDay = Annotated[str | None, typer.Option("--first-day", help="Only what was decided on this day or later.")]
LastDay = Annotated[str | None, typer.Option("--last-day", help="Only what was decided on this day or earlier.")]


class By(Enum):
    """What decisions are grouped by."""

    BODY = "body"
    POLICY = "policy"


INBOX: Mapping[str, Callable[[Any], Any]] = {
    "wanted": lambda row: row["wanted"],
    "until": lambda row: row["due"] or row["until"],
    "overdue": lambda row: row["overdue"],
    "since": lambda row: row["since"],
    "project": lambda row: row["reference"],
    "kind": lambda row: row["kind"],
    "gate": lambda row: row["gate"],
    "what": lambda row: row["text"] or row["question"],
    "why": lambda row: ": ".join(each for each in (row["authority"], row["because"]) if each),
    "review": lambda row: row["review"] or row["request"] or row["meeting"],
}

DECISIONS: Mapping[str, Callable[[Any], Any]] = {
    "decided": lambda row: row["decided_on"],
    "project": lambda row: row["reference"],
    "kind": lambda row: row["kind"],
    "gate": lambda row: row["gate"],
    "outcome": lambda row: row["outcome"],
    "body": lambda row: row["body_name"],
    "days": lambda row: row["latency_days"],
    "policy": lambda row: row["policy_number"],
    "open conditions": lambda row: row["conditions_open"],
    "after breach": lambda row: row["after_breach"],
    "made": lambda row: row["made"],
    "decision": lambda row: row["decision"],
}

LATENCY: Mapping[str, Callable[[Any], Any]] = {
    "group": lambda row: row["group"],
    "made": lambda row: row["made"],
    "count": lambda row: row["count"],
    "median": lambda row: row["median"],
    "P90": lambda row: row["p90"],
    "left out": lambda row: row["left_out"],
}


def inbox(
    *,
    of: Of = None,
    node: options.Node = None,
    as_of: options.AsOf = None,
    recorded_by: options.RecordedBy = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """List what waits for you: since when, until when, and why."""
    asked = {"subject": of, "as_of": as_of, "recorded_by": recorded_by}
    _list(Output(json=json), as_, "/inbox", node, asked, "What waits", INBOX)


def decisions(
    *,
    node: options.Node = None,
    project: Project = None,
    gate: Gate = None,
    outcome: Outcome = None,
    as_of: options.AsOf = None,
    recorded_by: options.RecordedBy = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """List decisions: by whom, under which policy, after how many days, and what is still open of them."""
    asked = {"project": project, "gate": gate, "outcome": outcome, "as_of": as_of, "recorded_by": recorded_by}
    _list(Output(json=json), as_, "/decisions", node, asked, "Decisions", DECISIONS)


def latency(
    *,
    by: Annotated[By, typer.Option("--by", help="What to group by.")] = By.BODY,
    node: options.Node = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
    as_of: options.AsOf = None,
    recorded_by: options.RecordedBy = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show how long decisions took in calendar days: from submission, or from the gate before where brought in."""
    output = Output(json=json)
    asked = {
        "by": by.value,
        "first_day": first_day,
        "last_day": last_day,
        "as_of": as_of,
        "recorded_by": recorded_by,
    }

    async def ask() -> Any:
        async with client_of(output, as_) as client:
            return await client.query(
                "projections", "/approval-latency", {**asked, "node": await node_id(client, node)}
            )

    _show(output, wait_for(ask()), "Days to a decision", LATENCY)


def _list(
    output: Output,
    username: str,
    path: str,
    node: str | None,
    asked: dict[str, str | None],
    title: str,
    columns: Mapping[str, Callable[[Any], Any]],
) -> None:
    async def ask() -> Any:
        async with client_of(output, username) as client:
            return await client.whole("projections", path, {**asked, "node": await node_id(client, node)})

    _show(output, wait_for(ask()), title, columns)


def _show(output: Output, found: Any, title: str, columns: Mapping[str, Callable[[Any], Any]]) -> None:
    output.document(found)
    output.table(title, list(columns), ([cell(row) for cell in columns.values()] for row in found["rows"]))
    if found["provisional"]:
        output.line("Provisional: a service may still send what it recorded by then.", "yellow")

"""gov meetings: gate meetings, their invitations, and what is to come at the gates."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from gov.cli import options
from gov.cli.output import Output
from gov.cli.session import client_of, node_id, portfolio_id, wait_for

app = typer.Typer(no_args_is_help=True, help="Gate meetings, their invitations, and what is to come at the gates.")

Meeting = Annotated[UUID, typer.Argument(help="A meeting of `gov meetings list`.")]
From = Annotated[str | None, typer.Option("--from", help="The first day; today where none is given.")]
Days = Annotated[int, typer.Option("--days", min=1, max=366, help="How many days.")]
Ics = Annotated[bool, typer.Option("--ics", help="As iCalendar, for calendar programs.")]


@app.command("list")
def list_(*, portfolio: options.Portfolio, as_: options.As = options.ADMINISTRATOR, json: options.Json = False) -> None:
    """List a portfolio's meetings, in the order in which they were planned."""
    output = Output(json=json)

    async def ask() -> list[Any]:
        async with client_of(output, as_) as client:
            known = await portfolio_id(client, portfolio)
            return [item async for item in client.items("approvals", "/meetings", {"portfolio": known})]

    found = wait_for(ask())
    output.document({"items": found})
    output.table(
        "Meetings",
        ("meeting", "title", "begins", "ends", "place", "state", "reviews"),
        (
            (
                each["meeting"],
                each["title"],
                _local(each["starts_at"], each["time_zone"]),
                _local(each["ends_at"], each["time_zone"]),
                each["place"],
                each["state"],
                len(each["reviews"]),
            )
            for each in found
        ),
    )


@app.command()
def show(meeting: Meeting, *, as_: options.As = options.ADMINISTRATOR, json: options.Json = False) -> None:
    """Show a meeting: its agenda with readiness and quorum, who came, the minutes, and what became of each item."""
    output = Output(json=json)

    async def ask() -> Any:
        async with client_of(output, as_) as client:
            return await client.query("approvals", f"/meetings/{meeting}")

    found = wait_for(ask())
    output.document(found)
    begins, ends = (_local(found[name], found["time_zone"]) for name in ("starts_at", "ends_at"))
    output.line(f"{found['title']}: {found['state']}, {begins} to {ends}, {found['place'] or 'no place named'}")
    output.table(
        "Agenda",
        ("item", "project", "gate", "review", "ready", "cast", "needed", "still out, of whom here", "disposition"),
        (
            (
                each["number"],
                each["project_reference"] or each["project"],
                each["gate"],
                each["state"],
                each["ready"],
                each["votes_cast"],
                each["votes_needed"],
                None if each["still_to_vote"] is None else f"{each['still_to_vote']}, {each['still_to_vote_present']}",
                each["disposition"],
            )
            for each in found["agenda"]
        ),
    )
    output.table(
        "Votes missing",
        ("item", "seat of", "attendance", "may be cast now by"),
        (
            (
                each["number"],
                seat["name"] or seat["subject"],
                seat["attendance"],
                ", ".join(f"{voice['name'] or voice['subject']} ({voice['authority']})" for voice in seat["voices"]),
            )
            for each in found["agenda"]
            for seat in each["silent"]
        ),
    )
    people = ((each["name"] or each["subject"], each["attendance"]) for each in found["attendance"])
    output.table("Attendance", ("who", "attendance"), people)
    minutes = ((each["number"], each["text"], each["corrected_by"]) for each in found["minutes"])
    output.table("Minutes", ("number", "text", "corrected by"), minutes)


@app.command()
def ics(meeting: Meeting, *, as_: options.As = options.ADMINISTRATOR) -> None:
    """Write the invitation to a meeting as iCalendar, or that it is cancelled, on stdout."""
    _write(f"/meetings/{meeting}/invitation.ics", as_, service="approvals")


@app.command()
def calendar(
    *,
    node: options.Node = None,
    from_: From = None,
    days: Days = 90,
    ics: Ics = False,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show what is to come at the gates: meetings, time limits, due days of conditions, and planned gates."""
    asked = {"from": from_, "days": days}
    if ics:
        if json:
            raise typer.BadParameter("give either --ics or --json, for there is one document on stdout")
        _write("/gate-calendar.ics", as_, service="projections", node=node, **asked)
        return
    output = Output(json=json)

    async def ask() -> list[Any]:
        async with client_of(output, as_) as client:
            known = await node_id(client, node)
            found, cursor = [], None
            while True:
                page = await client.query("projections", "/gate-calendar", {**asked, "node": known, "cursor": cursor})
                found += page["rows"]
                cursor = page["next"]
                if cursor is None:
                    return found

    found = wait_for(ask())
    output.document({"rows": found})
    output.table(
        "At the gates",
        ("day", "at", "what", "project", "gate", "title"),
        (
            (
                each["day"],
                _local(each["at"], each["time_zone"]).timetz().isoformat("minutes") if each["at"] else None,
                each["kind"].replace("_", " "),
                each["reference"],
                each["gate"],
                each["title"],
            )
            for each in found
        ),
    )


def _write(path: str, username: str, *, service: str, node: str | None = None, **asked: str | int | None) -> None:
    async def ask() -> bytes:
        async with client_of(Output(json=False), username) as client:
            return await client.document(service, path, {**asked, "node": await node_id(client, node)})

    typer.echo(wait_for(ask()), nl=False)


def _local(moment: str, time_zone: str) -> datetime:
    """The moment where the portfolio is, or in UTC where this machine doesn't know that time zone."""
    known = datetime.fromisoformat(moment)
    try:
        return known.astimezone(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError):
        return known

"""gov dossier and gov what-if: what a decision rests on, and what it would have been under another policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from gov.cli import options
from gov.cli.output import Output
from gov.cli.session import client_of, portfolio_id, wait_for
from gov.client import Client, Misconfigured, Refused, new_key
from gov.imports.bands import body_ids
from gov.imports.what_if import load_what_if

Html = Annotated[
    Path | None, typer.Option("--html", help="Write the dossier as a page that prints well.", dir_okay=False)
]
File = Annotated[
    Path,
    typer.Argument(help="YAML or JSON with `changes`, and which decisions.", exists=True, dir_okay=False),
]


def dossier(
    review: Annotated[UUID, typer.Argument(help="The id of a review, or of a decision that was brought in.")],
    *,
    html: Html = None,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show the dossier of a decision: what was asked, who could vote and did, what came of it, and how to check it."""
    output = Output(json=json)

    async def ask() -> tuple[Any, bytes | None]:
        async with client_of(output, as_) as client:
            path, found = await _dossier(client, review)
            return found, await client.document("approvals", f"{path}.html") if html else None

    found, page = wait_for(ask())
    if html is not None and page is not None:
        try:
            html.write_bytes(page)
        except OSError as error:
            raise Misconfigured(f"--html {html}: cannot be written: {error}") from None
        output.aside(f"{html}: written")
    show_dossier(output, found)


def show_dossier(output: Output, found: Mapping[str, Any]) -> None:
    """Say what a dossier says, as approvals answers with it."""
    output.document(found)
    content = found["dossier"]
    if "decision" in content:
        outcome = content["outcome"] or "not stated by its source"
        output.line(f"{content['kind']} {content['gate'] or ''}: {outcome}, on {content['decided_on']}", "bold")
        output.line(f"Made elsewhere; {content['source']['file']}, row {content['source']['row']}.")
    else:
        _review(output, content, found["names"])
    output.line(f"Head of the chain {content['head']}; digest {found['digest']}.")


async def _dossier(client: Client, identifier: UUID) -> tuple[str, Any]:
    try:
        path = f"/reviews/{identifier}/dossier"
        return path, await client.query("approvals", path)
    except Refused as refused:
        if not refused.problem.not_found:
            raise
    path = f"/decisions/{identifier}/dossier"
    return path, await client.query("approvals", path)


def _review(output: Output, content: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    outcome, asked = content["outcome"], content["asked"]
    output.line(f"{asked['question']}  ({asked['kind']} {asked['gate'] or ''}, {names['project'] or asked['project']})")
    if outcome:
        late = ", after the fact" if outcome["after_the_fact"] else ""
        output.line(f"{outcome['outcome']}{late}: {outcome['because']}", "bold")
    else:
        ended = f": {content['withdrawn']['reason']}" if content["withdrawn"] else ""
        output.line(f"Not decided ({content['state']}){ended}", "bold")
    output.table(
        "Votes",
        ("no.", "time", "who", "for", "as", "vote", "what became of it", "seen"),
        (
            (
                vote["number"],
                vote["record"]["time"],
                names["accounts"].get(vote["voter"]) or vote["voter"],
                names["persons"].get(vote["seat"]) or vote["seat"],
                vote["authority"],
                vote["choice"],
                vote["standing"] if vote["mark"] is None else f"{vote['standing']}, delegation revoked since",
                "verified" if all(seen["verified"] for seen in vote["seen"]) else "not all verified",
            )
            for vote in content["votes"]
        ),
    )
    if content["conditions"]:
        output.table(
            "Conditions",
            ("no.", "condition", "due", "how it turned out"),
            (
                (each["number"], each["condition"]["text"], each["condition"]["due"], _turned_out(each))
                for each in content["conditions"]
            ),
        )


def _turned_out(condition: Mapping[str, Any]) -> str:
    lapsed = "lapsed, " if condition["lapsed"] else ""
    return lapsed + ("met" if condition["met"] else "waived" if condition["waived"] else "open")


def what_if(
    file: File,
    *,
    portfolio: options.Portfolio,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Say what recorded votes would have come to under another policy. Nothing is written.

    The file has `changes` (rule, threshold, quorum, veto, failed_outcome, electorate, bands, delegation_limit,
    sponsor_may_vote), and may say which decisions: kind, gate, submitted_from, submitted_until.
    """
    output = Output(json=json)
    read = load_what_if(file)

    async def ask() -> Any:
        async with client_of(output, as_) as client:
            known = await portfolio_id(client, portfolio)
            body = read.request(known, await body_ids(client, known))
            return await client.post("approvals", "/what-ifs", body, key=new_key())

    show_what_if(output, wait_for(ask()))


def show_what_if(output: Output, found: Mapping[str, Any]) -> None:
    """Say what another policy would have done, as approvals answers with it."""
    output.document(found)
    total = found["totals"]
    output.line(
        f"{total['decisions']} decisions: {total['changed']} would have come out otherwise, "
        f"{total['undecided']} would have no outcome."
    )
    for turn in total["turns"]:
        was, would_be = (turn[each] or "no outcome" for each in ("recorded", "supposed"))
        output.line(f"{turn['decisions']} from {was} to {would_be}")
    if total["not_reproduced"]:
        output.line(
            f"{total['not_reproduced']} are not what today's rules make of their votes; see `reproduced`.", "yellow"
        )
    output.table(
        "Would have come out otherwise",
        ("review", "gate", "recorded", "would be", "because", "not counted", "not heard"),
        (
            (
                each["review"],
                each["gate"] or each["kind"],
                each["recorded"]["outcome"] or each["recorded"]["end"],
                each["supposed"]["outcome"] or each["supposed"]["end"],
                each["supposed"]["because"],
                "; ".join(f"{found['names'].get(vote['voter'])}: {vote['because']}" for vote in each["uncounted"]),
                ", ".join(found["names"].get(subject) or subject for subject in each["unheard"]),
            )
            for each in found["decisions"]
            if each["changed"]
        ),
    )

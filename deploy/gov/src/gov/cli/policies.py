"""gov policies: how each kind of review is decided."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gov.cli import options
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, portfolio_id, wait_for
from gov.client import Misconfigured
from gov.imports.bands import body_ids
from gov.imports.policies import PoliciesResult, load_policies, publish_policies, rehearse_policies
from govevents.approvals import ReviewKind

app = typer.Typer(no_args_is_help=True, help="How each kind of review is decided.")

File = Annotated[
    Path,
    typer.Argument(help="YAML or JSON with a list `policies`.", exists=True, dir_okay=False, readable=True),
]
Kind = Annotated[ReviewKind | None, typer.Option("--kind", help="Only the policy of this kind of review.")]
Gate = Annotated[str | None, typer.Option("--gate", help="The gate, where the kind is gate.")]
Editions = Annotated[bool, typer.Option("--editions", help="All editions of the policy, with who published them when.")]

COLUMNS = ("for", "edition", "who votes", "quorum", "rule", "time limit", "must meet", "should meet", "conditions")


@app.command()
def publish(
    file: File,
    *,
    portfolio: options.Portfolio,
    dry_run: options.DryRun = False,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Publish gate policies, each as the next edition where it says something else than the one that holds.

    Reviews that are open keep theirs. Each policy is taken, or reported with field, value, reason and remedy.
    """
    output = Output(json=json)
    read = load_policies(file)

    async def send() -> PoliciesResult:
        async with client_of(output, as_) as client:
            return await publish_policies(client, read, await portfolio_id(client, portfolio))

    result = rehearse_policies(read) if dry_run else wait_for(send())
    output.document(asdict(result))
    if dry_run:
        output.table("Would be published", ("policy",), ((label,) for label in result.policies))
    else:
        output.table(
            f"{result.file}",
            ("kind", "gate", "edition", "new"),
            ((each.kind, each.gate, each.number, each.published) for each in result.editions),
        )
    if result.faults:
        output.table(
            "Not published",
            ("policy", "field", "value", "reason", "remedy"),
            ((each.policy, each.field, each.value, each.reason, each.remedy) for each in result.faults),
        )
        raise typer.Exit(Exit.PROBLEMS)


@app.command()
def show(
    *,
    portfolio: options.Portfolio,
    kind: Kind = None,
    gate: Gate = None,
    editions: Editions = False,
    as_: options.As = options.ADMINISTRATOR,
    json: options.Json = False,
) -> None:
    """Show a portfolio's policies as they hold now, or all editions of one."""
    output = Output(json=json)
    if kind is None and (gate is not None or editions):
        raise Misconfigured(f"{'--editions' if editions else '--gate'}: say with --kind which policy is meant")
    which = {"kind": kind.value, "gate": gate} if kind is not None else {}

    async def ask() -> tuple[list[dict[str, Any]], Mapping[str, str]]:
        async with client_of(output, as_) as client:
            known = await portfolio_id(client, portfolio)
            of = {"portfolio": known, **which}
            names = {body: name for name, body in (await body_ids(client, known)).items()}
            if editions:
                found = await client.query("approvals", "/gate-policies/editions", of)
                return list(found["items"]), names
            if kind is not None:
                return [{"edition": await client.query("approvals", "/gate-policies", of)}], names
            current = client.items("approvals", "/gate-policies/current", of)
            return [{"edition": policy} async for policy in current], names

    found, names = wait_for(ask())
    output.document({"items": found if editions else [each["edition"] for each in found]})
    added = ("published at", "by") if editions else ()
    output.table(
        "Editions" if editions else "Gate policies",
        (*COLUMNS, *added),
        (
            (
                *_cells(each["edition"], names),
                *((each["published_at"], each["publisher"] or each["published_by"]) if editions else ()),
            )
            for each in found
        ),
    )


def _cells(policy: Mapping[str, Any], bodies: Mapping[str, str]) -> tuple[object, ...]:
    """A policy in the words of COLUMNS."""
    electorate, quorum, limit, terms = (policy[name] for name in ("electorate", "quorum", "time_limit", "conditions"))
    voters = [role.replace("_", " ") for role in electorate["roles"]]
    voters += [f"{len(electorate['people'])} by name"] if electorate["people"] else []
    voters += [bodies.get(electorate["body"], electorate["body"])] if electorate["body"] else []
    voters += ["the body of the value's band"] if electorate["by_value_band"] else []
    needs = {need: [each["code"] for each in policy["criteria"] if each["need"] == need] for need in ("must", "should")}
    return (
        policy["gate"] or policy["kind"].replace("_", " "),
        policy["number"],
        ", ".join(voters),
        f"{quorum['minimum']}, or {quorum['share']} of all",
        f"{policy['rule']} of {policy['threshold']}" if policy["threshold"] else policy["rule"],
        f"{limit['days']} days, then {limit['then']}" if limit else "none",
        ", ".join([*(each["code"] for each in policy["deliverables"]), *needs["must"]]),
        ", ".join(needs["should"]),
        "none" if terms is None else f"at most {terms['most']}" if terms["most"] else "any number",
    )

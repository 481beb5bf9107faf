"""Options that several commands have."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]
As = Annotated[
    str, typer.Option("--as", metavar="NAME", envvar="GOV_AS", help="Sign in at the demo issuer as this person.")
]
Node = Annotated[
    str | None, typer.Option("--node", help="Only what is at or below this node: its id, or a portfolio's name.")
]
Portfolio = Annotated[str, typer.Option("--portfolio", help="The portfolio: its id, or its name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent and what can't be, and send nothing.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="As it was known then: a date, or a moment with time zone.")]
RecordedBy = Annotated[str | None, typer.Option("--recorded-by", help="As it had been recorded then.")]
Service = Annotated[str, typer.Option("--service", help="The service whose read models are meant.")]

ADMINISTRATOR = "ana"
OPERATOR = "olu"

"""The command's tree, and what every failure means to whoever called it."""

import sys
from collections.abc import Sequence

import typer

from gov.cli import (
    bands,
    bringing_in,
    consumers,
    decisions,
    dossiers,
    events,
    kpi,
    local,
    log,
    meetings,
    parked,
    policies,
    projections,
    relay,
)
from gov.cli.output import Exit, Output
from gov.client import Misconfigured, NotRunning, Refused, Unavailable
from gov.demo.play import ReactionMissing
from gov.imports.mapping import MappingRefused
from gov.imports.policies import PoliciesRefused
from gov.imports.table import TableRefused
from gov.runtime.jars import JarRefused
from gov.runtime.java import JavaNotFound
from gov.runtime.kafka import KafkaError
from gov.runtime.postgres import PostgresError
from gov.runtime.state import AlreadyRunning
from gov.runtime.supervisor import StartFailed
from gov.runtime.system import SystemDied

HELP = """Gatehouse: run it, bring portfolios in, look into it.

The services are those of the local system, whose state folder is .gatehouse or GOV_HOME, or those named by
GOV_PROJECTS_URL, GOV_APPROVALS_URL, GOV_RISKS_URL, GOV_REPORTING_URL, GOV_PROJECTIONS_URL, GOV_ISSUER_URL and
GOV_KAFKA_BOOTSTRAP_SERVERS. GOV_TOKEN signs in where there is no demo issuer.

Exit codes: 0 done; 1 refused, or problems were found; 2 wrong use: an option, address, file or mapping that can't be
used; 3 a part of the system is away or did not start.
"""

app = typer.Typer(
    name="gov",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (local.up, local.down, local.status, local.env, local.doctor, local.demo, local.token):
    app.command()(command)
for command in (decisions.inbox, decisions.decisions, decisions.latency):
    app.command()(command)
app.command()(dossiers.dossier)
app.command("what-if")(dossiers.what_if)
app.add_typer(bringing_in.app, name="import")
app.add_typer(events.app, name="events")
app.add_typer(projections.app, name="projections")
app.add_typer(parked.app, name="parked")
app.add_typer(consumers.app, name="consumers")
app.add_typer(log.app, name="log")
app.add_typer(relay.app, name="relay")
app.add_typer(kpi.app, name="kpi")
app.add_typer(bands.app, name="bands")
app.add_typer(policies.app, name="policies")
app.add_typer(meetings.app, name="meetings")

WRONG_USE = (Misconfigured, MappingRefused, TableRefused, PoliciesRefused)
PROBLEMS = (AlreadyRunning, JavaNotFound)
AWAY = (Unavailable, NotRunning, ReactionMissing, StartFailed, SystemDied, PostgresError, KafkaError, JarRefused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(given, prog_name="gov")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.OK
    except ExceptionGroup as group:
        return _failed(next(iter(group.exceptions)), json="--json" in given)
    except (Refused, *WRONG_USE, *PROBLEMS, *AWAY) as error:
        return _failed(error, json="--json" in given)
    return Exit.OK


def _failed(error: Exception, *, json: bool) -> Exit:
    """Say what went wrong in one line for each fault, and what it means for the exit code."""
    output = Output(json=json)
    match error:
        case Refused():
            code, told = Exit.PROBLEMS, {"service": error.service, **error.problem.as_json()}
            lines = [f"{error.service} refused it: {line}" for line in error.problem.lines()]
        case _ if isinstance(error, WRONG_USE):
            code, told, lines = Exit.WRONG_USE, {"detail": str(error)}, [str(error)]
        case _ if isinstance(error, PROBLEMS):
            code, told, lines = Exit.PROBLEMS, {"detail": str(error)}, [str(error)]
        case _ if isinstance(error, AWAY):
            code, told, lines = Exit.AWAY, {"detail": str(error)}, [str(error)]
        case _:
            raise error
    output.document({"error": told, "exit_code": int(code)})
    for line in lines:
        output.aside(line, "red")
    return code

"""From rows to requests: pure, so that a dry run shows exactly what a run would send."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from gov.imports.mapping import DateColumn, GatesMapping, History, Portfolio, ProjectsMapping, fill
from gov.imports.table import Problem, Row, Table

ALLOWED_DIGITS: Final = 38
NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class IdOf:
    """Stands in a request for an id that is known only when it is sent: `portfolio`, `project`, `programme:<name>`."""

    name: str


@dataclass(frozen=True, slots=True)
class Request:
    """One command to a service; `time` is the fact's own, None where the file gives none.

    `{project}` in the path, and every IdOf in the body, stands for an id.
    """

    service: str
    path: str
    body: Mapping[str, Any]
    row: int
    time: datetime | None = None

    @property
    def key(self) -> str:
        """The idempotency key: the same request of the same row is the same command, in every run."""
        content = msgspec.json.encode((self.service, self.path, self.body, self.time), order="sorted", enc_hook=str)
        return f"import-{sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    """What is to be sent about one project, in order. `registration` is None where the project must exist already."""

    reference: str
    registration: Request | None
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file leads to: programmes first, then bodies and bands, then the projects in any order."""

    portfolio: Portfolio
    programmes: tuple[str, ...] = ()
    projects: tuple[ProjectPlan, ...] = ()
    bodies: tuple[str, ...] = ()
    bands: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()


def exact_decimal(cell: str) -> Decimal | None:
    """The number in a cell with the file's own digits, only an exponent written out. None where there is none."""
    if not NUMBER.fullmatch(cell):
        return None
    exact = Decimal(format(Decimal(cell), "f"))
    fits = len(exact.as_tuple().digits) <= ALLOWED_DIGITS and len(format(exact, "f")) <= ALLOWED_DIGITS + 2
    return exact if fits else None


def not_a_number(row: Row, column: str) -> Problem:
    """What is said of a cell that holds no number."""
    remedy = "write digits with a decimal point, such as 1234.50"
    return Problem(row.number, column, row[column], "not a number", remedy)


class _Reader:
    """Reads cells exactly as the mapping says, and keeps what can't be read."""

    def __init__(self, zone: ZoneInfo, problems: list[Problem]) -> None:
        self.zone = zone
        self.problems = problems

    def moment(self, row: Row, dates: DateColumn) -> datetime | None:
        """The cell as a local moment; a date without a time is its first moment. None where blank or unreadable."""
        cell = row[dates.column]
        if not cell:
            return None
        for form in dates.formats:
            try:
                return datetime.strptime(cell, form).replace(tzinfo=self.zone)
            except ValueError:
                continue
        self.problems.append(
            Problem(row.number, dates.column, cell, "not a date as the mapping writes it", f"write {dates.formats[0]}")
        )
        return None

    def decimal(self, row: Row, column: str) -> Decimal | None:
        """The cell as an exact decimal, not rounded. None where blank or unreadable."""
        cell = row[column]
        if not cell:
            return None
        exact = exact_decimal(cell)
        if exact is None:
            self.problems.append(not_a_number(row, column))
        return exact

    def money(self, row: Row, column: str | None, currency: str) -> dict[str, str] | None:
        """The cell as an amount in the portfolio's currency."""
        amount = self.decimal(row, column) if column else None
        return None if amount is None else {"amount": format(amount, "f"), "currency": currency}

    def text(self, row: Row, column: str, most: int) -> str | None:
        """The cell as a text. None where blank or too long."""
        cell = row[column]
        if len(cell) > most:
            self.problems.append(
                Problem(row.number, column, cell[:40] + "…", f"{len(cell)} characters", f"at most {most} are taken")
            )
            return None
        return cell or None


def _missing_columns(mapping: ProjectsMapping | GatesMapping, table: Table) -> list[Problem]:
    known = mapping.columns()
    missing = [
        Problem(1, column, "", "the mapping names this column, the file has none", "correct the mapping or the file")
        for column in sorted(known - set(table.columns))
    ]
    unmapped = [
        Problem(1, column, "", "the mapping does not say what this column means", "map it, or list it under `ignored`")
        for column in table.columns
        if column not in known
    ]
    return missing + unmapped


def _source(table: Table, row: Row) -> dict[str, Any]:
    return {"file": table.name, "sha256": table.sha256, "row": row.number}


def plan_projects(mapping: ProjectsMapping, table: Table, *, today: date) -> Plan:
    """What a file of projects leads to.

    A milestone's date up to `today` (in the portfolio's time zone) has happened, a later one is a plan. In a history a
    date counts as happened up to the report that states it.
    """
    problems = list(table.problems)
    columns = _missing_columns(mapping, table)
    if columns:
        return Plan(mapping.portfolio, problems=tuple(columns))
    reader = _Reader(mapping.portfolio.zone, problems)
    by_reference: dict[str, list[Row]] = {}
    for row in table.rows:
        reference = reader.text(row, mapping.reference, 100)
        if reference is None:
            if not row[mapping.reference]:
                problems.append(
                    Problem(row.number, mapping.reference, "", "the project has no reference", "give it one")
                )
            continue
        by_reference.setdefault(reference, []).append(row)
    programmes: set[str] = set()
    projects: list[ProjectPlan] = []
    for reference, rows in by_reference.items():
        if mapping.history is None:
            problems.extend(_repeated(again, mapping.reference, rows[0].number) for again in rows[1:])
            dated: list[tuple[Row, datetime | None]] = [(rows[0], None)]
        else:
            dated = _in_report_order(reader, rows, mapping.history, mapping.reference)
        if not dated:
            continue
        plan = _plan_project(mapping, table, reader, reference, dated, today)
        if plan is not None:
            projects.append(plan)
            assert plan.registration is not None, "a plan of projects registers each of them"
            kind, _, programme = plan.registration.body["parent"].name.partition(":")
            if kind == "programme":
                programmes.add(programme)
    return Plan(
        mapping.portfolio,
        programmes=tuple(sorted(programmes)),
        projects=tuple(projects),
        problems=tuple(sorted(problems, key=lambda problem: problem.row)),
    )


def _repeated(row: Row, column: str, first: int) -> Problem:
    return Problem(
        row.number, column, row[column], f"row {first} has this reference already", "keep one row per project"
    )


def _in_report_order(
    reader: _Reader, rows: list[Row], history: History, reference: str
) -> list[tuple[Row, datetime | None]]:
    dated: list[tuple[Row, datetime | None]] = []
    seen: dict[date, int] = {}
    for row in rows:
        reported = reader.moment(row, history.reported_on)
        column = history.reported_on.column
        if reported is None:
            if not row[column]:
                reader.problems.append(
                    Problem(row.number, column, "", "the report has no date", "give the date of the report")
                )
        elif reported.date() in seen:
            reader.problems.append(
                Problem(
                    row.number,
                    column,
                    row[column],
                    f"row {seen[reported.date()]} reports on {row[reference]!r} on this date already",
                    "keep one row per project and report",
                )
            )
        else:
            seen[reported.date()] = row.number
            dated.append((row, reported))
    return sorted(dated, key=lambda pair: pair[1] or datetime.min.replace(tzinfo=UTC))


def _plan_project(
    mapping: ProjectsMapping,
    table: Table,
    reader: _Reader,
    reference: str,
    dated: list[tuple[Row, datetime | None]],
    today: date,
) -> ProjectPlan | None:
    first, first_reported = dated[0]
    name = fill(mapping.name, first.cells).strip()
    if not 1 <= len(name) <= 200:
        reader.problems.append(
            Problem(
                first.number, mapping.name, name[:40], f"a name of {len(name)} characters", "give 1 to 200 characters"
            )
        )
        return None
    known_since = first_reported
    if mapping.registered is not None:
        registered = reader.moment(first, mapping.registered)
        # A date ahead is a plan to raise the need: it doesn't say since when the project is known.
        known_since = registered if registered and registered.date() <= today else None
    attributes = []
    for attribute, column in mapping.attributes.items():
        text = reader.text(first, column, 200)
        if text is not None:
            attributes.append({"name": attribute, "value": text})
    programme = reader.text(first, mapping.programme, 200) if mapping.programme else None
    purpose = fill(mapping.purpose, first.cells).strip()
    if len(purpose) > 8000:
        reader.problems.append(
            Problem(first.number, mapping.purpose, purpose[:40] + "…", f"{len(purpose)} characters", "at most 8000")
        )
        purpose = ""
    registration = Request(
        "projects",
        "/projects",
        {
            "portfolio": IdOf("portfolio"),
            "parent": IdOf(f"programme:{programme}" if programme else "portfolio"),
            "reference": reference,
            "name": name,
            "charter": {
                "purpose": purpose,
                "sponsor": None,
                "manager": None,
                "value": reader.money(first, mapping.value, mapping.portfolio.currency),
            },
            "methodology": None,
            "attributes": attributes,
            "source": _source(table, first),
        },
        first.number,
        known_since,
    )
    requests: list[Request] = []
    stated: dict[str, str] = {}
    for row, reported in dated:
        as_of_day = reported.date() if reported else today
        if mapping.history is not None and reported is not None:
            requests.append(_observation(mapping.history, mapping.portfolio, table, reader, row, reported))
        for milestone, dates in mapping.milestones.items():
            if stated.get(milestone) == row[dates.column]:
                continue
            stated[milestone] = row[dates.column]
            moment = reader.moment(row, dates)
            if moment is not None:
                requests.append(_milestone(milestone, moment, as_of_day, table, row, reported))
    return ProjectPlan(reference, registration, tuple(requests))


def _observation(
    history: History, portfolio: Portfolio, table: Table, reader: _Reader, row: Row, reported: datetime
) -> Request:
    completion = reader.moment(row, history.forecast_completion) if history.forecast_completion else None
    days = reader.decimal(row, history.schedule_change_days) if history.schedule_change_days else None
    return Request(
        "projects",
        "/projects/{project}/observations",
        {
            "reported_on": reported.date().isoformat(),
            "phase": reader.text(row, history.phase, 200) if history.phase else None,
            "budget_forecast": reader.money(row, history.budget_forecast, portfolio.currency),
            "budget_change": reader.money(row, history.budget_change, portfolio.currency),
            "forecast_completion": completion.date().isoformat() if completion else None,
            "schedule_change_days": None if days is None else format(days, "f"),
            "source": _source(table, row),
        },
        row.number,
        reported,
    )


def _milestone(
    milestone: str, moment: datetime, today: date, table: Table, row: Row, known: datetime | None
) -> Request:
    return Request(
        "projects",
        "/projects/{project}/milestones",
        {
            "milestone": milestone,
            "basis": "actual" if moment.date() <= today else "planned",
            "date": moment.date().isoformat(),
            "source": _source(table, row),
        },
        row.number,
        known,
    )


def plan_gates(mapping: GatesMapping, table: Table, *, today: date) -> Plan:
    """What a file of gate dates leads to.

    A date up to `today` (in the portfolio's time zone) is a decision that was made elsewhere, on that date; a later one
    is a planned milestone. A body is known only where the mapping names a column for it.
    """
    problems = list(table.problems)
    columns = _missing_columns(mapping, table)
    if columns:
        return Plan(mapping.portfolio, problems=tuple(columns))
    reader = _Reader(mapping.portfolio.zone, problems)
    projects: list[ProjectPlan] = []
    seen: dict[str, int] = {}
    for row in table.rows:
        reference = row[mapping.reference]
        if not reference or reference in seen:
            reason = (
                f"row {seen[reference]} has this reference already" if reference else "the project has no reference"
            )
            problems.append(Problem(row.number, mapping.reference, reference, reason, "keep one row per project"))
            continue
        seen[reference] = row.number
        requests: list[Request] = []
        for gate, dates in mapping.gates.items():
            moment = reader.moment(row, dates)
            if moment is None:
                continue
            if moment.date() > today:
                requests.append(_milestone(gate, moment, today, table, row, None))
                continue
            requests.append(
                Request(
                    "approvals",
                    "/decisions",
                    {
                        "project": IdOf("project"),
                        "kind": "gate",
                        "gate": gate,
                        "decided_on": moment.date().isoformat(),
                        "body_name": reader.text(row, dates.body, 200) if dates.body else None,
                        "outcome": None,
                        "source": _source(table, row),
                    },
                    row.number,
                    moment,
                )
            )
        projects.append(ProjectPlan(reference, None, tuple(requests)))
    return Plan(
        mapping.portfolio,
        projects=tuple(projects),
        bodies=tuple(band.body for band in mapping.bands),
        bands=tuple(
            {
                "body": IdOf(f"body:{band.body}"),
                "upper": None
                if band.upper is None
                else {"amount": format(band.upper, "f"), "currency": mapping.portfolio.currency},
                "inclusive": band.inclusive,
            }
            for band in mapping.bands
        ),
        problems=tuple(sorted(problems, key=lambda problem: problem.row)),
    )

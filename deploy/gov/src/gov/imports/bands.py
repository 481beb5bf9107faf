"""A table of value bands from a file: whose decision a value is. It is published whole or not at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from gov.client import Client
from gov.imports.plan import exact_decimal, not_a_number
from gov.imports.table import Problem, Row, Table

COLUMNS: Final = ("body", "upper", "currency", "inclusive")
CURRENCY: Final = re.compile("[A-Z]{3}", re.ASCII)
INCLUSIVE: Final = {"yes": True, "no": False}
LONGEST_NAME: Final = 200
MISSING: Final = "form it with --form-bodies, or correct the name"


@dataclass(frozen=True, slots=True)
class Band:
    """A band as its row says it; `upper` None is without limit, and so is its currency then."""

    row: int
    body: str
    upper: Decimal | None
    currency: str | None
    inclusive: bool

    @property
    def reach(self) -> tuple[bool, Decimal, bool]:
        """Sorts bands by how far they reach: an inclusive bound further than an exclusive one at the same value."""
        return self.upper is None, self.upper or Decimal(0), self.inclusive

    def as_json(self) -> dict[str, Any]:
        """The band for machines, its body by name."""
        upper = None if self.upper is None else {"amount": format(self.upper, "f"), "currency": self.currency}
        return {"body": self.body, "upper": upper, "inclusive": self.inclusive}


@dataclass(frozen=True, slots=True)
class BandPlan:
    """The bands that a file says, in its order, and what is wrong with it; with a problem nothing is published."""

    bands: tuple[Band, ...]
    problems: tuple[Problem, ...]


def plan_bands(table: Table) -> BandPlan:
    """Read a table with the columns body, upper, currency and inclusive (yes or no), in any order.

    Only the last row may leave `upper` blank, which is without limit. Bounds rise from row to row, in one currency.
    """
    columns = _column_problems(table)
    if columns:
        return BandPlan((), columns)
    problems = list(table.problems)
    bands = [band for row in table.rows if (band := _band(row, problems)) is not None]
    if not table.rows and not problems:
        problems.append(Problem(1, "", "", "the file has no bands", "give each body that decides a row"))
    if not problems:
        problems.extend(_order_problems(bands))
    return BandPlan(tuple(bands), tuple(sorted(problems, key=lambda problem: problem.row)))


def _column_problems(table: Table) -> tuple[Problem, ...]:
    wanted = ", ".join(COLUMNS)
    missing = [
        Problem(1, column, "", "the file has no such column", f"name the columns {wanted}")
        for column in COLUMNS
        if column not in table.columns
    ]
    unknown = [
        Problem(1, column, "", "this column means nothing here", f"keep the columns {wanted} only")
        for column in table.columns
        if column not in COLUMNS
    ]
    return (*missing, *unknown)


def _band(row: Row, problems: list[Problem]) -> Band | None:
    faults: list[Problem] = []

    def fault(column: str, reason: str, remedy: str) -> None:
        faults.append(Problem(row.number, column, row[column][:80], reason, remedy))

    body, upper, currency, said = (row[column] for column in COLUMNS)
    if not 1 <= len(body) <= LONGEST_NAME:
        fault("body", f"a name of {len(body)} characters", f"give the body's name, 1 to {LONGEST_NAME} characters")
    amount = exact_decimal(upper)
    if upper and amount is None:
        faults.append(not_a_number(row, "upper"))
    if upper and not CURRENCY.fullmatch(currency):
        fault("currency", "no currency", "write an ISO 4217 code such as AUD")
    if not upper and currency:
        fault("currency", "a band without an upper bound has no currency", "leave it blank, or give the bound")
    inclusive = INCLUSIVE.get(said.lower())
    if upper and inclusive is None:
        fault("inclusive", "doesn't say if the bound itself is in the band", "write yes or no")
    if not upper and said and inclusive is not False:
        fault("inclusive", "a band without an upper bound has none to include", "leave it blank, or write no")
    problems.extend(faults)
    if faults:
        return None
    return Band(row.number, body, amount, currency or None, bool(inclusive))


def _order_problems(bands: list[Band]) -> list[Problem]:
    problems = []
    first = next((band for band in bands if band.currency is not None), bands[0])
    for before, band in pairwise(bands):
        if before.upper is None:
            reason = f"row {before.row} is without limit, so that nothing is left for this one"
            problems.append(Problem(band.row, "body", band.body, reason, "leave upper blank in the last row only"))
        elif band.reach <= before.reach:
            reason = f"reaches no further than row {before.row}"
            problems.append(
                Problem(band.row, "upper", format(band.upper or 0, "f"), reason, "put the rows in rising order")
            )
        if band.currency is not None and band.currency != first.currency:
            reason = f"row {first.row} is in {first.currency}"
            problems.append(Problem(band.row, "currency", band.currency, reason, "give all bounds in one currency"))
    return problems


@dataclass(frozen=True, slots=True)
class BandsResult:
    """What came of a table; `published` says that it replaces the one before, which was another."""

    file: str
    sha256: str
    dry_run: bool
    bands: tuple[Band, ...]
    problems: tuple[Problem, ...]
    formed: tuple[str, ...] = ()
    published: bool = False

    def as_json(self) -> dict[str, Any]:
        """The result for machines."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "dry_run": self.dry_run,
            "bands": [band.as_json() for band in self.bands],
            "bodies_formed": list(self.formed),
            "published": self.published,
            "problems": [problem.as_json() for problem in self.problems],
        }


def rehearse_bands(plan: BandPlan, table: Table) -> BandsResult:
    """What would be published, without asking any service."""
    return BandsResult(table.name, table.sha256, dry_run=True, bands=plan.bands, problems=plan.problems)


async def publish_bands(
    client: Client, plan: BandPlan, table: Table, portfolio: str, *, form_bodies: bool
) -> BandsResult:
    """Publish a table of the portfolio with this id, unless it has a problem or names a body that nobody formed.

    With `form_bodies` such bodies are formed first. Raises what the client raises.
    """
    problems = plan.problems
    known = await body_ids(client, portfolio)
    strangers = tuple(dict.fromkeys(band.body for band in plan.bands if band.body not in known))
    if not form_bodies:
        nobody = "the portfolio has no body of this name"
        problems += tuple(
            Problem(band.row, "body", band.body, nobody, MISSING) for band in plan.bands if band.body in strangers
        )
    if problems:
        return BandsResult(table.name, table.sha256, dry_run=False, bands=plan.bands, problems=problems)
    for name in strangers:
        formed = await client.command("approvals", "/bodies", {"portfolio": portfolio, "name": name})
        known = {**known, name: str(formed.stream)}
    answer = await client.command(
        "approvals",
        "/value-bands",
        {
            "portfolio": portfolio,
            "bands": [{**band.as_json(), "body": known[band.body]} for band in plan.bands],
            # The table is the whole file, so its source is named by the heading's row.
            "source": {"file": table.name, "sha256": table.sha256, "row": 1},
        },
    )
    return BandsResult(
        table.name,
        table.sha256,
        dry_run=False,
        bands=plan.bands,
        problems=(),
        formed=strangers,
        published=bool(answer.events),
    )


async def body_ids(client: Client, portfolio: str) -> Mapping[str, str]:
    """The ids of a portfolio's bodies by their names."""
    return {
        item["name"]: str(item["body"]) async for item in client.items("approvals", "/bodies", {"portfolio": portfolio})
    }

"""What a mapping file says: which column means what, how dates are written, and what is left out and why."""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no IANA time zone; give one such as Australia/Melbourne")
    return name


_FIELD = re.compile(r"\{([^{}]+)\}")


def _balanced(text: str) -> str:
    if set(_FIELD.sub("", text)) & {"{", "}"}:
        raise ValueError(f"{text!r} has a brace that is no {{Column}}; write each column in a pair of braces")
    return text


def fill(text: str, cells: Mapping[str, str]) -> str:
    """The text with each {Column} replaced by its cell. Raises KeyError for a column that is not there."""
    return _FIELD.sub(lambda field: cells[field[1]], text)


TextOfColumns = Annotated[str, AfterValidator(_balanced)]


class Part(BaseModel):
    """A part of a mapping; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Portfolio(Part):
    """The portfolio that the file's projects belong to; it is registered where it doesn't exist yet."""

    name: str
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    time_zone: Annotated[str, AfterValidator(_known_zone)]

    @property
    def zone(self) -> ZoneInfo:
        """Where the file's local dates and times are local."""
        return ZoneInfo(self.time_zone)


class DateColumn(Part):
    """A column of dates: the formats (strptime) that a cell may have, tried exactly, none guessed."""

    column: str
    formats: tuple[str, ...] = Field(min_length=1)


class History(Part):
    """The columns of a file in which each row is what was reported of a project on a date."""

    reported_on: DateColumn
    phase: str | None = None
    budget_forecast: str | None = None
    budget_change: str | None = None
    forecast_completion: DateColumn | None = None
    schedule_change_days: str | None = None

    def columns(self) -> set[str]:
        """The columns that the history reads."""
        plain = {self.phase, self.budget_forecast, self.budget_change, self.schedule_change_days}
        dates = {self.reported_on.column, self.forecast_completion.column if self.forecast_completion else None}
        return {column for column in plain | dates if column is not None}


class _Mapping(Part):
    portfolio: Portfolio
    reference: str
    ignored: dict[str, str] = Field(default_factory=dict)

    def columns(self) -> set[str]:
        """Every column that the mapping speaks of."""
        return {self.reference, *self.ignored}


class ProjectsMapping(_Mapping):
    """How to read projects.

    `name` and `purpose` are texts with {Column} in them; `registered` is the date by which the organisation knew of the
    project, where the file says so.
    """

    kind: Literal["projects"]
    name: TextOfColumns
    purpose: TextOfColumns = ""
    programme: str | None = None
    value: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    registered: DateColumn | None = None
    milestones: dict[str, DateColumn] = Field(default_factory=dict)
    history: History | None = None

    def columns(self) -> set[str]:
        """Every column that the mapping speaks of."""
        in_texts = {column for text in (self.name, self.purpose) for column in _FIELD.findall(text)}
        return (
            super().columns()
            | in_texts
            | {column for column in (self.programme, self.value) if column}
            | set(self.attributes.values())
            | {dates.column for dates in (self.registered, *self.milestones.values()) if dates}
            | (self.history.columns() if self.history else set())
        )


class GateColumn(DateColumn):
    """A gate's decision date, and the column of the body that decided where there is one."""

    body: str | None = None


class Band(Part):
    """A line of the band table: who decides up to `upper` (in the portfolio's currency), None without limit."""

    body: str
    upper: Decimal | None = None
    inclusive: bool = False


class GatesMapping(_Mapping):
    """How to read decisions that were made at gates, and the table that says whose decision a value is."""

    kind: Literal["gates"]
    gates: dict[str, GateColumn]
    bands: tuple[Band, ...] = ()

    @model_validator(mode="after")
    def _bands_rise(self) -> "GatesMapping":
        uppers = [band.upper for band in self.bands]
        if any(upper is None for upper in uppers[:-1]) or any(
            low >= high for low, high in pairwise(uppers) if low is not None and high is not None
        ):
            raise ValueError("bands: give them in rising order, only the last without `upper`")
        return self

    def columns(self) -> set[str]:
        """Every column that the mapping speaks of."""
        bodies = {gate.body for gate in self.gates.values() if gate.body}
        return super().columns() | {gate.column for gate in self.gates.values()} | bodies


class MappingRefused(ValueError):
    """A mapping file can't be used; the message says which key, and how to put it right."""


_any_mapping: TypeAdapter[ProjectsMapping | GatesMapping] = TypeAdapter(
    Annotated[ProjectsMapping | GatesMapping, Field(discriminator="kind")]
)


def load_mapping(path: Path) -> ProjectsMapping | GatesMapping:
    """Read a mapping file. Raises MappingRefused, naming every key that is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingRefused(f"{path}: cannot be read: {error}") from None
    try:
        return _any_mapping.validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise MappingRefused(f"{path}: {problems}") from None

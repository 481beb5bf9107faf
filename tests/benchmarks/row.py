"""A row of the table: repeats of ours beside those of its floor, their median and spread, and whether that is enough."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

Ours = TypeVar("Ours")
Floor = TypeVar("Floor")

HEADINGS: Final = ("name", "value", "unit", "floor", "ratio", "min-max", "at least", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, measured once per repeat.

    `floor` is what it stands against, measured in the same repeats; without one, `limit` is what it may be at most, in
    the same unit. The ratio says how well it stands, the larger the better: ours / floor of rates, and floor / ours or
    limit / ours of what should be small. `at_least` is what the ratio has to be, None where it is only stated.
    `against` says in words what the floor is.
    """

    name: str
    unit: str
    ours: tuple[float, ...]
    against: str
    floor: tuple[float, ...] | None = None
    limit: float | None = None
    at_least: float | None = None
    less_is_better: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        assert self.ours, f"{self.name}: was not measured"
        assert self.floor is None or self.limit is None, f"{self.name}: has a floor and a limit; give one"
        assert self.floor is None or len(self.floor) == len(self.ours), f"{self.name}: repeats come in pairs"
        assert self.limit is None or self.less_is_better, f"{self.name}: a limit is for what should be small"

    @property
    def value(self) -> float:
        """The median of ours."""
        return median(self.ours)

    @property
    def floor_value(self) -> float | None:
        """The median of the floor."""
        return None if self.floor is None else median(self.floor)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratio of each repeat; none where there is nothing to compare with."""
        if self.limit is not None:
            return tuple(self.limit / ours for ours in self.ours)
        if self.floor is None:
            return ()
        pairs = zip(self.ours, self.floor, strict=True)
        return tuple(floor / ours if self.less_is_better else ours / floor for ours, floor in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the median ratio is enough; None where nothing is asked."""
        if self.at_least is None or not self.ratios:
            return None
        return median(self.ratios) >= self.at_least

    def as_json(self) -> dict[str, Any]:
        """The row as it is written down, its samples with it."""
        ratios = self.ratios
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor_value,
            "limit": self.limit,
            "ratio": median(ratios) if ratios else None,
            "ratio_min": min(ratios) if ratios else None,
            "ratio_max": max(ratios) if ratios else None,
            "at_least": self.at_least,
            "met": self.met,
            "against": self.against,
            "note": self.note,
            "ours_samples": list(self.ours),
            "floor_samples": None if self.floor is None else list(self.floor),
        }


async def interleaved(
    repeats: int, ours: Callable[[], Awaitable[Ours]], floor: Callable[[], Awaitable[Floor]]
) -> tuple[list[Ours], list[Floor]]:
    """Measure the two by turns, so that whatever slows the machine for a while slows both."""
    of_ours: list[Ours] = []
    of_floor: list[Floor] = []
    for _ in range(repeats):
        of_ours.append(await ours())
        of_floor.append(await floor())
    return of_ours, of_floor


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank). Needs one value at least."""
    assert values, "no values, no percentile"
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]


def table(rows: Sequence[Row]) -> str:
    """The rows as a person reads them, with what each stands against below."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    shown = [
        "  ".join(
            cell.ljust(width) if column in {0, 2} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    shown.insert(1, "  ".join("-" * width for width in widths).rstrip())
    shown.append("")
    shown += [f"{row.name}: against {row.against}{f'; {row.note}' if row.note else ''}" for row in rows]
    return "\n".join(shown)


def _cells(row: Row) -> tuple[str, ...]:
    ratios = row.ratios
    against = row.limit if row.limit is not None else row.floor_value
    return (
        row.name,
        figure(row.value),
        row.unit,
        "-" if against is None else figure(against),
        f"{median(ratios):.2f}" if ratios else "-",
        f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else "-",
        "-" if row.at_least is None else f"{row.at_least:.2f}",
        {True: "met", False: "short", None: "stated"}[row.met],
    )


def summary(row: Row) -> str:
    """The row in a line, as it is shown while others are being measured."""
    name, value, unit, against, ratio, spread, at_least, judged = _cells(row)
    return f"{name}: {value} {unit} against {against}, ratio {ratio} ({spread}), at least {at_least}: {judged}"


def figure(value: float) -> str:
    """Three digits that count, and thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write(folder: Path, rows: Sequence[Row], circumstances: Mapping[str, Any]) -> None:
    """Write `bench.json`, a list of rows, and beside it `bench-circumstances.json`, what they were measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("bench", [row.as_json() for row in rows]), ("bench-circumstances", dict(circumstances))):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")

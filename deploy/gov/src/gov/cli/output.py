"""What a command says: tables for people or one JSON document for programs on stdout, everything else on stderr."""

import json as json_module
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum, IntEnum
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

UNBOUNDED_WIDTH: Final = 10_000


class Exit(IntEnum):
    """What a command's exit code means."""

    OK = 0
    PROBLEMS = 1
    WRONG_USE = 2
    AWAY = 3


class Output:
    """Where a command speaks; with `json` there is exactly one document on stdout."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        # Whoever reads a pipe wants whole lines.
        self._out = Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH, highlight=False)
        self._aside = Console(stderr=True, highlight=False)

    def document(self, content: object) -> None:
        """The command's result for programs; nothing where people read."""
        if self.json:
            print(as_json(content), flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A part of the result for people; nothing where programs read. Numbers stand to the right."""
        if self.json:
            return
        listed = [list(row) for row in rows]
        self._out.print(plain(title), style="bold", soft_wrap=True)
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(columns):
            numeric = bool(listed) and all(_is_number(row[number]) for row in listed)
            table.add_column(plain(column), justify="right" if numeric else "left", overflow="fold")
        for row in listed:
            table.add_row(*(plain(cell) for cell in row))
        self._out.print(table)

    def line(self, text: str, style: str = "") -> None:
        """A line of the result for people; nothing where programs read."""
        if not self.json:
            self._out.print(plain(text), style=style, soft_wrap=True)

    def aside(self, text: str, style: str = "") -> None:
        """A line that is no part of the result."""
        self._aside.print(plain(text), style=style, soft_wrap=True)

    def progress(self) -> Progress:
        """Bars with rate and time left, beside the result."""
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=self._aside,
            disable=not self._aside.is_terminal,
        )


class Rate(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        """The rate of the last while."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def plain(value: object) -> Text:
    """A value as a person may see it: what came from outside can't move the cursor, nor be taken for markup."""
    match value:
        case None:
            shown = ""
        case bool():
            shown = "yes" if value else "no"
        case Enum():
            shown = str(value.value)
        case datetime():
            shown = value.isoformat(sep=" ", timespec="seconds")
        case Mapping() | list() | tuple():
            shown = as_json(value, indent=None)
        case _:
            shown = str(value)
    return Text("".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in shown))


def as_json(content: object, indent: int | None = 1) -> str:
    """JSON in which the same content has the same text."""
    return json_module.dumps(content, indent=indent, ensure_ascii=False, default=_json_of)


def _json_of(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _is_number(value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return True
    try:
        float(str(value).replace(",", ""))
    except ValueError:
        return value is None
    return True

"""Reading a CSV or XLSX file as rows of text, with nothing guessed and nothing dropped unsaid."""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

LARGEST_FILE_BYTES: Final = 64 * 2**20
LARGEST_UNPACKED_BYTES: Final = 256 * 2**20
MOST_ROWS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the file that was not taken: where, what stands there, why not, and what would be taken."""

    row: int
    column: str
    value: str
    reason: str
    remedy: str

    def as_json(self) -> dict[str, object]:
        """The problem for machines."""
        return {
            "row": self.row,
            "column": self.column,
            "value": self.value,
            "reason": self.reason,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A row's cells by column, without the blanks around them; `number` counts in the file, the heading is 1."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows, the rows that are broken, and the file's name and SHA-256."""

    name: str
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


class TableRefused(ValueError):
    """A file can't be read as a table at all."""


def read_table(path: Path) -> Table:
    """Read a file. Raises TableRefused where it is no CSV or XLSX, too large, or has no usable heading."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise TableRefused(f"{path}: {size} bytes; at most {LARGEST_FILE_BYTES} are read: split the file")
        content = path.read_bytes()
    except OSError as error:
        raise TableRefused(f"{path}: cannot be read: {error.strerror}") from None
    records = _xlsx_records(path, content) if path.suffix.lower() == ".xlsx" else _csv_records(path, content)
    heading = next(records, (1, []))[1]
    columns = tuple(cell.strip() for cell in heading)
    if not any(columns):
        raise TableRefused(f"{path}: the first row is empty; it must name the columns")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise TableRefused(f"{path}: the heading names {', '.join(map(repr, twice))} more than once: rename one")
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, cells in records:
        if number > MOST_ROWS:
            raise TableRefused(f"{path}: more than {MOST_ROWS} rows: split the file")
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            problems.append(
                Problem(
                    number,
                    "",
                    ",".join(cells)[:80],
                    f"the row has {len(cells)} cells, the heading {len(columns)}",
                    "give each row one cell per column; quote a cell that holds a comma or a line break",
                )
            )
            continue
        nul = next((column for column, cell in zip(columns, cells, strict=True) if "\x00" in cell), None)
        if nul is not None:
            problems.append(Problem(number, nul, "U+0000", "the cell holds the character U+0000", "remove it"))
            continue
        rows.append(Row(number, {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}))
    return Table(path.name, sha256(content).hexdigest(), columns, tuple(rows), tuple(problems))


def _csv_records(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableRefused(f"{path}: byte {error.start} is not UTF-8: save the file as CSV UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    while True:
        number += 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableRefused(f"{path}: row {number} (line {reader.line_num}): {error}: check its quotes") from None


def _xlsx_records(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > LARGEST_UNPACKED_BYTES:
            raise TableRefused(f"{path}: unpacks to {unpacked} bytes; at most {LARGEST_UNPACKED_BYTES} are read")
        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError) as error:
        raise TableRefused(f"{path}: not an XLSX workbook: {error}") from None
    sheet = workbook.worksheets[0]
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        yield number, [_cell_text(cell) for cell in cells]


def _cell_text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            return cell.isoformat(sep=" ", timespec="seconds")
        case date():
            return cell.isoformat()
        case float():
            return repr(int(cell)) if cell.is_integer() else repr(cell)
        case _:
            return str(cell)

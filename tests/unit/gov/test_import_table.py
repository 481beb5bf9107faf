"""Reading files as rows: nothing is guessed, nothing is dropped unsaid."""

from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from openpyxl import Workbook

from gov.imports import table
from gov.imports.table import TableRefused, read_table


def written(folder: Path, content: bytes, name: str = "projects.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_rows_are_numbered_as_in_the_file_and_cells_lose_the_blanks_around_them(tmp_path: Path) -> None:
    content = "\ufeffID, Name \nA1,  Dam wall \n\nA2,Pump\n".encode()
    read = read_table(written(tmp_path, content))
    assert read.columns == ("ID", "Name")
    assert [(row.number, row.cells) for row in read.rows] == [
        (2, {"ID": "A1", "Name": "Dam wall"}),
        (4, {"ID": "A2", "Name": "Pump"}),
    ]
    assert (read.name, read.sha256, read.problems) == ("projects.csv", sha256(content).hexdigest(), ())


def test_a_cell_may_hold_commas_line_breaks_and_html(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, b'ID,Name\nA1,"<b>x</b>, y\nz"\nA2,b\n'))
    assert [row["Name"] for row in read.rows] == ["<b>x</b>, y\nz", "b"]
    assert [row.number for row in read.rows] == [2, 3]


@pytest.mark.parametrize(("line", "cells"), [(b"A1", 1), (b"A1,b,c", 3)])
def test_a_row_with_too_few_or_too_many_cells_is_reported_and_the_others_are_read(
    tmp_path: Path, line: bytes, cells: int
) -> None:
    read = read_table(written(tmp_path, b"ID,Name\n" + line + b"\nA2,b\n"))
    assert [row["ID"] for row in read.rows] == ["A2"]
    (problem,) = read.problems
    assert (problem.row, problem.reason) == (2, f"the row has {cells} cells, the heading 2")
    assert "quote" in problem.remedy


def test_a_nul_in_a_cell_is_reported_with_its_column(tmp_path: Path) -> None:
    read = read_table(written(tmp_path, b"ID,Name\nA1,a\x00b\nA2,b\n"))
    assert [row["ID"] for row in read.rows] == ["A2"]
    (problem,) = read.problems
    assert (problem.row, problem.column, problem.value) == (2, "Name", "U+0000")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must name the columns"),
        (b"\n\nA1,b\n", "must name the columns"),
        (b"ID,Name,ID\n", "'ID' more than once"),
        (b"ID,Name\nA1,caf\xe9\n", "save the file as CSV UTF-8"),
        (b'ID,Name\nA1,"open\nA2,b\n', "check its quotes"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(TableRefused, match=said):
        read_table(written(tmp_path, content))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TableRefused, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(table.LARGEST_FILE_BYTES + 1)
    with pytest.raises(TableRefused, match="split the file"):
        read_table(path)


def test_a_sheet_reads_as_the_text_that_a_mapping_can_speak_of(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(["ID", "Value", "Day", "Moment", "Count"])
    sheet.append(["A1", 2066075.59, date(2016, 5, 25), datetime.fromisoformat("2016-05-25T17:00"), 3.0])
    sheet.append([None, None, None, None, None])
    sheet.append(["A2", None, None, None, 4])
    path = tmp_path / "projects.xlsx"
    workbook.save(path)
    read = read_table(path)
    assert [(row.number, tuple(row.cells.values())) for row in read.rows] == [
        (2, ("A1", "2066075.59", "2016-05-25 00:00:00", "2016-05-25 17:00:00", "3")),
        (4, ("A2", "", "", "", "4")),
    ]


def test_a_sheet_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableRefused, match="not an XLSX workbook"):
        read_table(written(tmp_path, b"ID,Name\n", "projects.xlsx"))

"""Mapping files: what can't be meant is refused by key, before any row is read."""

from pathlib import Path

import pytest

from gov.imports.mapping import GatesMapping, MappingRefused, ProjectsMapping, fill, load_mapping

MAPPINGS = Path(__file__).parents[3] / "deploy" / "mappings"

PORTFOLIO = "portfolio: { name: Works, currency: AUD, time_zone: Australia/Melbourne }\n"
PROJECTS = f"kind: projects\n{PORTFOLIO}reference: ID\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_mappings_that_come_with_gatehouse_can_be_read() -> None:
    read = {path.name: load_mapping(path) for path in MAPPINGS.glob("*.yaml")}
    assert {name: type(mapping) for name, mapping in read.items()} == {
        "melbourne-water-projects.yaml": ProjectsMapping,
        "melbourne-water-gates.yaml": GatesMapping,
        "new-york-projects.yaml": ProjectsMapping,
    }


def test_columns_are_filled_into_a_text_as_they_stand_and_never_read_as_format() -> None:
    assert fill("{ID}: {Project Name}", {"ID": "{ID}", "Project Name": "a {0} b"}) == "{ID}: a {0} b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROJECTS, "projects.name: Field required"),
        (PROJECTS + "name: '{ID'\n", "write each column in a pair of braces"),
        (PROJECTS + "name: '{}'\n", "write each column in a pair of braces"),
        (PROJECTS + "name: '{ID}'\nvalues: FFC\n", "projects.values: Extra inputs are not permitted"),
        (PROJECTS.replace("Australia/Melbourne", "Melbourne") + "name: x\n", "no IANA time zone"),
        (PROJECTS.replace("AUD", "aud") + "name: x\n", r"portfolio\.currency"),
        (PROJECTS + "name: x\nmilestones: { Start: { column: S, formats: [] } }\n", r"milestones\.Start\.formats"),
        (f"kind: people\n{PORTFOLIO}reference: ID\n", "kind"),
        ("kind: [", "cannot be read"),
        ("", "the file"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MappingRefused, match=said):
        load_mapping(written(tmp_path, text))


@pytest.mark.parametrize(
    "bands",
    [
        "[{ body: A, upper: 5 }, { body: B, upper: 5 }]",
        "[{ body: A, upper: 8 }, { body: B, upper: 5 }]",
        "[{ body: A }, { body: B, upper: 5 }]",
    ],
)
def test_bands_that_do_not_rise_are_refused(tmp_path: Path, bands: str) -> None:
    text = f"kind: gates\n{PORTFOLIO}reference: ID\ngates: {{}}\nbands: {bands}\n"
    with pytest.raises(MappingRefused, match="rising order"):
        load_mapping(written(tmp_path, text))

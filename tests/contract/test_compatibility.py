"""Everything that was released stays readable; each way to break that is planted here and found."""

import copy
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest

from govevents.__main__ import main
from govevents.catalogue import Catalogue, Upcaster
from govevents.compatibility import problems
from govevents.event import event
from govevents.published import Published
from govevents.registry import CATALOGUE
from govevents.schemas import Schema, schema_of
from govevents.values import Code, Length, Name


def declared(version: int, **fields: Any) -> type[object]:
    """The event `synthetic.Happened` with these fields, declared afresh, as another release would."""
    cls = type("Happened", (), {"__doc__": "It happened.", "__annotations__": fields})
    return event("synthetic", version=version)(cls)


FIRST = declared(1, title=Name, amount=Decimal | None, tags=tuple[Code, ...])
RELEASED = {("synthetic.Happened", 1): schema_of(FIRST)}


def found(*events: type[object], upcasters: dict[tuple[str, int], Upcaster] | None = None, **more: Schema) -> str:
    released = {**RELEASED, **{("synthetic.Happened", int(key[1:])): schema for key, schema in more.items()}}
    return "\n".join(problems(released, Catalogue.of(events, upcasters)))


def test_an_unchanged_event_is_compatible() -> None:
    assert found(FIRST) == ""


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"amount": Decimal | None, "tags": tuple[Code, ...]}, "/properties/title was removed"),
        ({"heading": Name, "amount": Decimal | None, "tags": tuple[Code, ...]}, "/properties/heading was added"),
        (
            {"title": Name, "amount": Decimal | None, "tags": tuple[Code, ...], "reason": Name | None},
            "/properties/reason was added",
        ),
        ({"title": Name, "amount": Decimal, "tags": tuple[Code, ...]}, "/properties/amount"),
        (
            {"title": Annotated[str, Length(1, 10)], "amount": Decimal | None, "tags": tuple[Code, ...]},
            "/properties/title/maxLength was 200 and is 10",
        ),
        ({"title": Name, "amount": int | None, "tags": tuple[Code, ...]}, "/properties/amount/anyOf"),
    ],
    ids=["removed", "renamed", "added", "required", "narrowed", "retyped"],
)
def test_a_released_version_may_not_change(fields: dict[str, Any], complaint: str) -> None:
    assert complaint in found(declared(1, **fields))


def test_a_released_event_may_not_go() -> None:
    assert "no class reads it" in found()


def test_the_schema_of_an_older_version_may_not_go() -> None:
    second = declared(2, title=Name)
    said = "\n".join(
        problems(
            {("synthetic.Happened", 2): schema_of(second)},
            Catalogue.of([second], {("synthetic.Happened", 1): lambda data: {"title": data["title"]}}),
        )
    )
    assert "version 1: its released schema is missing; bring it back" in said


def test_a_version_may_not_go_back() -> None:
    assert "the newest class is version 1" in found(FIRST, v2=schema_of(declared(2, title=Name)))


SECOND = declared(2, title=Name, amount=Decimal | None, tags=tuple[Code, ...], reason=Name | None)


def test_a_new_version_reads_the_old_one_through_its_upcaster() -> None:
    upcasters: dict[tuple[str, int], Upcaster] = {("synthetic.Happened", 1): lambda data: {**data, "reason": None}}
    assert found(SECOND, upcasters=upcasters, v2=schema_of(SECOND)) == ""


@pytest.mark.parametrize(
    ("upcaster", "complaint"),
    [
        (lambda data: data, "missing required field `reason`"),
        (lambda data: {**data, "reason": data["motive"]}, "motive"),
        (lambda data: {**data, "reason": ""}, "1 to 200 characters"),
        (lambda data: {**data, "reason": None, "motive": None}, "/motive was removed"),
        (lambda data: {**data, "reason": data["amount"] and data["amount"] * 100}, "1 to 200 characters"),
    ],
    ids=["adds nothing", "reads what is not there", "refused by the class", "leaves a field", "fails for some"],
)
def test_an_upcaster_that_does_not_fit_is_found(upcaster: Upcaster, complaint: str) -> None:
    assert complaint in found(SECOND, upcasters={("synthetic.Happened", 1): upcaster}, v2=schema_of(SECOND))


def test_every_older_version_is_checked_not_only_the_last() -> None:
    third = declared(3, title=Name)
    upcasters: dict[tuple[str, int], Upcaster] = {
        ("synthetic.Happened", 1): lambda data: {**data, "reason": "unstated"},
        ("synthetic.Happened", 2): lambda data: {"title": data["reason"]},
    }
    said = found(third, upcasters=upcasters, v2=schema_of(SECOND), v3=schema_of(third))
    assert "version 2: today's reader refuses" in said
    assert "version 1" not in said


def published(tmp_path: Path) -> Path:
    """A folder with what earlier releases have left, and today's versions generated beside it."""
    for name, version in CATALOGUE.upcasters:
        for folder in (Published().schemas, Published().samples):
            copied = tmp_path / folder.name / f"{name}.v{version}.json"
            copied.parent.mkdir(exist_ok=True)
            shutil.copy(folder / copied.name, copied)
    Published(tmp_path).generate()
    return tmp_path


def test_what_was_just_generated_has_nothing_wrong(tmp_path: Path) -> None:
    assert Published(published(tmp_path)).check() == []
    assert main(["check", "--folder", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("schemas/approvals.VoteCast.v1.json", "approvals.VoteCast version 1: its released schema is missing"),
        ("samples/approvals.VoteCast.v1.json", "approvals.VoteCast version 1: no golden sample"),
    ],
)
def test_a_missing_file_is_found(tmp_path: Path, file: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    (published(tmp_path) / file).unlink()
    assert main(["check", "--folder", str(tmp_path)]) == 1
    assert complaint in capsys.readouterr().err


def test_an_edited_schema_is_found(tmp_path: Path) -> None:
    path = published(tmp_path) / "schemas" / "approvals.VoteCast.v2.json"
    schema = json.loads(path.read_text("utf-8"))
    edited = copy.deepcopy(schema)
    edited["required"].remove("reason")
    path.write_text(json.dumps(edited), encoding="utf-8")
    assert any("approvals.VoteCast version 2: /required" in problem for problem in Published(tmp_path).check())


def test_an_edited_asyncapi_document_is_found(tmp_path: Path) -> None:
    path = published(tmp_path) / "asyncapi.yaml"
    path.write_text(path.read_text("utf-8").replace("gov.risks.events.v1", "gov.risk.events.v1"), encoding="utf-8")
    assert any("asyncapi.yaml" in problem for problem in Published(tmp_path).check())


def test_an_edited_envelope_is_found(tmp_path: Path) -> None:
    path = published(tmp_path) / "schemas" / "envelope.v1.json"
    path.write_text(path.read_text("utf-8").replace('"prevhash"', '"previoushash"'), encoding="utf-8")
    assert any(problem.startswith("envelope: ") for problem in Published(tmp_path).check())


def test_a_stray_file_among_the_schemas_is_refused(tmp_path: Path) -> None:
    (published(tmp_path) / "schemas" / "VoteCast.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"VoteCast\.json"):
        Published(tmp_path).check()

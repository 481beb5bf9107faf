"""An API's description: what the framework knows of the routes, made exact, and everything that repeats said once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from govkernel.domain import Refusal
from govkernel.http.bodies import DECIMAL
from govkernel.http.problems import MEDIA_TYPE, PREFIX, InputError, Problem, ProblemType

Described = dict[str, Any]
"""A part of a description, as JSON."""

_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def describe(title: str, text: str, routes: Sequence[BaseRoute]) -> Described:
    """The description (OpenAPI 3.1) of these routes: the same for the same code.

    A problem that several operations answer stands under `components/responses`, named by its status and kinds; a
    header that several take, under `components/parameters`.
    """
    described = get_openapi(title=title, version="1", description=text, routes=routes)
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, InputError):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    described["components"]["securitySchemes"] = {"bearer": _BEARER}
    exact: Described = _decimals_as_texts(described)
    _share_problems(exact)
    _share_headers(exact)
    return exact


def problem_answers(
    problems: Iterable[ProblemType], refusals: Iterable[tuple[int, type[Refusal]]]
) -> dict[int | str, Described]:
    """What an operation answers, by status, where it says no; each answer lists the kinds of problem of its status."""
    by_status: dict[int, dict[str, str]] = {}
    for problem in problems:
        by_status.setdefault(problem.status, {})[problem.urn] = problem.title
    for status, refusal in refusals:
        by_status.setdefault(status, {})[PREFIX + refusal.slug()] = refusal.title()
    return {
        status: {
            "description": "\n".join(f"- `{urn}`: {title}" for urn, title in sorted(kinds.items())),
            "content": {
                MEDIA_TYPE: {
                    "schema": {
                        "allOf": [
                            {"$ref": "#/components/schemas/Problem"},
                            {"properties": {"type": {"enum": sorted(kinds)}}},
                        ]
                    }
                }
            },
        }
        for status, kinds in sorted(by_status.items())
    }


def _decimals_as_texts(schema: Any) -> Any:
    """The same description, in which a decimal is the text that bodies take, and not the number that pydantic says."""
    match schema:
        case {"anyOf": [{"type": "number"}, {"type": "string"}, *others], **rest}:
            text = {"type": "string", "pattern": f"^{DECIMAL.pattern}$"}
            return {**rest, "anyOf": [text, *others]} if others else {**rest, **text}
        case dict():
            return {name: _decimals_as_texts(inner) for name, inner in schema.items()}
        case list():
            return [_decimals_as_texts(inner) for inner in schema]
        case _:
            return schema


def _share_problems(described: Described) -> None:
    """Put each problem that several operations answer where they all refer to."""
    times = Counter(name for _, _, name in _problems(described))
    for answers, status, name in list(_problems(described)):
        if times[name] > 1:
            answers[status] = _shared(described, "responses", name, answers[status])


def _problems(described: Described) -> Iterator[tuple[Described, str, str]]:
    """The operations' problems that stand in place: the answers that each is among, its status and its name."""
    for operation in _operations(described):
        answers = operation["responses"]
        for status, answer in answers.items():
            match answer:
                case {"content": {"application/problem+json": {"schema": {"allOf": [_, {"properties": kinds}]}}}}:
                    slugs = (urn.removeprefix(PREFIX) for urn in kinds["type"]["enum"])
                    yield answers, status, ".".join((status, *slugs))
                case _:
                    continue


def _share_headers(described: Described) -> None:
    """Put each header that several operations take where they all refer to; one that must be there is another one."""
    times = Counter(_header(parameter) for parameter in _headers(described))
    for operation in _operations(described):
        operation["parameters"] = [
            _shared(described, "parameters", _header(each), each) if times[_header(each)] > 1 else each
            for each in operation.get("parameters", [])
        ]


def _headers(described: Described) -> Iterator[Described]:
    for operation in _operations(described):
        yield from (each for each in operation.get("parameters", []) if each["in"] == "header")


def _header(parameter: Described) -> str:
    return f"{parameter['name']}.required" if parameter["required"] else str(parameter["name"])


def _operations(described: Described) -> Iterator[Described]:
    for path in described["paths"].values():
        yield from path.values()


def _shared(described: Described, section: str, name: str, part: Described) -> Described:
    """A reference to a part, which stands in its section from now on."""
    there = described["components"].setdefault(section, {}).setdefault(name, part)
    assert there == part, f"{name}: one name in {section} means one thing"
    return {"$ref": f"#/components/{section}/{name}"}

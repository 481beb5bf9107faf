"""Problem documents (RFC 9457) as people read them: one line for each fault, with field, value and remedy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

PREFIX = "urn:gatehouse:problem:"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where, what was given there, and what would be right."""

    field: str
    value: str | None
    detail: str
    remedy: str

    def line(self) -> str:
        """The fault in one line."""
        return (
            f"{self.field or 'the request'}{f' = {self.value!r}' if self.value else ''}: {self.detail}; {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a service said no. `slug` is the stable name of the kind of problem, `facts` are what puts it right."""

    status: int
    slug: str
    detail: str
    facts: Mapping[str, str]
    faults: tuple[Fault, ...]
    correlation: str | None

    @property
    def not_found(self) -> bool:
        """Whether the service does not know what was asked for, or not yet."""
        return self.status == httpx2.codes.NOT_FOUND

    def lines(self) -> list[str]:
        """One line for each fault; one with the detail where the problem names none."""
        if self.faults:
            return [f"{self.slug}: {fault.line()}" for fault in self.faults]
        told = self.detail.rstrip(".")
        facts = ", ".join(f"{name}: {value}" for name, value in self.facts.items())
        return [f"{self.slug}: {told}{f' ({facts})' if facts else ''}"]

    def as_json(self) -> dict[str, Any]:
        """The problem for machines."""
        return {
            "problem": self.slug,
            "status": self.status,
            "detail": self.detail,
            "facts": dict(self.facts),
            "errors": [
                {"field": fault.field, "value": fault.value, "detail": fault.detail, "remedy": fault.remedy}
                for fault in self.faults
            ],
            "correlation": self.correlation,
        }


class Refused(Exception):
    """A service has answered no. `repeated` says that it was the stored answer to a command that came before."""

    def __init__(self, problem: Problem, *, service: str, repeated: bool = False) -> None:
        super().__init__("\n".join(problem.lines()))
        self.problem = problem
        self.service = service
        self.repeated = repeated


def problem_of(response: httpx2.Response) -> Problem:
    """The problem in an answer; whatever stands between us and the service may not speak in problem documents."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "detail" not in body:
        shown = "".join(character for character in response.text[:200] if character.isprintable())
        return Problem(response.status_code, "no-problem-document", shown or "no reason was given", {}, (), None)
    return Problem(
        status=response.status_code,
        slug=str(body.get("type", "about:blank")).removeprefix(PREFIX),
        detail=str(body["detail"]),
        facts={str(name): str(value) for name, value in (body.get("facts") or {}).items()},
        faults=tuple(_fault(each) for each in body.get("errors") or ()),
        correlation=body.get("correlation"),
    )


def _fault(error: Mapping[str, Any]) -> Fault:
    return Fault(
        field=str(error.get("pointer") or error.get("parameter") or ""),
        value=error.get("value"),
        detail=str(error.get("detail", "refused")),
        remedy=str(error.get("remedy", "correct it")),
    )

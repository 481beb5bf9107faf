"""Every way of saying no over HTTP: RFC 9457 problem documents with stable types."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import sqlalchemy.exc
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from govevents.catalogue import NewerThanReader
from govevents.document import DocumentRefused, canonical
from govkernel.domain import NotKnownYet, Refusal, ValueRefused
from govkernel.ledger import KeyReused, LedgerUnavailable, RefusalRecord, StaleVersion
from govkernel.postgres import UNAVAILABLE

MEDIA_TYPE: Final = "application/problem+json"
PREFIX: Final = "urn:gatehouse:problem:"


class InputError(BaseModel):
    """One thing that is wrong with a request, and what would be right."""

    pointer: str | None = Field(default=None, description="JSON Pointer into the request's body")
    parameter: str | None = Field(default=None, description="name of the header, path or query parameter")
    detail: str
    value: str | None = Field(default=None, description="what was given, shortened")
    remedy: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    correlation: str | None = None
    facts: dict[str, str] | None = Field(default=None, description="what the caller needs to put it right")
    errors: list[InputError] | None = None


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: its stable name, its status, and what it means."""

    slug: str
    status: int
    title: str

    @property
    def urn(self) -> str:
        """The type as problem documents carry it."""
        return PREFIX + self.slug


BODY_INVALID: Final = ProblemType(
    "invalid-input", 422, "The request holds what it may not, or lacks what it must have."
)
JSON_INVALID: Final = ProblemType("malformed-json", 400, "The body is not the JSON that it says it is.")
HEADER_INVALID: Final = ProblemType("malformed-header", 400, "A header or query parameter is malformed.")
TOKEN_MISSING: Final = ProblemType("not-authenticated", 401, "The request carries no token that is valid here.")
FORBIDDEN: Final = ProblemType("not-allowed", 403, "No role of the caller allows this here.")
NOT_FOUND: Final = ProblemType("not-found", 404, "There is nothing under this address.")
METHOD: Final = ProblemType("method-not-allowed", 405, "This address does not take this method.")
STALE: Final = ProblemType("stale-version", 412, "The caller has decided on a state that is no longer the newest.")
TOO_LARGE: Final = ProblemType("body-too-large", 413, "The body is larger than 256 KiB.")
MEDIA: Final = ProblemType("unsupported-media-type", 415, "The body is not declared as application/json.")
KEY_REUSED: Final = ProblemType("idempotency-key-reused", 422, "The idempotency key came before with another request.")
IF_MATCH_MISSING: Final = ProblemType(
    "if-match-required", 428, "The caller must say with If-Match which state it has seen."
)
NOT_CAUGHT_UP: Final = ProblemType("not-caught-up", 503, "The version asked for has not become visible here in time.")
UNAVAILABLE_HERE: Final = ProblemType(
    "unavailable", 503, "The service can't answer at the moment; send the same request again, with the same key."
)
UNEXPECTED: Final = ProblemType("unexpected", 500, "The service has failed; the correlation id finds it in the log.")


class Refused(Exception):
    """The edge's own no: a problem type, said of one request."""

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        errors: tuple[InputError, ...] = (),
        *,
        facts: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.errors = errors
        self.facts = facts or {}
        self.headers = headers or {}


def not_found(what: str, identifier: object) -> Refused:
    """Something that was asked for by its id does not exist here, or not yet."""
    return Refused(NOT_FOUND, f"there is no {what} {str(identifier)[:80]!r}; check the id, or ask again in a moment")


def invalid(errors: Iterable[InputError], problem: ProblemType = BODY_INVALID) -> Refused:
    """Bad input, every fault of it listed."""
    listed = tuple(errors)
    first = listed[0]
    place = first.pointer if first.pointer is not None else first.parameter
    shown = f" ({first.value})" if first.value is not None else ""
    more = f"; and {len(listed) - 1} more" if len(listed) > 1 else ""
    return Refused(problem, f"{place or 'body'}{shown}: {first.detail}; {first.remedy}{more}", listed)


def malformed_header(name: str, value: str, detail: str, remedy: str) -> Refused:
    """A header that can't be understood."""
    return invalid([InputError(parameter=name, detail=detail, value=shortened(value), remedy=remedy)], HEADER_INVALID)


def shortened(value: object) -> str:
    """A value as error messages show it: at most 80 characters, safe to print."""
    shown = value if isinstance(value, str) else str(value)
    return ascii(shown)[1:-1][:80] if not shown.isprintable() else shown[:80]


def _document(
    *,
    urn: str,
    title: str,
    status: int,
    detail: str,
    correlation: str,
    facts: Mapping[str, str] | None = None,
    errors: Iterable[InputError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": urn,
        "title": title,
        "status": status,
        "detail": detail,
        "correlation": correlation,
    }
    if facts:
        body["facts"] = dict(facts)
    listed = [error.model_dump(exclude_none=True) for error in errors]
    if listed:
        body["errors"] = listed
    return Response(canonical(body), status, headers, MEDIA_TYPE)


def refusal_response(record: RefusalRecord, status: int, correlation: str) -> Response:
    """The domain's no, as it was recorded."""
    return _document(
        urn=PREFIX + record.slug,
        title=record.title,
        status=status,
        detail=record.detail,
        correlation=correlation,
        facts=record.facts,
    )


def problem_response(refused: Refused, correlation: str) -> Response:
    """The edge's no."""
    return _document(
        urn=refused.problem.urn,
        title=refused.problem.title,
        status=refused.problem.status,
        detail=refused.detail,
        correlation=correlation,
        facts=refused.facts,
        errors=refused.errors,
        headers=refused.headers,
    )


EXPECTED: Final = (
    Refused,
    Refusal,
    ValueRefused,
    StaleVersion,
    KeyReused,
    LedgerUnavailable,
    DocumentRefused,
    HTTPException,
    RequestValidationError,
    sqlalchemy.exc.DBAPIError,
    sqlalchemy.exc.TimeoutError,
    *UNAVAILABLE,
)
"""What `response_for` may know an answer to; anything else is a fault of the program."""


def response_for(error: Exception, correlation: str) -> Response | None:
    """The problem document that says what an error means to the caller, or None where it is a fault of the program."""
    match error:
        case Refused():
            return problem_response(error, correlation)
        case Refusal():
            # A refusal outside of a command: nothing was recorded, and the service's API is not asked for a status.
            status = HTTPStatus.NOT_FOUND if isinstance(error, NotKnownYet) else HTTPStatus.CONFLICT
            return refusal_response(RefusalRecord.of(error), status, correlation)
        case ValueRefused():
            fault = InputError(
                pointer="/" + error.field,
                detail="the value is refused",
                value=shortened(error.value),
                remedy=error.remedy,
            )
            return problem_response(invalid([fault]), correlation)
        case StaleVersion():
            return problem_response(
                Refused(
                    STALE,
                    str(error),
                    facts={
                        "stream": str(error.stream),
                        "expected_version": str(error.expected),
                        "current_version": str(error.current),
                    },
                    headers={"ETag": f'"{error.current}"', "Gov-Version": f"{error.stream}@{error.current}"},
                ),
                correlation,
            )
        case KeyReused():
            return problem_response(Refused(KEY_REUSED, str(error)), correlation)
        case NewerThanReader():
            return problem_response(_away("a newer release has written what this replica can't read", 1), correlation)
        case DocumentRefused():
            return problem_response(Refused(BODY_INVALID, str(error)), correlation)
        case LedgerUnavailable():
            return problem_response(_away(error.reason, error.retry_after_s), correlation)
        case RequestValidationError():
            return problem_response(_parameters(error), correlation)
        case HTTPException(status_code=404):
            return problem_response(Refused(NOT_FOUND, "no operation has this address; see /openapi.json"), correlation)
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            return problem_response(
                Refused(METHOD, f"use {allowed or 'another method'}", headers=error.headers or {}), correlation
            )
        case HTTPException():
            kind = ProblemType("http-error", error.status_code, "The request can't be answered.")
            return problem_response(Refused(kind, str(error.detail)), correlation)
        case sqlalchemy.exc.TimeoutError():
            return problem_response(_away("every connection to the database is busy", 1), correlation)
        case sqlalchemy.exc.DBAPIError():
            cause = error.orig.__cause__ if error.orig is not None else None
            if error.connection_invalidated or isinstance(cause, UNAVAILABLE):
                return problem_response(_away("the database is away", 2), correlation)
            return None
        case _ if isinstance(error, UNAVAILABLE):
            return problem_response(_away(f"the database is away: {type(error).__name__}", 2), correlation)
        case _:
            return None


def _away(reason: str, retry_after_s: int) -> Refused:
    return Refused(
        UNAVAILABLE_HERE, f"{reason}; send the same request again", headers={"Retry-After": str(retry_after_s)}
    )


def _parameters(error: RequestValidationError) -> Refused:
    faults = []
    for each in error.errors():
        where, *names = each["loc"]
        name = ".".join(str(part) for part in names)
        fault = InputError(
            parameter=None if where == "body" else name,
            pointer="/" + "/".join(str(part) for part in names) if where == "body" else None,
            detail=str(each["msg"]),
            value=None if each["type"] == "missing" else shortened(each["input"]),
            remedy=f"correct it in the {where}",
        )
        faults.append(fault)
    return invalid(faults, BODY_INVALID)


def stopping(correlation: str) -> Response:
    """The answer to what a process that stops can't wait for any longer; whether it is done may be unknown."""
    return problem_response(_away("the service stops", 1), correlation)


def unexpected(correlation: str) -> Response:
    """The answer to a fault of the program: it says nothing of its inside."""
    return problem_response(Refused(UNEXPECTED, f"quote the correlation id {correlation} to an operator"), correlation)

"""A request as it came in, read once: for what is answered ahead of the framework."""

from typing import Self

import msgspec
from starlette.types import Receive, Scope


class Incoming(msgspec.Struct, frozen=True):
    """A request: where it goes, its headers, and the correlation and traceparent under which it is answered.

    `headers` has the first value of each by its name in lower case, `path` the parts of the address by their names.
    """

    method: str
    address: str
    path: dict[str, str]
    headers: dict[bytes, bytes]
    receive: Receive
    correlation: str
    traceparent: str

    @classmethod
    def of(cls, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Self:
        """The request of a scope that has been routed and given its correlation; `headers` are its `first_values`."""
        state = scope["state"]
        return cls(
            scope["method"],
            scope["path"],
            scope["path_params"],
            headers,
            receive,
            state["correlation"],
            state["traceparent"],
        )

    def header(self, name: bytes) -> str | None:
        """A header's first value; None where it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def first_values(scope: Scope) -> dict[bytes, bytes]:
    """The first value of each header."""
    return dict(reversed(scope["headers"]))

"""How a domain says no."""

import re
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Fact = TypeVar("Fact", bound="DataclassInstance")


class Refusal(Exception):
    """A command is refused, for a reason that has a name: the class's.

    A subclass's docstring says in one sentence why, and is what people read unless `detail` is more exact. `facts` are
    what the caller needs to put it right, as text by name. The domain gives no status; the edge does.
    """

    declared: ClassVar[list[type["Refusal"]]] = []

    def __init__(self, detail: str = "", **facts: str) -> None:
        self.detail = detail or self.title()
        self.facts = facts
        super().__init__(self.detail)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not (cls.__doc__ or "").strip():
            raise TypeError(f"{cls.__name__}: a refusal says in its docstring why")
        Refusal.declared.append(cls)

    @classmethod
    def title(cls) -> str:
        """The refusal in one sentence: the first line of its docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    @classmethod
    def slug(cls) -> str:
        """The refusal's stable name in problem documents, for example `submitter-may-not-vote`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()


class NotKnownYet(Refusal):
    """Something that the command speaks of has not become known here yet."""


def differences(was: Fact, now: Fact, *, besides: frozenset[str] = frozenset()) -> dict[str, str]:
    """By field, what two events of one class say differently, as facts of a refusal; `besides` are not compared."""
    return {
        field.name: f"{getattr(was, field.name)!s} on record, {getattr(now, field.name)!s} given"
        for field in fields(was)
        if field.name not in besides and getattr(was, field.name) != getattr(now, field.name)
    }

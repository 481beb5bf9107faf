"""How a domain says no."""

import re
from typing import ClassVar


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
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


class NotKnownYet(Refusal):
    """Something that the command speaks of has not become known here yet."""

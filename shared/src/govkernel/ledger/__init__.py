"""The ledger: a service's own events in its own PostgreSQL, appended under checked heads, never changed."""

from govkernel.ledger.append import AnsweredBefore, Append, Appended, Conflict, Head, RefusalRecord, append
from govkernel.ledger.errors import KeyReused, LedgerCorrupt, LedgerUnavailable, OfAnotherKind, StaleVersion
from govkernel.ledger.ledger import Answer, Context, Intent, Ledger
from govkernel.ledger.states import Loaded
from govkernel.ledger.timers import Timers

__all__ = [
    "Answer",
    "AnsweredBefore",
    "Append",
    "Appended",
    "Conflict",
    "Context",
    "Head",
    "Intent",
    "KeyReused",
    "Ledger",
    "LedgerCorrupt",
    "LedgerUnavailable",
    "Loaded",
    "OfAnotherKind",
    "RefusalRecord",
    "StaleVersion",
    "Timers",
    "append",
]

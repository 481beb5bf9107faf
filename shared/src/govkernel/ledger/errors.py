"""What can keep a ledger from answering a command. None of these leaves a row behind."""

from uuid import UUID

from govkernel.domain import NotKnownYet


class StaleVersion(Exception):
    """The caller decided on a state that is no longer the newest: somebody else won the race."""

    def __init__(self, stream: UUID, expected: int, current: int) -> None:
        super().__init__(
            f"{stream} is at version {current}, not {expected}: load it again and decide on what it says now"
        )
        self.stream = stream
        self.expected = expected
        self.current = current


class KeyReused(Exception):
    """An idempotency key was used before for another request."""

    def __init__(self, command: UUID) -> None:
        super().__init__("this idempotency key was used for another request: give every new request a key of its own")
        self.command = command


class OfAnotherKind(NotKnownYet):
    """Nothing of this kind is known under this id: what is there is something else."""


class LedgerUnavailable(Exception):
    """The ledger can take nothing at the moment; nothing was lost, the same command may come again."""

    def __init__(self, reason: str, *, retry_after_s: int = 2) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class LedgerCorrupt(Exception):
    """A stored document is not what its hash, its place or its predecessor says it is."""

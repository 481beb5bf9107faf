"""Coins of the mint: a topic without a ledger of ours, onto which anybody may write anything."""

from typing import Final

from govevents.event import event
from govevents.values import Code


@event("mint", version=1)
class CoinMinted:
    """The mint has made a coin."""

    serial: Code
    worth: int


EVENTS: Final = (CoinMinted,)

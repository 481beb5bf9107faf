"""What was played into a state folder's system: whoever starts it again is told, and need not play it all again."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from gov.client import Addresses, Client, Refused
from gov.demo.play import LEAD, PATIENCE_S, Played
from gov.runtime.state import State, write_atomically

TOLD_BY: Final = ("story.py", "play.py")


class _Record(msgspec.Struct):
    told: str
    played: Played


def remember(state: State, played: Played) -> None:
    """Keep that the story was played to its end, and what came of it."""
    write_atomically(state.demo_file, msgspec.json.encode(_Record(_told(), played)).decode())


async def remembered(state: State, addresses: Addresses) -> Played | None:
    """What this very story left in the system that answers at these addresses, or None where it must be played.

    Raises what `Client` raises.
    """
    try:
        record = msgspec.json.decode(state.demo_file.read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    if record.told != _told():
        return None
    async with Client(addresses, username=LEAD, patience_s=PATIENCE_S) as client:
        try:
            await client.query("approvals", f"/reviews/{record.played.waiting}")
        except Refused as refused:
            # The databases are not those that it was played into.
            if refused.problem.not_found:
                return None
            raise
    return replace(record.played, commands=0)


def _told() -> str:
    """The story and how it is told, as a digest: another story is played, whatever was played before."""
    return sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in TOLD_BY)).hexdigest()

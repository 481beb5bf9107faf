"""The people of the demonstration, read from the file beside this module."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can ask for a token, by a username alone."""

    username: str
    sub: str
    name: str
    about: str
    administrator: bool


def accounts() -> dict[str, Account]:
    """Every account by its username. Raises ValueError where two share a `sub`, or one is no UUID."""
    text = resources.files("gov.issuer").joinpath("people.toml").read_text(encoding="utf-8")
    found = {
        username: Account(
            username, str(UUID(said["sub"])), said["name"], said["about"], bool(said.get("administrator", False))
        )
        for username, said in tomllib.loads(text).items()
    }
    if len({account.sub for account in found.values()}) != len(found):
        raise ValueError("people.toml: two accounts have the same sub")
    return found

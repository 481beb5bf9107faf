"""The read models over jars, tallies and the mint, each row fed by one stream."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from tests.faults import jars, mint, tallies

from govevents.document import Recorded
from govevents.values import value
from govkernel.readmodels import ReadModel


@value
class JarRow:
    """A jar as it stands."""

    limit: int
    policy: UUID
    coins: int = 0
    total: int = 0
    last: str = ""
    rung: int = 0
    rewards: int = 0


def fold_jars(rows: Mapping[str, JarRow], recorded: Recorded[Any]) -> Mapping[str, JarRow]:
    """A jar is a row from its opening to its closing."""
    key = str(recorded.envelope.stream)
    row = rows.get(key)
    match recorded.event:
        case jars.JarOpened(limit=limit, policy=policy):
            return {key: JarRow(limit, policy)}
        case jars.CoinAdded(by=by, amount=amount) if row is not None:
            return {key: replace(row, coins=row.coins + 1, total=row.total + amount, last=by)}
        case jars.JarRang() if row is not None:
            return {key: replace(row, rung=row.rung + 1)}
        case jars.JarRewarded() if row is not None:
            return {key: replace(row, rewards=row.rewards + 1)}
        case jars.JarClosed():
            return {}
        case _:
            return rows


@value
class TallyRow:
    """How much was counted of a jar."""

    jar: UUID
    number: int
    causes: tuple[str, ...] = ()


def fold_tallies(rows: Mapping[str, TallyRow], recorded: Recorded[Any]) -> Mapping[str, TallyRow]:
    """A tally is a row."""
    key = str(recorded.envelope.stream)
    match recorded.event:
        case tallies.TallyOpened(jar=jar):
            return {key: TallyRow(jar, 0)}
        case tallies.CoinCounted(cause=cause, number=number):
            row = rows[key]
            return {key: replace(row, number=number, causes=(*row.causes, cause))}
        case _:
            return rows


@value
class MintRow:
    """What the mint has made under one stream."""

    coins: int
    worth: int
    last: str


def fold_mint(rows: Mapping[str, MintRow], recorded: Recorded[Any]) -> Mapping[str, MintRow]:
    """A stream of the mint is a row; a worth below zero is nothing that a fold can take."""
    key = str(recorded.envelope.stream)
    coined: mint.CoinMinted = recorded.event
    if coined.worth < 0:
        raise ValueError(f"{coined.serial}: worth {coined.worth}")
    before = rows.get(key, MintRow(0, 0, ""))
    return {key: MintRow(before.coins + 1, before.worth + coined.worth, coined.serial)}


def jar_board(service: str) -> ReadModel[Any]:
    """The jars of a service of that name."""
    return ReadModel(
        name="jar_board",
        service=service,
        version=1,
        row=JarRow,
        events=(jars.JarOpened, jars.CoinAdded, jars.JarClosed, jars.JarRang, jars.JarRewarded),
        evolve=fold_jars,
    )


def tally_board(service: str) -> ReadModel[Any]:
    """The tallies of a service of that name."""
    return ReadModel(
        name="tally_board",
        service=service,
        version=1,
        row=TallyRow,
        events=(tallies.TallyOpened, tallies.CoinCounted),
        evolve=fold_tallies,
    )


def mint_board(service: str) -> ReadModel[Any]:
    """The coins of a mint of that name."""
    return ReadModel(
        name="mint_board", service=service, version=1, row=MintRow, events=(mint.CoinMinted,), evolve=fold_mint
    )

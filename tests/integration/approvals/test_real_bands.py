"""Whose decision a real project is, asked over HTTP at both ends of each band of a real table."""

import csv
from decimal import Decimal

from tests.integration.approvals.room import Room
from tests.support.portfolios import MELBOURNE, needs_portfolios
from tests.support.services import done
from tests.unit.approvals.test_real_bands import BOUNDS

pytestmark = needs_portfolios


async def test_the_least_and_the_greatest_value_of_each_body_are_its_decision(room: Room) -> None:
    pmo = await room.as_("pia")
    bands = []
    for name, upper in BOUNDS:
        formed = done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": name}), 201)
        limit = None if upper is None else {"amount": upper, "currency": "AUD"}
        bands.append({"body": formed["stream"], "upper": limit, "inclusive": False})
    done(await pmo.post("/value-bands", json={"portfolio": room.portfolio, "bands": bands}))
    values: dict[str, list[str]] = {}
    with MELBOURNE.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            values.setdefault(row["Approval body"], []).append(row["FFC"])
    assert set(values) == {name for name, _ in BOUNDS}
    for name, decided in values.items():
        for value in (min(decided, key=Decimal), max(decided, key=Decimal)):
            asked = {"amount": value, "currency": "AUD"}
            answer = await pmo.get(f"/value-bands/{room.portfolio}/decisions", params=asked)
            assert (value, done(answer)["name"]) == (value, name)

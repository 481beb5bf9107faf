"""Lists that come in pages are read to their end."""

from typing import Any

import httpx2

from gov.client import Addresses, Client
from gov.client.addresses import SERVICES

PAGES: dict[str | None, dict[str, Any]] = {
    None: {"as_of": None, "rows": [1, 2], "next": "b"},
    "b": {"as_of": None, "rows": [3], "next": "c"},
    "c": {"as_of": None, "rows": [], "next": None},
}


async def test_rows_of_all_pages_come_as_one_answer() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(dict(request.url.params))
        return httpx2.Response(200, json=PAGES[request.url.params.get("cursor")])

    addresses = Addresses({name: f"http://{name}.example" for name in SERVICES})
    async with Client(addresses, token="a-token", transport=httpx2.MockTransport(answer)) as client:
        found = await client.whole("projections", "/decisions", {"gate": "G1", "node": None})
    assert found == {"as_of": None, "rows": [1, 2, 3], "next": None}
    assert [each.get("cursor") for each in asked] == [None, "b", "c"]
    assert all(each["gate"] == "G1" and "node" not in each for each in asked)

"""The fund in the words of the package eventsourcing, with its PostgreSQL module: a program of an environment of its own.

`python -m tests.benchmarks.eventsourcing_peer` reads an errand as JSON from its standard input and prints what was done.
It imports nothing of Gatehouse, for none of it is there.
"""

import json
import sys
import threading
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application  # type: ignore[import-not-found]
from eventsourcing.domain import Aggregate, event  # type: ignore[import-not-found]

WARM_UP_S = 0.5


class FundExhausted(Exception):
    """The fund does not hold as much."""


class Fund(Aggregate):  # type: ignore[misc]
    @event("Opened")
    def __init__(self, limit_minor: int, name: str) -> None:
        self.limit_minor = limit_minor
        self.name = name
        self.drawn_minor = 0

    def draw(self, amount_minor: int, purpose: str) -> None:
        if self.drawn_minor + amount_minor > self.limit_minor:
            raise FundExhausted
        self._drawn(amount_minor=amount_minor, purpose=purpose)

    @event("Drawn")
    def _drawn(self, amount_minor: int, purpose: str) -> None:
        self.drawn_minor += amount_minor


class Funds(Application):  # type: ignore[misc]
    def open(self, limit_minor: int, name: str, draws: int, purpose: str) -> UUID:
        fund = Fund(limit_minor, name)
        for _ in range(draws):
            fund.draw(1, purpose)
        self.save(fund)
        identity: UUID = fund.id
        return identity

    def draw(self, identity: UUID, amount_minor: int, purpose: str) -> None:
        fund = self.repository.get(identity)
        fund.draw(amount_minor, purpose)
        self.save(fund)


def application(url: str, threads: int, streams: int) -> Funds:
    """The application at its fastest: a connection for each thread, and aggregates remembered without a second look."""
    address = urlsplit(url)
    return Funds(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": address.path[1:],
            "POSTGRES_HOST": address.hostname or "",
            "POSTGRES_PORT": str(address.port),
            "POSTGRES_USER": address.username or "",
            "POSTGRES_PASSWORD": address.password or "",
            "POSTGRES_POOL_SIZE": str(threads),
            "POSTGRES_MAX_OVERFLOW": "10",
            "POSTGRES_MAX_WAITING": "0",
            "AGGREGATE_CACHE_MAXSIZE": str(streams),
            "AGGREGATE_CACHE_FASTFORWARD": "n",
        }
    )


def opened(errand: dict[str, Any]) -> dict[str, Any]:
    """Open funds that have a history."""
    app = application(errand["url"], 8, 1)
    found = [
        str(app.open(errand["limit_minor"], "Mains", errand["draws"], errand["purpose"])) for _ in range(errand["open"])
    ]
    app.close()
    return {"funds": found}


def drawn(errand: dict[str, Any]) -> dict[str, Any]:
    """Draw for so long, each thread from funds of its own; draws a second, and all in all."""
    threads, funds, purpose = errand["threads"], [UUID(fund) for fund in errand["funds"]], errand["purpose"]
    app = application(errand["url"], threads, len(funds))
    counts, all_in_all, faults = [0] * threads, [0] * threads, []
    counts_from = perf_counter() + WARM_UP_S
    until = counts_from + errand["seconds"]

    def draw(number: int) -> None:
        mine = funds[number::threads]
        try:
            while perf_counter() < until:
                app.draw(mine[all_in_all[number] % len(mine)], 1, purpose)
                all_in_all[number] += 1
                counts[number] += counts_from <= perf_counter() <= until
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")

    workers = [threading.Thread(target=draw, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    app.close()
    return {"per_second": sum(counts) / errand["seconds"], "drawn": sum(all_in_all), "faults": faults}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump(opened(given) if "open" in given else drawn(given), sys.stdout)

"""Which faults come when: decided by the seed alone, before anything runs. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

CALM_S: Final = 6.0
"""How long everything is left alone at the beginning, to see what is usual."""

SHORTEST_GAP_S: Final = 1.0
LONGEST_GAP_S: Final = 3.5


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to be broken: `at` seconds from the load's beginning, healed `lasts` seconds later.

    `kind` says what is done, `target` to whom; `amount` is how much of it, in what the kind counts in.
    """

    number: int
    at: float
    lasts: float
    kind: str
    target: str
    amount: float = 0.0

    @property
    def until(self) -> float:
        """When it is healed."""
        return self.at + self.lasts


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how often it is drawn, on what, how long it lasts, and what else can't be broken meanwhile.

    Faults that share a word of `alone` never overlap: two brokers of three that are away are no fault, but an outage.
    """

    name: str
    weight: int
    targets: tuple[str, ...]
    shortest_s: float
    longest_s: float
    alone: str = ""
    largest: float = 0.0


def kinds(replicas: Sequence[str], joining: str, brokers: int) -> tuple[Kind, ...]:
    """Every kind of fault, for these replicas and so many brokers."""
    numbers = tuple(str(number) for number in range(1, brokers + 1))
    links = tuple(f"{replica}/{link}" for replica in replicas for link in ("api", "postgres", "kafka"))
    peers = tuple(f"{end}-{number}" for end in ("broker", "controller") for number in numbers)
    return (
        Kind("kill replica", 6, tuple(replicas), 0.5, 3.0, "replica"),
        Kind("stop replica", 5, tuple(replicas), 2.0, 12.0, "replica"),
        Kind("kill broker", 3, numbers, 1.0, 5.0, "broker"),
        Kind("stop broker", 2, numbers, 3.0, 10.0, "broker"),
        Kind("kill postgres", 2, ("postgres",), 0.2, 3.0, "postgres"),
        Kind("stop postgres", 2, ("postgres",), 1.0, 7.0, "postgres"),
        Kind("cut link", 4, links, 1.0, 6.0),
        Kind("half-open link", 4, links, 2.0, 8.0),
        Kind("hold link", 4, links, 1.0, 8.0),
        Kind("slow link", 4, links, 2.0, 8.0),
        Kind("reset link", 4, links, 0.0, 0.0),
        Kind("cut peer", 1, peers, 2.0, 6.0, "broker"),
        Kind("hold peer", 1, peers, 2.0, 6.0, "broker"),
        Kind("member joins", 2, (joining,), 6.0, 12.0, "member"),
        Kind("crash replica", 6, tuple(replicas), 8.0, 14.0, "replica"),
        Kind("clock off", 2, tuple(replicas), 8.0, 15.0, "replica", largest=8.0),
        Kind("clock off by days", 1, tuple(replicas), 8.0, 15.0, "replica", largest=300_000.0),
        Kind("inject", 12, ("mint", "jars", "tallies"), 0.0, 0.0),
        Kind("rebuild", 1, ("jar_board", "mint_board", "tally_board"), 0.0, 0.0, "rebuild"),
    )


def schedule(
    seed: int, seconds: float, choice: Sequence[Kind], *, calm_s: float = CALM_S, more_of: Collection[str] = ()
) -> tuple[Fault, ...]:
    """The faults of a run of so many seconds, in the order of their beginnings; all are healed when it ends.

    `more_of` are kinds that are drawn six times as often as usual.
    """
    random = Random(seed)
    weights = [each.weight * (6 if each.name in more_of else 1) for each in choice]
    faults: list[Fault] = []
    at = calm_s
    while at < seconds:
        kind = random.choices(choice, weights)[0]
        target = random.choice(kind.targets)
        lasts = min(random.uniform(kind.shortest_s, kind.longest_s), max(0.0, seconds - at))
        amount = random.choice((-1, 1)) * random.uniform(0.5, kind.largest) if kind.largest else random.random()
        busy = any(
            fault.until > at and (_alone(choice, fault) == kind.alone != "" or fault.target == target)
            for fault in faults
        )
        if not busy:
            faults.append(Fault(len(faults) + 1, at, lasts, kind.name, target, amount))
        at += random.uniform(SHORTEST_GAP_S, LONGEST_GAP_S) if not busy else 0.25
    return tuple(faults)


def _alone(choice: Sequence[Kind], fault: Fault) -> str:
    return next(kind.alone for kind in choice if kind.name == fault.kind)

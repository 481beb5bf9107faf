"""The jar as a later release has it: the adding of a coin has a second version, which also says what the coin is worth."""

from typing import Final

from tests.integration.kernel import jar

from govevents.catalogue import Catalogue
from govevents.event import event
from govevents.values import Code
from govkernel.domain import Aggregate


@event("testing", version=2)
class CoinAdded:
    """A coin of some worth lies in the jar."""

    by: Code
    worth: int


Event = jar.JarOpened | CoinAdded | jar.JarClosed


def decide(command: jar.Command, state: jar.Jar) -> tuple[Event, ...]:
    return tuple(
        CoinAdded(decided.by, worth=1) if isinstance(decided, jar.CoinAdded) else decided
        for decided in jar.decide(command, state)
    )


def evolve(state: jar.Jar, happened: Event) -> jar.Jar:
    return jar.evolve(state, jar.CoinAdded(happened.by) if isinstance(happened, CoinAdded) else happened)


JAR: Final = Aggregate("jar", jar.Jar(), decide, evolve, relied_on=True)
CATALOGUE: Final = Catalogue.of(
    [jar.JarOpened, CoinAdded, jar.JarClosed],
    {("testing.CoinAdded", 1): lambda data: {**data, "worth": 1}},
)

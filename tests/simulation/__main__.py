"""`python -m tests.simulation`: play seeds of the simulation, and judge each.

`SIM_SEEDS` (1000) are played from `SIM_SEED` (random) on. One seed alone is told with what the kernel logs, and when.
`SIM_BUGS` (a name, several with commas, or `all`) plants bugs instead, each with up to `SIM_SEEDS` seeds, and fails where
one is not caught.
"""

import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from time import process_time

from tests.simulation.bugs import BUGS, seeds_until_caught
from tests.simulation.loop import process
from tests.simulation.world import World


def play(seeds: Sequence[int]) -> int:
    """Play seeds; 0 where no rule was broken."""
    began_s, broken, counted = process_time(), 0, Counter[str]()
    for seed in seeds:
        result = World(seed).play()
        counted.update({what.partition(" at ")[0]: number for what, number in result.counted.items()})
        if result.findings:
            broken += 1
            print(f"seed {seed}: SIM_SEEDS=1 SIM_SEED={seed} make simulate")
            for finding in result.findings[:5]:
                print(f"  {finding.rule}: {finding.text[:400]}", flush=True)
    took_s = process_time() - began_s
    print(
        f"{len(seeds)} seeds from {seeds[0]} on, {len(seeds) / took_s:.1f} a second of one processor: {broken} broken"
    )
    print(", ".join(f"{what} {number}" for what, number in counted.most_common()))
    return 1 if broken else 0


def tell(seed: int) -> int:
    """Play one seed, and tell what happens."""
    world = World(seed)

    class Told(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{world.loop.time():9.3f} s  {process() or 'servers'!s:12} {record.getMessage()}"

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Told())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    result = world.play()
    for finding in result.findings:
        print(f"{finding.rule}: {finding.text}")
    print(f"seed {seed}: {result.seconds:.1f} s, {result.steps} steps, {dict(result.counted)}, trace {result.trace}")
    return 1 if result.findings else 0


def plant(names: Sequence[str], *, seeds: int) -> int:
    """Plant each bug with one seed after the other, until it is caught; 0 where all were."""
    uncaught = []
    for name in names:
        caught, rules = seeds_until_caught(BUGS[name], seeds=seeds)
        said = f"caught with seed {caught}: {', '.join(rules)}" if caught else f"NOT CAUGHT in {seeds} seeds"
        print(f"{name:28} {said}", flush=True)
        if caught is None:
            uncaught.append(name)
    print(f"{len(names) - len(uncaught)} of {len(names)} bugs caught")
    return 1 if uncaught else 0


def main() -> int:
    """What the environment asks for."""
    number = int(os.environ.get("SIM_SEEDS") or 1000)
    seed = int(os.environ.get("SIM_SEED") or secrets.randbelow(10**9))
    if bugs := os.environ.get("SIM_BUGS"):
        logging.disable(logging.CRITICAL)
        return plant(list(BUGS) if bugs == "all" else [each.strip() for each in bugs.split(",")], seeds=number)
    if number == 1:
        return tell(seed)
    # What the kernel warns of is what is done to it here.
    logging.disable(logging.CRITICAL)
    return play(range(seed, seed + number))


if __name__ == "__main__":
    sys.exit(main())

"""One replica of one service as a process of its own: `python -m tests.faults.worker`, told by `FAULTS_WORKER`."""

import os
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from tests.faults.bugs import Planted, planted
from tests.faults.crash import Crash, crashing
from tests.faults.services import Names, jars_service, tallies_service

from govkernel.processes import ServiceDefinition, Wiring, run
from govkernel.processes.process import utc_now

VARIABLE = "FAULTS_WORKER"

Kind = Literal["jars", "tallies"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker is told: which service of which round it is, how far its clock is off, and what is wrong with it.

    `crash` is where it dies by itself.
    """

    kind: Kind
    round: str
    clock_offset_s: float = 0.0
    bug: str | None = None
    crash: Crash | None = None


def definition_of(kind: Kind, names: Names) -> ServiceDefinition:
    """The service that a worker is a replica of."""
    return jars_service(names) if kind == "jars" else tallies_service(names)


def wiring_of(clock_offset_s: float) -> Wiring:
    """What a sound worker's process is made with, but for its clock."""
    offset = timedelta(seconds=clock_offset_s)

    def clock() -> datetime:
        return utc_now() + offset

    return Wiring(clock=clock)


def main() -> int:
    """Work until told to stop."""
    told = msgspec.json.decode(os.environ[VARIABLE], type=Told)
    names = Names.of(told.round)
    sound = Planted(definition_of(told.kind, names), wiring_of(told.clock_offset_s), names)
    made = planted(told.bug, sound)
    wiring = made.wiring if told.crash is None else crashing(made.wiring, told.crash)
    return run(made.definition, sys.argv[1:], wiring=wiring)


if __name__ == "__main__":
    sys.exit(main())

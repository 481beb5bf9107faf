"""`python -m projections api | relay | consumer | migrate | all | openapi`."""

import sys

from govkernel.processes import run
from projections.entrypoints.processes import PROJECTIONS

if __name__ == "__main__":
    sys.exit(run(PROJECTIONS, sys.argv[1:]))

"""`python -m reporting api | relay | consumer | migrate | all | openapi`."""

import sys

from govkernel.processes import run
from reporting.entrypoints.processes import REPORTING

if __name__ == "__main__":
    sys.exit(run(REPORTING, sys.argv[1:]))

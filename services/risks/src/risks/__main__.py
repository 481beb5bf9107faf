"""`python -m risks api | relay | consumer | migrate | all | openapi`."""

import sys

from govkernel.processes import run
from risks.entrypoints.processes import RISKS

if __name__ == "__main__":
    sys.exit(run(RISKS, sys.argv[1:]))

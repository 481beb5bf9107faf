"""`python -m approvals api | relay | consumer | migrate | all | openapi`."""

import sys

from approvals.entrypoints.processes import APPROVALS
from govkernel.processes import run

if __name__ == "__main__":
    sys.exit(run(APPROVALS, sys.argv[1:]))

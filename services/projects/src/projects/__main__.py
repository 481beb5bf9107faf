"""`python -m projects api | relay | consumer | migrate | all | openapi`."""

import sys

from govkernel.processes import run
from projects.entrypoints.processes import PROJECTS

if __name__ == "__main__":
    sys.exit(run(PROJECTS, sys.argv[1:]))

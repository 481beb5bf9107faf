"""A short run by a fixed seed; `make faults` runs longer, and by other seeds.

The seed's 20 s have most of what matters: a replica killed, one that crashes at a chosen line, a broker killed,
PostgreSQL killed, links that go half open, brokers that don't hear each other, and poison on a topic.
"""

import os
import subprocess
import sys

from tests.faults.servers import CHECKOUT

SEED = "276"
SECONDS = "20"
WITHIN_S = 280


def test_what_is_left_after_a_short_run_of_faults_contradicts_no_rule() -> None:
    # In a process of its own: what it starts has to end with it, however it ends.
    run = subprocess.run(
        [sys.executable, "-m", "tests.faults"],
        cwd=CHECKOUT,
        env={**os.environ, "FAULT_SEED": SEED, "FAULT_SECONDS": SECONDS, "FAULT_BUGS": "", "FAULT_MORE_OF": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr

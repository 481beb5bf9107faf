"""`python -m tests.faults`: break real processes by a seed, heal them, and judge what is left.

`FAULT_SECONDS` (60) and `FAULT_SEED` (random) set length and run. `FAULT_BUGS` (a name, several with commas, or `all`)
plants bugs instead, one after the other, each with up to `FAULT_BUG_SEEDS` (5) seeds of `FAULT_BUG_SECONDS` (20), and
fails where one is not caught.
"""

import asyncio
import json
import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from tests.faults import report
from tests.faults.round import Plan, play
from tests.faults.servers import Servers


async def run_seed(plan: Plan) -> int:
    """One run on servers of its own; 0 where nothing was found. What was kept is printed."""
    print(f"seed {plan.seed}, {plan.seconds:.0f} s", flush=True)
    servers = Servers()
    try:
        async with servers:
            result = await play(servers, plan, servers.folder, "1")
    except BaseException:
        print(f"kept: {servers.folder}", flush=True)
        raise
    made = report.of(result)
    print(report.text(made))
    _write(made, Path("build"), servers.folder)
    if result.findings:
        print(f"kept: {servers.folder}")
        return 1
    servers.forget()
    return 0


def _write(made: dict[str, Any], *folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "faults.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")


def main() -> int:
    """Run as the environment says."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seconds = float(os.environ.get("FAULT_SECONDS") or 60)
    seed = int(os.environ.get("FAULT_SEED") or secrets.randbelow(10**6))
    return asyncio.run(run_seed(Plan(seed, seconds)))


if __name__ == "__main__":
    sys.exit(main())

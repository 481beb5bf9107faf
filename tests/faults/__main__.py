"""`python -m tests.faults`: break real processes by a seed, heal them, and judge what is left.

`FAULT_SECONDS` (60) and `FAULT_SEED` (random) set length and run; `FAULT_ROUNDS` (1) are played by successive seeds, each on
fresh databases and topics. `FAULT_BUGS` (a name, several with commas, or `all`)
plants bugs instead, one after the other, each with up to `FAULT_BUG_SEEDS` (5) seeds, and fails where one is not caught. `FAULT_MORE_OF` names kinds of faults, with commas, that are to come more often.
"""

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.faults import report
from tests.faults.bugs import BUGS
from tests.faults.round import Plan, play
from tests.faults.servers import Servers

BUGS_SETTLE_S: Final = 60.0
"""How long a round with a bug may take to come to rest: with some bugs it never does."""


async def run_bugs(names: Sequence[str], *, seeds: int) -> int:
    """Plant each bug with one seed after the other, until it is caught; 0 where all were, with how many it took."""
    uncaught: list[str] = []
    rows: list[dict[str, Any]] = []
    servers = Servers()
    async with servers:
        for number, name in enumerate(names, start=1):
            caught, rules = await _seeds_until_caught(servers, name, f"b{number}s", seeds=seeds)
            rows.append({"bug": name, "what": BUGS[name].what, "seeds": caught, "rules": rules})
            if caught is None:
                uncaught.append(name)
            said = f"caught with seed {caught}: {', '.join(rules)}" if caught else f"NOT CAUGHT in {seeds} seeds"
            print(f"{name:28} {said}", flush=True)
    _write("faults-bugs.json", rows, Path("build"), servers.folder)
    print(
        f"{len(names) - len(uncaught)} of {len(names)} bugs caught" + "".join(f"\n  not: {each}" for each in uncaught)
    )
    return 1 if uncaught else 0


async def _seeds_until_caught(servers: Servers, name: str, round_: str, *, seeds: int) -> tuple[int | None, list[str]]:
    for seed in range(1, seeds + 1):
        folder = servers.folder / f"{round_}{seed}"
        folder.mkdir()
        bug = BUGS[name]
        plan = Plan(
            seed,
            bug.seconds,
            name,
            settle_s=BUGS_SETTLE_S,
            calm_s=2.0 if bug.helped_by else 8.0,
            more_of=bug.helped_by,
            pause_s=0.02,
        )
        try:
            result = await play(servers, plan, folder, f"{round_}{seed}")
        finally:
            await servers.end_round()
        _write("faults.json", report.of(result), folder)
        if result.findings:
            return seed, sorted({finding.rule for finding in result.findings})
    return None, []


async def run_rounds(seed: int, rounds: int, *, seconds: float, more_of: tuple[str, ...]) -> int:
    """So many rounds by successive seeds, on the same servers; 0 where nothing was found. What was kept is printed."""
    made: list[dict[str, Any]] = []
    servers = Servers()
    try:
        async with servers:
            for number in range(1, rounds + 1):
                plan = Plan(seed + number - 1, seconds, more_of=more_of)
                print(f"seed {plan.seed}, {seconds:.0f} s", flush=True)
                folder = servers.folder / f"round-{number}"
                folder.mkdir()
                made.append(report.of(await play(servers, plan, folder, str(number))))
                print(report.text(made[-1]), flush=True)
                _write("faults.json", made, Path("build"), servers.folder)
                await servers.end_round(forget=not made[-1]["findings"])
    except BaseException:
        print(f"kept: {servers.folder}", flush=True)
        raise
    if rounds > 1:
        print(report.text_of_all(made))
    if any(each["findings"] for each in made):
        print(f"kept: {servers.folder}")
        return 1
    servers.forget()
    return 0


def _write(name: str, made: object, *folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(made, indent=2) + "\n", "utf-8")


def main() -> int:
    """Run as the environment says."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    wanted = os.environ.get("FAULT_BUGS", "")
    if wanted:
        names = list(BUGS) if wanted == "all" else [name.strip() for name in wanted.split(",")]
        if unknown := [name for name in names if name not in BUGS]:
            print(f"FAULT_BUGS: {unknown[0]!r} is no bug; give all, or of these: {', '.join(BUGS)}", file=sys.stderr)
            return 2
        return asyncio.run(run_bugs(names, seeds=int(_number("FAULT_BUG_SEEDS", 5))))
    seed = int(_number("FAULT_SEED", secrets.randbelow(10**6)))
    more_of = tuple(filter(None, os.environ.get("FAULT_MORE_OF", "").split(",")))
    rounds, seconds = int(_number("FAULT_ROUNDS", 1)), _number("FAULT_SECONDS", 60)
    return asyncio.run(run_rounds(seed, rounds, seconds=seconds, more_of=more_of))


def _number(variable: str, default: float) -> float:
    return float(os.environ.get(variable) or default)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

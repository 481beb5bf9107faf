"""`python -m tests.mutation`: change a domain's source in small ways, one at a time, and see whether its tests notice.

`MUTANTS` (500) are drawn by `MUTANT_SEED` (1) from all changes of the domain of `MUTANT_SERVICE` (approvals), or of
`MUTANT_MODULE` of it alone. The report is `build/mutants.json`. Fails where fewer than 85 of 100 are noticed, or where
one is not that `explained.toml` says nothing about.
"""

import importlib
import json
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from enum import EnumMeta
from pathlib import Path
from random import Random
from time import monotonic
from typing import Final

from tests.mutation.mutants import Mutant, mutants_of, mutated
from tests.mutation.trial import try_all

ROOT: Final = Path(__file__).parents[2]
ENOUGH: Final = 0.85
EXPLAINED: Final = Path(__file__).with_name("explained.toml")
JOBS: Final = int(os.environ.get("MUTANT_JOBS", "2"))
LIVES: Final = "lives"


def tests_of(service: str, module: str) -> list[Path]:
    """The unit tests that are named after a module, and then those that live random lives with it."""
    folder = ROOT / "tests/unit" / service
    imports = (f"from {service}.domain.{module} import", f"from {service}.domain import {module}")
    lives = [
        each for each in folder.glob(f"test_*{LIVES}*.py") if any(text in each.read_text("utf-8") for text in imports)
    ]
    own = [each for each in folder.glob(f"test_{module}*.py") if each not in lives]
    return [*sorted(own), *sorted(lives)]


def members_of(service: str) -> dict[str, list[str]]:
    """The enumerations of a service's events, and their members."""
    events = importlib.import_module(f"govevents.{service}")
    return {name: list(each.__members__) for name, each in vars(events).items() if isinstance(each, EnumMeta)}


def explanations() -> dict[tuple[str, str, str], str]:
    """Why mutants are not noticed, by module, function and change."""
    told = tomllib.loads(EXPLAINED.read_text("utf-8"))["mutant"]
    return {(each["module"], each["function"], each["what"]): each["why"] for each in told}


def report(verdicts: Sequence[tuple[Mutant, bool]], why: Mapping[tuple[str, str, str], str]) -> int:
    """Write and print what was found; 0 where enough was noticed, and the rest is explained."""
    survivors = [mutant for mutant, killed in verdicts if not killed]
    rows = [
        {
            "module": mutant.module,
            "function": mutant.function,
            "line": mutant.line,
            "what": mutant.what,
            "noticed": killed,
            "why": why.get((mutant.module, mutant.function, mutant.what)) if not killed else None,
        }
        for mutant, killed in verdicts
    ]
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build/mutants.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    unexplained = 0
    for mutant in survivors:
        reason = why.get((mutant.module, mutant.function, mutant.what))
        unexplained += reason is None
        print(f"{mutant.module}.py:{mutant.line} {mutant.function}: {mutant.what}\n    {reason or 'NOT EXPLAINED'}")
    killed = len(verdicts) - len(survivors)
    print(f"{killed} of {len(verdicts)} mutants noticed ({killed / len(verdicts):.1%}), {unexplained} not explained")
    return 0 if killed >= ENOUGH * len(verdicts) and not unexplained else 1


def main() -> int:
    """Draw the mutants, try each, and report."""
    service, only = os.environ.get("MUTANT_SERVICE", "approvals"), os.environ.get("MUTANT_MODULE")
    wanted, seed = int(os.environ.get("MUTANTS", "500")), int(os.environ.get("MUTANT_SEED", "1"))
    domain = ROOT / "services" / service / "src" / service / "domain"
    members = members_of(service)
    sources = {path.stem: path.read_text("utf-8") for path in sorted(domain.glob("*.py")) if only in (None, path.stem)}
    every = [mutant for module, source in sources.items() for mutant in mutants_of(module, source, members)]
    drawn = Random(seed).sample(every, min(wanted, len(every)))
    print(f"{len(drawn)} of {len(every)} mutants of {service}, by seed {seed}", flush=True)
    began, verdicts = monotonic(), list[tuple[Mutant, bool]]()

    def told(mutant: Mutant, noticed: bool) -> None:
        verdicts.append((mutant, noticed))
        if not noticed:
            print(f"{mutant.module}.py:{mutant.line} {mutant.what}", flush=True)
        if len(verdicts) % 25 == 0:
            print(f"  {len(verdicts)} tried in {monotonic() - began:.0f} s", flush=True)

    for module, source in sources.items():
        trials = [(each, mutated(source, each, members)) for each in drawn if each.module == module]
        if trials:
            try_all(f"{service}.domain.{module}", tests_of(service, module), trials, JOBS, told)
    return report(verdicts, explanations())


if __name__ == "__main__":
    sys.exit(main())

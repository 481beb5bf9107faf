"""`python -m govevents generate | check`: write what is published beside the code, or say what is wrong with it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from govevents.published import FOLDER, Published


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m govevents", description=__doc__)
    parser.add_argument("action", choices=["generate", "check"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where schemas, samples and asyncapi.yaml lie")
    parser.add_argument(
        "--unreleased",
        metavar="TYPE",
        nargs="+",
        default=[],
        help="with generate: events that no ledger has yet, whose schema and sample may be written anew",
    )
    given = parser.parse_args(arguments)
    published = Published(given.folder)
    if given.action == "generate":
        for name in published.generate(given.unreleased):
            sys.stdout.write(f"wrote {name}\n")
    found = published.check()
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""`scripts/bench`: measure and print a table."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.measures import MEASURES


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "measures", nargs="*", help=f"some of: {', '.join(MEASURES)}; all when left out"
    )
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="in the large log (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a large log of 20,000")
    options = parser.parse_args()
    unknown = set(options.measures) - set(MEASURES)
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    messages = 20_000 if options.quick else options.messages
    print(
        f"# {platform.platform()}, Python {platform.python_version()},"
        f" {time.strftime('%Y-%m-%d %H:%M')}"
    )
    print(f"{'what':58} {'figure':44} {'demanded':10} met")
    missed = 0
    for name in options.measures or MEASURES:
        for row in MEASURES[name](messages):
            missed += row.met is False
            print(
                f"{row.what:58} {row.figure:44} {row.bound:10}"
                f" {'' if row.met is None else 'yes' if row.met else 'NO'}",
                flush=True,
            )
    print(f"# {missed} missed")


if __name__ == "__main__":
    main()

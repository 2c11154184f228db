"""The long run behind `scripts/torture`: many rounds of each fault, and a table of what came of
them.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.check import Tally
from tests.faults.rounds import ROUNDS

_COLUMNS = (
    "fault",
    "rounds",
    "injected",
    "acknowledged",
    "failed",
    "lost",
    "doubled",
    "half",
    "bad_lines",
    "broken",
)


def main() -> None:
    """Run what the command line asks for; exit code 1 when a promise was not kept."""
    asked = _arguments()
    print(f"seed {asked.seed}", flush=True)
    started = time.monotonic()
    tallies = {name: Tally(name) for name in asked.only}
    for name, number in _turns(asked, started):
        tally = _round(name, number, asked.seed)
        tallies[name].add(tally)
        state = "good" if _is_good(tally) else f"NOT GOOD: {tally}"
        print(
            f"{time.monotonic() - started:7.1f} s  {name} {number}: {tally.acknowledged}"
            f" acknowledged, {state}",
            flush=True,
        )
    print(table(list(tallies.values())))
    print(f"seed {asked.seed}, {time.monotonic() - started:.0f} s")
    for tally in tallies.values():
        for remark in tally.remarks[:20]:
            print(f"{tally.fault}: {remark}")
    sys.exit(not all(map(_is_good, tallies.values())))


def table(tallies: list[Tally]) -> str:
    """The counts of every fault and their sums, as Markdown."""
    total = Tally("all")
    for tally in tallies:
        total.add(tally)
    rows = [list(_COLUMNS), ["---"] * len(_COLUMNS)]
    rows += [[str(getattr(tally, column)) for column in _COLUMNS] for tally in [*tallies, total]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/torture", description="Run the faults of tests/faults by the hundred."
    )
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="repeats the choices of a run"
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each fault (default: 10)")
    parser.add_argument("--minutes", type=float, help="instead of --rounds: as many as fit")
    parser.add_argument(
        "--only",
        action="append",
        metavar="FAULT[=ROUNDS]",
        help=f"this fault; may be given again: {', '.join(ROUNDS)}",
    )
    asked = parser.parse_args()
    asked.only = dict(_wish(parser, wish, asked.rounds) for wish in asked.only or ROUNDS)
    return asked


def _wish(parser: argparse.ArgumentParser, wish: str, rounds: int) -> tuple[str, int]:
    name, _, number = wish.partition("=")
    if name not in ROUNDS or not (number or "0").isdigit():
        parser.error(
            f"--only {wish}: it must be one of {', '.join(ROUNDS)}, or such a name, = and a number"
        )
    return name, int(number or rounds)


def _turns(asked: argparse.Namespace, started: float) -> Iterator[tuple[str, int]]:
    """The rounds to run, the faults by turns so that an interrupted run has had some of each."""
    number = 0
    while asked.minutes is None or time.monotonic() - started < 60 * asked.minutes:
        names = [
            name
            for name, rounds in asked.only.items()
            if asked.minutes is not None or number < rounds
        ]
        if not names:
            return
        for name in names:
            yield name, number
        number += 1


def _round(name: str, number: int, seed: int) -> Tally:
    """One round in a folder of its own, which is kept when the round was not good."""
    tally, rounds = Tally(name, rounds=1), ROUNDS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{name}-{number}-"))
    try:
        rounds[number % len(rounds)](random.Random(f"{seed}:{name}:{number}"), folder, tally)
    except pytest.skip.Exception as reason:
        sys.exit(f"{name}: {reason}; leave it out with --only")
    except Exception:
        tally.broken += 1
        tally.remarks.append(traceback.format_exc())
    if _is_good(tally):
        shutil.rmtree(folder)
    else:
        tally.remarks.append(f"kept: {folder}")
    return tally


def _is_good(tally: Tally) -> bool:
    return tally.lost == tally.doubled == tally.half == tally.bad_lines == tally.broken == 0


if __name__ == "__main__":
    main()

"""What became of the acknowledged posts: a data folder compared with a ledger, from outside the
hub.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bus.log.jsonl import files
from tests.conftest import RunningHub
from tests.faults.load import Post
from tests.faults.tools import tool


@dataclass
class Tally:
    """The counts of a fault over all its rounds. `lost` and those after it must be 0."""

    fault: str
    rounds: int = 0
    injected: int = 0  # kills, cuts, stops, …
    acknowledged: int = 0
    failed: int = 0  # attempts that got no 201
    lost: int = 0  # acknowledged, and not in the log
    doubled: int = 0  # twice in the log under one key
    half: int = 0  # in the log with another body than was sent
    bad_lines: int = 0  # not strict JSON, out of the order of seq, or reported by `verify`
    broken: int = 0  # other promises that were not kept
    remarks: list[str] = field(default_factory=list)

    def is_good(self) -> bool:
        """Whether every promise was kept; fails with all counts otherwise."""
        assert self.lost == self.doubled == self.half == self.bad_lines == self.broken == 0, self
        return True

    def add(self, other: Tally) -> None:
        """Take another tally's counts in."""
        for one in fields(self):
            if one.name != "fault":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def expect(self, kept: object, promise: str) -> None:
        """Count a promise that was not kept."""
        if not kept:
            self.broken += 1
            self.remarks.append(f"not so: {promise}")

    def compare(self, folder: Path, posts: Iterable[Post], counted: Iterable[Post]) -> None:
        """Count what is wrong with a log: `posts` are all that were tried, `counted` those that
        must be there.
        """
        records, bad = _records(folder)
        messages = [record for record in records if record.get("kind") == "message"]
        seqs = [record["seq"] for record in records if "seq" in record]
        self.bad_lines += bad + sum(
            after != before + 1 for before, after in zip([0, *seqs], seqs, strict=False)
        )
        times = Counter(record["client_id"] for record in messages if "client_id" in record)
        found = {record["client_id"]: record for record in messages if "client_id" in record}
        self.doubled += sum(count > 1 for count in times.values())
        for post in posts:
            if post.key in found and found[post.key]["body"] != post.body:
                self.half += 1
        for post in counted:
            self.acknowledged += 1
            if post.key not in found or found[post.key]["seq"] != post.seq:
                self.lost += 1
                self.remarks.append(f"lost: {post.key} with seq {post.seq}")

    def judge(self, hub: RunningHub) -> None:
        """Let the tools of others read the log: `verify` and jq."""
        verified = hub.run("verify")
        if verified.returncode != 0:
            self.bad_lines += 1
            self.remarks.append(verified.stdout)
        for name, data in contents(hub.data_dir):
            read = subprocess.run([tool("jq"), "-c", ".seq"], input=data, capture_output=True)
            if read.returncode != 0 or read.stderr:
                self.bad_lines += 1
                self.remarks.append(f"jq: {name}: {read.stderr!r}")


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The names of a log's files, and what is in them."""
    for path in [*files.sealed(folder).values(), folder / files.ACTIVE]:
        if not path.exists():  # compressed since it was listed
            path = path.with_name(path.name + ".gz")  # noqa: PLW2901
        yield (
            path.name,
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes(),
        )


def _records(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The objects of a log's files, and how many lines are none."""
    found, bad = [], 0
    for _, data in contents(folder):
        *lines, rest = data.split(b"\n")
        bad += bool(rest)
        for line in lines:
            if not line.strip(b" "):
                continue
            try:
                found.append(json.loads(line.decode("ascii")))
            except ValueError:
                bad += 1
    return found, bad

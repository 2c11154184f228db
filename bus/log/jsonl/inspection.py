"""Looking a log over and copying it, beside whoever writes to it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.log.jsonl import files
from bus.log.jsonl.disk import Disk
from bus.model import records


@dataclass
class Report:
    """What `verify` found.

    A problem is a file, a line (from 1), the offset behind it and what is wrong.
    """

    records: int = 0
    torn: int = 0
    last_seq: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def is_clean(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.is_clean(),
            "records": self.records,
            "last_seq": self.last_seq,
            "healed_tails": self.torn,
            "problems": self.problems,
        }

    def as_text(self) -> str:
        summary = f"{self.records} records, last seq {self.last_seq}, {self.torn} torn tails healed"
        if self.is_clean():
            return f"the log is good: {summary}"
        first = self.problems[0]
        where = f"{first['file']} line {first['line']} (up to byte {first['end']})"
        return (
            f"DAMAGED: {len(self.problems)} problems in {summary}\nthe first: {where}:"
            f" {first['problem']}"
        )


def verify(folder: Path) -> Report:
    """Check every line: that it proves itself, follows the line before it, and that no seq is
    missing.
    """
    report = Report()
    total: str | None = records.FIRST_SUM
    for path, lines in _files(folder):
        for number, line in enumerate(lines, 1):
            total = _check(report, path.name, number, line, total)
    return report


def stats(folder: Path) -> dict[str, Any]:
    """Return how many records of each kind, files and bytes."""
    kinds: Counter[str] = Counter()
    for _, lines in _files(folder):
        for line in lines:
            if not records.is_filler(line.data):
                try:
                    kinds[records.decode(line.data)["kind"]] += 1
                except records.Damaged:
                    kinds["damaged"] += 1
    paths = [*files.sealed(folder).values(), folder / files.ACTIVE]
    return {
        "records": kinds.total(),
        **{f"kind {kind}": number for kind, number in sorted(kinds.items())},
        "files": len(paths),
        "bytes": sum(_size(path) or _size(path.with_name(path.name + ".gz")) for path in paths),
        "index_bytes": _size(folder / "index.db"),
    }


def backup(folder: Path, credentials: Path, target: Path) -> dict[str, int]:
    """Copy the log up to its last whole line, and the files of secrets, to a new folder; synced on
    return.

    The active file is opened first, so a file that is sealed meanwhile is copied all the same,
    once.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is there and not empty")
    active = files.OpenFile(folder / files.ACTIVE)
    sealed = _sealed_before(folder, active)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk, size = Disk(), 0
    for path in sealed:
        try:
            shutil.copyfile(path, target / path.name)
        except FileNotFoundError:  # compressed meanwhile
            shutil.copyfile(path.with_name(path.name + ".gz"), target / (path.name + ".gz"))
    for line in active.lines(0, active.size()):
        size = line.end if line.whole else size
    with open(target / files.ACTIVE, "wb") as copy:
        for offset in range(0, size, 1 << 20):
            copy.write(os.pread(active.fd, min(1 << 20, size - offset), offset))
    if credentials.exists():
        shutil.copyfile(credentials, target / "credentials")
    if (folder / "webhook-secrets").exists():
        shutil.copyfile(folder / "webhook-secrets", target / "webhook-secrets")
    for path in target.iterdir():
        file = files.OpenFile(path, os.O_RDWR)  # named: it closes itself when nobody holds it
        os.fchmod(file.fd, 0o600)  # messages in the clear, like the log itself
        disk.sync(file.fd)
    disk.sync_folder(target)
    copied = verify(target)
    return {
        "records": copied.records,
        "files": len(sealed) + 1,
        "bytes": sum(path.stat().st_size for path in target.iterdir()),
    }


def _files(folder: Path) -> Iterator[tuple[Path, Iterator[files.Line]]]:
    """Yield every file of a log with its lines, the active one up to its last whole line."""
    active = files.OpenFile(folder / files.ACTIVE)
    size = active.size()
    for path in _sealed_before(folder, active):
        yield path, files.sealed_lines(path, 0)
    yield folder / files.ACTIVE, (line for line in active.lines(0, size) if line.whole)


def _sealed_before(folder: Path, active: files.OpenFile) -> list[Path]:
    """Return the sealed files that come before an open active one, which may itself have been
    sealed since.
    """
    first = records.first_of(line.data for line in active.lines(0, active.size()))
    return [
        path
        for seq, path in files.sealed(folder).items()
        if (first is None or seq < first["seq"]) and not files.is_same(path, active)
    ]


def _check(
    report: Report, file: str, number: int, line: files.Line, total: str | None
) -> str | None:
    """Check one line against the sum of the one before (None: unknown); returns the sum to go on
    with.
    """

    def wrong(problem: str) -> None:
        report.problems.append({"file": file, "line": number, "end": line.end, "problem": problem})

    if records.is_filler(line.data):
        report.torn += 1
        return total
    try:
        record = records.decode(line.data)
    except records.Damaged as damage:
        wrong(f"damaged: {damage}")
        return None
    if total is not None and not records.follows(line.data, total):
        wrong("it does not follow the line before it: a line was lost, swapped or replaced here")
    elif total is not None and record["seq"] != report.last_seq + 1:
        wrong(f"its seq is {record['seq']} after {report.last_seq}")
    report.records += 1
    report.last_seq = record["seq"]
    return records.sum_of(line.data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

"""Drafts to append, and a data folder looked at from outside: its lines, a reboot, a
damaged byte.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bus.log.base import Draft, Log
from bus.log.jsonl import files, inspection
from bus.model import records

ROOT = Path(__file__).parents[2]


def draft(body: str = "hello", key: str | None = None, **fields: Any) -> Draft:
    """A message that has no seq yet; with `key` it carries an idempotency key."""
    made = {
        "kind": "message",
        "auth": "claude",
        "from": "alice",
        "to": "bob",
        "body": body,
        **fields,
    }
    return keyed(made if key is None else {**made, "client_id": key, "digest": "d"})


def keyed(fields: dict[str, Any]) -> Draft:
    """The draft of these fields, with its unique key as the hub makes it."""
    return Draft(fields, records.unique_key(fields))


def drafts(made: Iterable[Draft | dict[str, Any]]) -> list[Draft]:
    """The drafts of these fields; a draft stays one."""
    return [one if isinstance(one, Draft) else keyed(one) for one in made]


def bodies(log: Log) -> list[str]:
    """The bodies of all messages in a log, in order."""
    return [record["body"] for _, record in log.read() if record["kind"] == "message"]


def seqs(log: Log) -> list[int]:
    """The seq of every record in a log, in order."""
    return [record["seq"] for _, record in log.read()]


def records_on_disk(folder: Path) -> list[dict[str, Any]]:
    """Every JSON object of a log's files, in order; fails on a byte that strict JSON lines do not
    allow.
    """
    found = []
    for path in [*files.sealed(folder).values(), folder / files.ACTIVE]:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert data == b"" or data.endswith(b"\n"), f"{path.name} ends in half a line"
        for line in data.split(b"\n")[:-1]:
            if line.strip(b" "):
                assert b"\0" not in line
                found.append(json.loads(line.decode("ascii")))
    return found


def messages_on_disk(folder: Path) -> list[str]:
    """The bodies of all messages in a log's files, in order."""
    return [record["body"] for record in records_on_disk(folder) if record.get("kind") == "message"]


def is_clean(folder: Path) -> bool:
    """Whether `verify` has nothing to say, and every line is strict JSON."""
    report = inspection.verify(folder)
    assert report.is_clean(), report.as_text()
    return bool(records_on_disk(folder) or report.records == 0)


def reboot(folder: Path) -> None:
    """Take away what does not outlive a reboot: the shared numbers.

    The machine itself stays up in tests.
    """
    (folder / "run" / "state").unlink()


def flip(path: Path, offset: int, bits: int = 1) -> None:
    """Change one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bits]))


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file, newlines included."""
    return path.read_bytes().splitlines(keepends=True)


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, from the root of the repository."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

"""Logs to measure with: made with the hub's own log and index, without syncing, so that a million
takes a minute.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from bus.index.building import build
from bus.log.base import Draft
from bus.log.jsonl.engine import JsonlLog
from bus.log.jsonl.files import sealed

_WORDS = [
    f"{first}{second}{third}"
    for first in "bdfgklmnprst"
    for second in "aeiou"
    for third in ("n", "rt", "st", "l", "m")
]
BLOCK = 5_000


def fill(folder: Path, messages: int) -> None:
    """A log of so many 200-byte messages between ten agents, with 20 unread for `reader`, and an
    index.

    `slow` has one message at the very beginning that it never acknowledged, and after it a tenth of
    all that it did; then 20 unread as well.
    """
    random.seed(20)
    log = JsonlLog(folder, fsync=False)
    log.append([_message("slow")])
    to_slow = min(100_000, messages // 10)
    seqs = [
        done.record["seq"]
        for count in _blocks(to_slow)
        for done in log.append([_message("slow") for _ in range(count)])
    ]
    for count in _blocks(messages - to_slow - 41):
        log.append(
            [_message(random.choice(("any", "carol", "dave", "erin"))) for _ in range(count)]
        )
    last = log.position().seq
    log.append(
        [
            Draft({"kind": "ack", "reader": "slow", "seqs": seqs[at : at + 1_000]})
            for at in range(0, len(seqs), 1_000)
        ]
    )
    rest = list(range(seqs[-1] + 1, last + 1))
    log.append(
        [
            Draft({"kind": "ack", "reader": "slow", "seqs": rest[at : at + 1_000]})
            for at in range(0, len(rest), 1_000)
        ]
    )
    log.append([Draft({"kind": "ack", "reader": "reader", "through": last})])
    log.append([_message("reader") for _ in range(20)] + [_message("slow") for _ in range(20)])
    build(folder / "index.db", log, lambda done, total: None)
    log.close()


def plain_rebuild(folder: Path, target: Path) -> float:
    """Records a second of a plain loop that parses the same lines into one SQLite table with one
    index.
    """

    def rows() -> Iterator[tuple[int, str, str, str]]:
        for path in [*sealed(folder).values(), folder / "bus.jsonl"]:
            with open(path) as lines:
                for line in lines:
                    record = json.loads(line)
                    yield (
                        record["seq"],
                        record["id"],
                        record.get("from", ""),
                        record.get("body", ""),
                    )

    db = sqlite3.connect(target, isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY, id TEXT, sender TEXT, body TEXT)")
    db.execute("CREATE INDEX by_sender ON records (sender)")
    began = time.perf_counter()
    db.execute("BEGIN")
    count = db.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows()).rowcount
    db.execute("COMMIT")
    rate = count / (time.perf_counter() - began)
    db.close()
    return rate


def plain_burst(path: Path, blocks: list[list[str]]) -> float:
    """Messages a second of a loop that makes the same lines, writes each block and syncs it."""
    began = time.perf_counter()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seq = 0
    for bodies in blocks:
        lines = []
        for body in bodies:
            seq += 1
            lines.append(
                json.dumps(
                    {
                        "seq": seq,
                        "id": f"{seq:026}",
                        "ts": "2026-11-20T20:14:27.123Z",
                        "from": "a",
                        "to": "b",
                        "body": body,
                    }
                )
            )
        os.write(fd, ("\n".join(lines) + "\n").encode())
        getattr(os, "fdatasync", os.fsync)(fd)
    os.close(fd)
    return seq / (time.perf_counter() - began)


def _message(to: str) -> Draft:
    body = " ".join(random.choices(_WORDS, k=50))[:200]
    return Draft(
        {
            "kind": "message",
            "auth": "claude",
            "from": f"agent{random.randrange(10)}",
            "to": to,
            "body": body,
            "tags": ["bench"],
            "priority": "normal",
        }
    )


def _blocks(total: int) -> Iterator[int]:
    for start in range(0, total, BLOCK):
        yield min(BLOCK, total - start)

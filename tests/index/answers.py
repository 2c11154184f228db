"""A log with something of everything in it, and all that an index says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus.index import acks, messages, names, place, search
from bus.index.database import Index
from bus.index.mailboxes import Mailboxes
from bus.index.unread import unread_count
from bus.log.jsonl.engine import JsonlLog
from bus.model.filter import Selection
from tests.log.folder import draft, drafts

READERS = ("alice", "bob", "carol")
NOW_MS = 1_900_000_000_000


def fill(log: JsonlLog) -> None:
    """Messages of all sorts, acknowledged in part."""
    log.append(
        drafts(
            [
                draft(f"plain {number}", key=f"key {number}", tags=["build"] if number % 3 else [])
                for number in range(9)
            ]
        )
    )
    log.append(
        [
            draft("to all", to="any"),
            draft("to two", to=["bob", "carol"]),
            draft("in a thread", thread="t"),
        ]
    )
    log.append(
        [
            draft("expired", expires="2020-01-01T00:00:00.000Z"),
            draft("lives", expires="2100-01-01T00:00:00.000Z"),
        ]
    )
    log.append(
        drafts(
            [
                {"kind": "ack", "reader": "bob", "seqs": [2, 3, 10]},
                {"kind": "ack", "reader": "carol", "through": 10},
            ]
        )
    )
    log.append([draft("the last", to="carol")])


def answers(index: Index) -> dict[str, Any]:
    """What the index says to many questions."""
    with index.reading() as db:
        said: dict[str, Any] = {"count": place.counts(db)}
        for reader in READERS:
            said[f"unread by {reader}"] = messages.page(db, Selection(unread_by=reader), NOW_MS)
            said[f"to {reader}"] = messages.page(db, Selection(to=reader, expired=True), NOW_MS)
            said[f"unread count of {reader}"] = unread_count(db, Mailboxes(reader), NOW_MS, 100)
            said[f"last act of {reader}"] = names.last_act(db, reader)
        said["tag"] = messages.page(db, Selection(tag="build"), NOW_MS)
        said["thread"] = messages.page(db, Selection(thread="t"), NOW_MS)
        said["search"] = search.search(db, search.to_fts("plain"), Selection(), NOW_MS)
        said["acked"] = {seq: acks.acked(db, seq, list(READERS)) for seq in range(1, 15)}
    said["unique"] = index.records_of_unique(["claude alice key 4"])
    return said


def opened(folder: Path) -> tuple[JsonlLog, Index]:
    """A log and its index, as one process has them."""
    log = JsonlLog(folder, fsync=False, lock_timeout_s=0.3)
    index = Index(folder / "index.db", log)
    log.unique_index = index
    return log, index

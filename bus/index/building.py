"""Applying the log to an index: some records at a time, or all of them to a new file."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from bus.index import place as places
from bus.index.projections import SCHEMA_SQL, Applier
from bus.index.weights import weight_us
from bus.model.records import START, Position, Record
from bus.system import modes

# The version of the tables. A hub whose index has another one rebuilds it at its next start.
SCHEMA = 28
CHUNK = 2_000  # records a transaction, at most

Progress = Callable[[int, int], None]


class Source(Protocol):
    """What the index needs of a log."""

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]: ...
    def position(self) -> Position: ...
    def holds(self, position: Position) -> bool: ...


def build(path: Path, source: Source, progress: Progress) -> Position:
    """Make a whole index in a new file; returns the place it reaches."""
    modes.make_file(path)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Nobody reads this file before it is whole, and a half one is thrown away.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -65536")
        db.executescript(SCHEMA_SQL)
        _tune_words(db, automerge=0, hash_bytes=16 << 20)
        place, total = START, source.position().seq
        while place.seq < total:
            db.execute("BEGIN")
            before, place = place, apply_chunk(db, source, CHUNK * 5)
            if place == before:
                break
            progress(place.seq, total)
        _tune_words(db, automerge=4, hash_bytes=1 << 20)
        db.execute(f"PRAGMA user_version = {SCHEMA}")
    finally:
        db.close()
    _sync(path)
    return place


def apply_chunk(
    db: sqlite3.Connection, source: Source, size: int, at_most_us: float = math.inf
) -> Position:
    reached, applier, spent_us = places.read(db), Applier(db), 0.0
    for place, record in islice(source.read(reached), size):
        applier.apply(record)
        reached = place
        spent_us += weight_us(record)
        if spent_us >= at_most_us:
            break
    applier.finish(reached)
    db.execute("COMMIT")
    return reached


def _tune_words(db: sqlite3.Connection, automerge: int, hash_bytes: int) -> None:
    """Set how eagerly full-text segments are merged (https://sqlite.org/fts5.html, 6.2 and 6.6): 8
    % of a rebuild.
    """
    db.execute("INSERT INTO words (words, rank) VALUES ('automerge', ?)", (automerge,))
    db.execute("INSERT INTO words (words, rank) VALUES ('hashsize', ?)", (hash_bytes,))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

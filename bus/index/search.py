"""Full-text search over bodies (SQLite FTS5)."""

from __future__ import annotations

import re
import sqlite3
from itertools import islice

from bus.index.messages import filters, waits_for
from bus.records import EVERYBODY
from bus.selection import Selection

_TERM = re.compile(r'"([^"]*)"|(\S+)')


def search(db: sqlite3.Connection, words: str, selection: Selection, now_ms: int) -> list[tuple[str, str]]:
    """Messages that hold all the words, newest first, at most `limit + 1`: (JSON, snippet).

    "quoted words" must stand together; a word that ends in * matches what begins so. Nothing else of FTS5's
    query language reaches it, so no text is a syntax error. In a snippet what matched stands in [brackets].
    """
    query = to_fts(words)
    if not query:
        return []
    terms, values = filters(selection, now_ms)
    if selection.to is not None:
        terms += " AND EXISTS (SELECT 1 FROM inbox WHERE recipient IN (?, ?) AND lasting IN (0, 1) AND inbox.seq = m.seq)"
        values += [selection.to, EVERYBODY]
    rows = db.execute(
        "SELECT m.json, snippet(words, 0, '[', ']', '…', 16), m.seq FROM words CROSS JOIN messages m ON m.seq = words.rowid"
        f" WHERE words MATCH ? AND {terms} ORDER BY words.rowid DESC",
        (query, *values),
    )
    reader = selection.unread_by
    wanted = (row[:2] for row in rows if reader is None or waits_for(db, reader, row[2]))
    return list(islice(wanted, selection.limit + 1))


def to_fts(words: str) -> str:
    """The FTS5 query for what a person typed; empty when there is no word in it."""
    terms = []
    for phrase, word in _TERM.findall(words):
        text = (phrase or word).replace('"', " ").strip()
        if any(char.isalnum() for char in text):
            terms.append(f'"{text.rstrip("*")}"' + ("*" if word.endswith("*") else ""))
    return " ".join(terms)

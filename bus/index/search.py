"""Full-text search over bodies and the titles of briefs (SQLite FTS5)."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata

from bus.errors import BadField
from bus.index import walks
from bus.index.messages import cut, fetch, seen, seqs_of, walk_of
from bus.index.projection import Batch
from bus.model.filter import Selection
from bus.model.records import Record

MAX_WORDS, MAX_CHARACTERS = 32, 1_000
_LONGEST_SNIPPET = 400  # characters
_TERM = re.compile(r'"([^"]*)"|(\S+)')

SCHEMA = """
CREATE VIEW texts AS SELECT seq, json_extract(json, '$.body') AS body,
    json_extract(json, '$.brief.title') AS title FROM messages;
CREATE VIRTUAL TABLE words USING fts5 (body, title, content = 'texts', content_rowid = 'seq');
"""


class Words:
    """Applies the words of messages."""

    kinds: tuple[str, ...] = ("message",)
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._rows = batch.rows("INSERT INTO words (rowid, body, title) VALUES (?, ?, ?)")

    def apply(self, record: Record) -> None:
        """Make the text of a message findable."""
        title = record.get("brief", {}).get("title")
        self._rows.append((record["seq"], record["body"], title))


def search(
    db: sqlite3.Connection, query: str, selection: Selection, now_ms: int
) -> tuple[list[tuple[str, str]], bool]:
    """Return messages that `query` (of `to_fts`) finds, newest first: (JSON, snippet); and whether
    there are more.

    As many as fit into a page. In a snippet what matched stands in [brackets].
    """
    if not query:
        return [], False
    walk = walk_of(db, selection, now_ms, True, [walks.Words(db, query, down=True)])
    found = seen(db, selection, fetch(db, seqs_of(selection, walk, down=True)))
    rows, has_more = cut(found, selection.limit)
    snippets = _snippets(db, query, [seq for seq, _ in rows])
    return [(text, snippets[seq]) for seq, text in rows], has_more


def _snippets(db: sqlite3.Connection, query: str, seqs: list[int]) -> dict[int, str]:
    if not seqs:
        return {}
    # "+": the words are walked once, and not once for each seq.
    rows = db.execute(
        "SELECT rowid, snippet(words, -1, '[', ']', '…', 16) FROM words WHERE words MATCH ? AND"
        " rowid BETWEEN ? AND ? AND +rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid DESC",
        (query, min(seqs), max(seqs), json.dumps(seqs)),
    )
    return {seq: _short(snippet) for seq, snippet in rows}


def _short(snippet: str) -> str:
    """Sixteen words may be as long as a message: then what stands around the first hit."""
    if len(snippet) <= _LONGEST_SNIPPET:
        return snippet
    start = max(0, snippet.find("[") - _LONGEST_SNIPPET // 4)
    return ("…" if start else "") + snippet[start : start + _LONGEST_SNIPPET] + "…"


def to_fts(words: str) -> str:
    """Return the FTS5 query for what a person typed; empty when there is no word in it. Raises
    BadField for too many words.

    "quoted words" must stand together; a word that ends in * matches what begins so. Nothing else
    of FTS5's query language reaches it, so no text is a syntax error. What is there twice is asked
    for once.
    """
    terms: dict[str, str] = {}
    for phrase, word in _TERM.findall(words):
        text = (phrase or word).replace('"', " ").strip()
        if any(char.isalnum() for char in text):
            term = f'"{text.rstrip("*")}"' + ("*" if word.endswith("*") else "")
            terms.setdefault(term.lower(), term)
    count = sum(map(_count_words, terms))
    if count > MAX_WORDS or sum(map(len, terms)) > MAX_CHARACTERS:
        raise BadField(
            f"`q` has {count} words in {len(words)} characters.",
            hint=(
                f"At most {MAX_WORDS} words and {MAX_CHARACTERS} characters; a few rare words find"
                " the same."
            ),
            field="q",
        )
    return " ".join(terms)


def _count_words(text: str) -> int:
    """Return the words that FTS5's unicode61 makes of a text: runs of letters, numbers and private
    characters.
    """
    kinds = ((char, unicodedata.category(char)) for char in text)
    return len(
        "".join(char if kind[0] in "LN" or kind == "Co" else " " for char, kind in kinds).split()
    )

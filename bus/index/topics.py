"""Topics: who has subscribed to which, and how much was posted to each.

A message to a topic is put into the mailbox of each subscriber when it is applied, so unread mail
of a topic is found, counted and acknowledged like any other and costs the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index.projection import Batch
from bus.model.filter import recipients
from bus.model.groups import TOPIC_PREFIX, is_topic
from bus.model.records import Record
from bus.model.topics import is_wild, matches

SCHEMA = """
CREATE TABLE subscriptions (
    topic TEXT NOT NULL,                  -- perhaps with wildcards
    name TEXT NOT NULL,
    auth TEXT NOT NULL,                   -- the credential that subscribed
    since TEXT NOT NULL,
    wild INTEGER NOT NULL,
    PRIMARY KEY (topic, name)
) WITHOUT ROWID;
CREATE INDEX subscriptions_wild ON subscriptions (topic) WHERE wild = 1;
CREATE INDEX subscriptions_by_name ON subscriptions (name, topic);
CREATE INDEX subscriptions_by_auth ON subscriptions (auth);
CREATE TABLE fanout (                     -- whom a message to a topic has reached
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (seq, name)
) WITHOUT ROWID;
CREATE TABLE topics (                     -- that something was posted to
    topic TEXT PRIMARY KEY,
    messages INTEGER NOT NULL,
    last TEXT NOT NULL
) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """A topic with its number of messages, and when the last one came (None: none has)."""

    topic: str
    messages: int
    last: str | None


class Topics:
    """Applies subscriptions, and counts what is posted to topics."""

    kinds: tuple[str, ...] = ("topic_subscribed", "topic_unsubscribed", "message", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Subscribe a name, end its subscription, or count a message."""
        kind = record["kind"]
        if kind == "message":
            for name in recipients(record):
                if is_topic(name):
                    self._count(name.removeprefix(TOPIC_PREFIX), record["ts"])
        elif kind == "topic_subscribed":
            topic = record["topic"]
            row = (topic, record["name"], record["auth"], record["ts"], int(is_wild(topic)))
            self._db.execute("INSERT OR IGNORE INTO subscriptions VALUES (?, ?, ?, ?, ?)", row)
        elif kind == "topic_unsubscribed":
            self._db.execute(
                "DELETE FROM subscriptions WHERE topic = ? AND name = ?",
                (record["topic"], record["name"]),
            )
        elif record["action"] == "revoke":
            self._db.execute("DELETE FROM subscriptions WHERE auth = ?", (record["name"],))

    def _count(self, topic: str, ts: str) -> None:
        self._db.execute(
            "INSERT INTO topics VALUES (?1, 1, ?2) ON CONFLICT (topic) DO UPDATE SET"
            " messages = messages + 1, last = max(last, ?2)",
            (topic, ts),
        )


def subscribers(db: sqlite3.Connection, topic: str) -> set[str]:
    """Return the names that a message to a topic (without `topic:`) reaches now."""
    plain = db.execute("SELECT name FROM subscriptions WHERE topic = ?", (topic,))
    found = {name for (name,) in plain}
    for (wild,) in db.execute("SELECT DISTINCT topic FROM subscriptions WHERE wild = 1").fetchall():
        if matches(wild, topic):
            rows = db.execute("SELECT name FROM subscriptions WHERE topic = ?", (wild,))
            found.update(name for (name,) in rows)
    return found


def reached(db: sqlite3.Connection, seq: int, after: str = "", limit: int = -1) -> list[str]:
    """Return the names behind `after` whom a message has reached through a topic, in their
    order.
    """
    sql = "SELECT name FROM fanout WHERE seq = ? AND name > ? ORDER BY name LIMIT ?"
    return [name for (name,) in db.execute(sql, (seq, after, limit))]


def subscribed(db: sqlite3.Connection, name: str) -> dict[str, str]:
    """Return what a name has subscribed to, and since when."""
    return dict(
        db.execute("SELECT topic, since FROM subscriptions WHERE name = ? ORDER BY topic", (name,))
    )


def count_of(db: sqlite3.Connection, auth: str) -> tuple[int, int]:
    """Return how many subscriptions a credential has, and how many of them have wildcards."""
    row: tuple[int, int] = db.execute(
        "SELECT count(*), coalesce(sum(wild), 0) FROM subscriptions WHERE auth = ?", (auth,)
    ).fetchone()
    return row


def known(db: sqlite3.Connection, after: str) -> Iterator[Known]:
    """Yield the topics behind `after`: those that have messages, and those without wildcards that
    have subscribers.
    """
    rows = db.execute(
        "SELECT topic, messages, last FROM topics WHERE topic > ?1 UNION ALL SELECT DISTINCT topic,"
        " 0, NULL FROM subscriptions WHERE topic > ?1 AND wild = 0 AND topic NOT IN (SELECT topic"
        " FROM topics) ORDER BY topic",
        (after,),
    )
    for row in rows:
        yield Known(*row)

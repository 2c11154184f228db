"""Topics: who subscribes to what. A post to one is a message like any other."""

from __future__ import annotations

import sqlite3

from bus.errors import OverQuota
from bus.hub.credentials import CredentialRecords
from bus.hub.journal import Journal
from bus.index import topics as queries
from bus.index.topics import Known
from bus.model.caller import Caller
from bus.model.topics import Topic, TopicsQuery, is_wild, matches

MOST_WILD = 100  # of one credential: each is compared with every topic that is posted to
MOST_SUBSCRIPTIONS = 1_000  # of one credential: each is a row for every message that it matches


class Topics:
    """The verbs of topics."""

    def __init__(self, journal: Journal, credentials: CredentialRecords) -> None:
        self._journal, self._credentials = journal, credentials

    def subscribe(self, caller: Caller, name: str, topic: str) -> bool:
        """Have what is posted to a topic from now on reach a name; return whether that is new.

        Raises OverQuota.
        """
        with self._journal.current() as db:
            if topic in queries.subscribed(db, name):
                return False
            count, wild = queries.count_of(db, caller.name)
        if count >= MOST_SUBSCRIPTIONS:
            raise _too_many(caller, "subscriptions", count, MOST_SUBSCRIPTIONS)
        if is_wild(topic) and wild >= MOST_WILD:
            raise _too_many(caller, "subscriptions with wildcards", wild, MOST_WILD)
        self._credentials.use_name(caller, name)
        subscribed = {"kind": "topic_subscribed", "auth": caller.name, "name": name}
        self._journal.append([{**subscribed, "topic": topic}])
        return True

    def unsubscribe(self, caller: Caller, name: str, topic: str) -> bool:
        """End a subscription; return whether there was one. What has come stays unread."""
        with self._journal.current() as db:
            if topic not in queries.subscribed(db, name):
                return False
        ended = {"kind": "topic_unsubscribed", "auth": caller.name, "name": name}
        self._journal.append([{**ended, "topic": topic}])
        return True

    def subscribers(self, topic: str) -> set[str]:
        """Return the names that a message to a topic reaches now."""
        return self._journal.index.ask(lambda db: queries.subscribers(db, topic))

    def listing(self, asked: TopicsQuery) -> tuple[list[Topic], str | None, dict[str, str]]:
        """Return topics, the one to go on behind (None: no more), and what `name` has subscribed
        to, with the times.
        """

        def question(db: sqlite3.Connection) -> tuple[list[Topic], bool, dict[str, str]]:
            mine = {} if asked.name is None else queries.subscribed(db, asked.name)
            found: list[Topic] = []
            for known in queries.known(db, asked.after or ""):
                if asked.name is not None and not any(matches(one, known.topic) for one in mine):
                    continue
                if len(found) == asked.limit:
                    return found, True, mine
                found.append(_topic(db, known))
            return found, False, mine

        found, has_more, mine = self._journal.index.ask(question)
        return found, found[-1]["topic"] if has_more else None, mine


def _too_many(caller: Caller, what: str, count: int, limit: int) -> OverQuota:
    return OverQuota(
        f"{caller.name} has {count} {what}.",
        hint="End some of them: POST /topics/<topic>/unsubscribe.",
        quota="subscriptions",
        limit=limit,
        name=caller.name,
    )


def _topic(db: sqlite3.Connection, known: Known) -> Topic:
    count = len(queries.subscribers(db, known.topic))
    about = {"topic": known.topic, "messages": known.messages, "last": known.last}
    return {**about, "subscribers": count}  # type: ignore[typeddict-item]

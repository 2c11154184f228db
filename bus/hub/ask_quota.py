"""How many questions of one credential may be open at once."""

from __future__ import annotations

import sqlite3

from bus.errors import OverQuota
from bus.hub.journal import Journal
from bus.index import asks as queries
from bus.index import unique_keys
from bus.model import records
from bus.model.asks import Question
from bus.model.caller import Caller


def refuse_too_many(journal: Journal, caller: Caller, question: Question, most: int) -> None:
    """Raise OverQuota if `most` questions of a caller are open, and this is one more.

    Those that come at the same moment do not see each other.
    """
    with journal.current() as db:
        count = queries.open_of(db, caller.name, journal.now_ms())
        if count < most or _is_repeated(db, caller, question):
            return
    raise OverQuota(
        f"{count} questions of {caller.name} are open.",
        hint="Withdraw some, or wait until they are answered.",
        quota="open_asks",
        limit=most,
        name=caller.name,
    )


def _is_repeated(db: sqlite3.Connection, caller: Caller, question: Question) -> bool:
    """Return whether a question was asked before under its key."""
    if question.client_id is None:
        return False
    about = {"kind": "message", "auth": caller.name, "from": question.sender, **caller.stamp()}
    key = str(records.unique_key({**about, "client_id": question.client_id}))
    return bool(unique_keys.records_of(db, [key]))

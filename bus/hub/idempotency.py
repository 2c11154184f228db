"""Idempotency keys: a request that is repeated with its key gets the first answer, and nothing
happens twice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from bus.errors import KeyReused
from bus.hub.journal import Journal
from bus.model import records
from bus.model.caller import Caller
from bus.model.calls import Call
from bus.model.records import Fields, Record


def stamp(caller: Caller, key: str, digest: str) -> Fields:
    """Return the fields by which a record carries a key: whose it is, and for which content."""
    return {"client_id": key, "digest": digest, **caller.stamp()}


def refuse_other_message(first: Record, draft: Record) -> None:
    """Raise KeyReused if a key's first message says something else than this draft."""
    if first.get("digest") != draft["digest"]:
        raise KeyReused(
            f"The key {draft['client_id']!r} was used by {draft['from']} for {first['id']}, "
            "which says something else.",
            first=first["id"],
        )


def refuse_other_call(first: Record, call: Call) -> None:
    """Raise KeyReused if a key's first call is another than this one."""
    if first["digest"] != call.digest:
        raise KeyReused(
            f"The key {call.key!r} was used for the call {first['call']}, which is another.",
            first=first["call"],
        )


class CallKeys:
    """Finds the call that was made under a key.

    A call that could not begin leaves its key unused, so each key has attempts: the one that counts
    is the first that did something. `is_undone` says of the id of a call that it did nothing.
    """

    def __init__(self, journal: Journal, is_undone: Callable[[str], bool]) -> None:
        self._journal, self._is_undone = journal, is_undone

    def first(self, caller: Caller, call: Call) -> Record | None:
        """Return how the call under this key began, None if the key is new; raises KeyReused."""
        if call.key is None:
            return None
        self._journal.index.catch_up()
        first = self._attempt(caller, call.key)[1]
        if first is not None:
            refuse_other_call(first, call)
        return first

    def stamp(self, caller: Caller, call: Call) -> Fields:
        """Return the fields by which the record of a call's beginning carries its key; {} if it has
        none.
        """
        if call.key is None:
            return {}
        attempt = self._attempt(caller, call.key)[0]
        return stamp(caller, call.key, call.digest) | ({"attempt": attempt} if attempt else {})

    def _attempt(self, caller: Caller, key: str) -> tuple[int, Record | None]:
        """Return the number of the attempt that counts, and its record: None if it is still to be
        made.
        """
        fields = {"kind": "call_started", "auth": caller.name, "client_id": key, **caller.stamp()}
        for number in count():
            unique = str(records.unique_key({**fields, "attempt": number}))
            began = self._journal.index.records_of_unique([unique]).get(unique)
            if began is None or not self._is_undone(began["call"]):
                return number, began
        raise AssertionError("count has no end")

"""Signatures: what the briefs of a name end with. Each brief keeps the one that it was posted
with.
"""

from __future__ import annotations

from bus.errors import OverQuota
from bus.hub.journal import Journal
from bus.index import signatures as queries
from bus.model.caller import Caller

MOST_SIGNATURES = 1_000  # of one credential


class Signatures:
    """The verbs of signatures."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def set(self, caller: Caller, name: str, text: str) -> None:
        """Have the briefs of a name signed from now on; an empty text ends that. Raises
        OverQuota.
        """
        with self._journal.current() as db:
            if queries.of(db, name) == text:
                return
            count = queries.count_of(db, caller.name)
        if text and count >= MOST_SIGNATURES:
            raise OverQuota(
                f"{count} names of {caller.name} have signatures.",
                hint='End some of them: PUT /signature {"name":"…","signature":""}.',
                quota="signatures",
                limit=MOST_SIGNATURES,
                name=caller.name,
            )
        made = {"kind": "signature_set", "auth": caller.name, "name": name}
        self._journal.append([{**made, "signature": text}])

    def of(self, name: str) -> str:
        """Return what a name signs with; an empty text is nothing."""
        return self._journal.index.ask(lambda db: queries.of(db, name))

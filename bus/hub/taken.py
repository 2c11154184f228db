"""Which names are not for the shared user: those that machines have, and those that
machines had.
"""

from __future__ import annotations

from bus.credentials import Credentials
from bus.errors import BusError
from bus.hub.hub import Hub
from bus.model.caller import looks


class TakenNames:
    """What `bus.model.caller.Taken` is, for this hub. For any thread.

    A name can only become a past one by a change to the credential file, so the log's names are
    asked for then.
    """

    def __init__(self, hub: Hub, credentials: Credentials) -> None:
        self._hub, self._credentials = hub, credentials
        self._known: tuple[frozenset[str] | None, frozenset[str]] = (None, frozenset())

    def __call__(self) -> frozenset[str]:
        present = self._credentials.taken()  # another object whenever the file has changed
        seen, found = self._known
        if seen is present:
            return found
        now = frozenset(map(looks, present))
        try:
            # After the file: what took a name away was on record before.
            past = self._hub.credentials.machine_names()
        except BusError:
            return found | now  # the index is being made; posts go on meanwhile
        found = now.union(map(looks, past))
        self._known = present, found
        return found

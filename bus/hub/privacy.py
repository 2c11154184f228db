"""Whether mail is private, and to whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from bus.errors import NotFound
from bus.hub.journal import Journal
from bus.index.privacy import View
from bus.model.caller import Caller
from bus.model.messages import Message


class Privacy:
    """Says what a caller may see. Where mail is not private, everybody sees everything."""

    def __init__(self, journal: Journal, is_private: bool) -> None:
        self._journal, self._is_private = journal, is_private
        # The names that are not the shared user's; whoever joins the parts says it.
        self.taken: Callable[[], Collection[str]] = lambda: ()

    def view(self, caller: Caller) -> View | None:
        """Return what a caller may see; None: everything."""
        if not self._is_private or caller.is_admin:
            return None
        return View(caller, frozenset(() if caller.is_verified else self.taken()))

    def check(self, view: View | None, ref: str | int, text: str) -> str:
        """Return the JSON of a message that the caller may see; raise NotFound as for one that does
        not exist.
        """
        if view is None:
            return text
        message: Message = json.loads(text)
        with self._journal.index.as_is() as db:
            if view.sees(db, message["seq"], message):
                return text
        raise NotFound(f"There is no message {ref}.")

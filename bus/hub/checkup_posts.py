"""The hub posts a check-up by itself, at set times: a chore."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import cast

from bus.errors import BusError
from bus.hub.checkup import Checkups
from bus.hub.drafting import Drafting
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.hub.notices import notice
from bus.model.caller import SHARED, lowest_trust
from bus.model.checkup import ACTIONS, STALE_H, Checkup, text, without_titles
from bus.model.checkup_plan import Plan
from bus.model.records import Fields, utc

logger = logging.getLogger("bus.hub.checkup_posts")

_LISTED = 5  # of each kind
_PAUSE_S = 60  # after one that failed


class CheckupPosts:
    """Posts what is stuck to those of a plan, once for each of its times.

    One that the hub has missed comes late, as soon as it is back, and only the last of several. It
    expires when the next is due: an old one is of no use.
    """

    def __init__(
        self,
        journal: Journal,
        checkups: Checkups,
        plan: Plan,
        messages: Messages,
        drafting: Drafting,
        unknown: Callable[[Sequence[str]], Mapping[str, Sequence[str]]],
        is_private: bool,
    ) -> None:
        self._journal, self._checkups, self._plan = journal, checkups, plan
        self._messages, self._drafting = messages, drafting
        self._unknown, self._is_private = unknown, is_private
        self._done = ""
        self._again_s = 0.0

    def post_due(self) -> None:
        """Post the check-up that is due, unless it was posted or there is nothing to say."""
        now_s = self._journal.time()
        if not self._plan.to or time.monotonic() < self._again_s:
            return
        last, next = self._plan.around(now_s)
        period = last.strftime("%Y-%m-%dT%H:%MZ")
        if period == self._done:
            return
        self._again_s = time.monotonic() + _PAUSE_S
        found = self._checkups.make(STALE_H, _LISTED, None)
        if not found["is_clear"] or self._plan.always:
            shown = found if self._may_see_all() else without_titles(found)
            trust = self._trust(found) if shown is found else "hub"
            about = {"tags": ["checkup"], "expires": utc(next.timestamp()), "trust": trust}
            self._warn()
            # Whoever led before has posted it, perhaps: then nothing is recorded.
            self._journal.append([notice(f"checkup {period}", self._plan.to, text(shown), **about)])
        self._done, self._again_s = period, 0.0

    def _may_see_all(self) -> bool:
        """Return whether all who get it may read all mail."""
        machines = {name.partition("/")[0] for name in self._plan.to}
        return not self._is_private or machines <= set(self._drafting.admins())

    def _trust(self, found: Checkup) -> str:
        """Return what it may be taken for: the hub repeats here what others have written."""
        listed = [one for kind in ACTIONS for one in cast(Fields, found)[kind]]
        refs = {one["brief"] for one in listed} | {one["id"] for one in found["asks"]}
        trusts = [json.loads(self._messages.get(ref)).get("trust") for ref in refs]
        # Whoever has an action may have changed its words.
        trusts += [SHARED for one in listed if one["changed"] != one["made"]]
        return lowest_trust("hub", *trusts)

    def _warn(self) -> None:
        """Say in the hub's log if nobody has one of the names: nobody would miss what they get."""
        with suppress(BusError):
            for name, alike in self._unknown(self._plan.to).items():
                like = f"; {' or '.join(alike)}?" if alike else ""
                logger.warning("BUS_CHECKUP_TO: nobody has the name %s%s", name, like)

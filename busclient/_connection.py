"""How a `Bus` reaches its hub: it starts the hub of this machine if it must, and empties the outbox
once it can.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from busclient._errors import BusError, HubFailed, LocalTrouble, Unavailable, Unreachable
from busclient._http.calls import Calls
from busclient._http.trouble import is_refused
from busclient._messages import sending
from busclient._messages.message import Posted
from busclient._outbox import delivery
from busclient._outbox.outbox import Entry, Outbox
from busclient._settings import Settings

logger = logging.getLogger("busclient")

T = TypeVar("T")
_DELIVERY_S = 5.0  # how long a post waits for another process that is emptying the outbox


class Connection:
    """The calls to one hub, and the outbox for when it is away (None: there is none).

    `start_hub`, if there is one, starts the hub of this machine and returns whether it runs.
    """

    def __init__(self, settings: Settings, calls: Calls, outbox: Outbox | None) -> None:
        self.settings, self.calls, self.outbox = settings, calls, outbox
        self.start_hub: Callable[[], bool] | None = None
        self.away_hint: str | None = None  # what to do where nothing listens at the address

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, wait_s: float = 0
    ) -> dict[str, Any]:
        """Return what the hub answers to a GET; raises BusError."""
        return self.call(lambda: self.calls.json("GET", path, params=params, wait_s=wait_s))

    def post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the hub answers to a POST; raises BusError."""
        return self.call(lambda: self.calls.json("POST", path, json=fields))

    def put(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the hub answers to a PUT; raises BusError."""
        return self.call(lambda: self.calls.json("PUT", path, json=fields))

    def call(self, call: Callable[[], T]) -> T:
        """Make a call, then empty the outbox: the hub is known to be there."""
        result = self.reach(call)
        if self.outbox is not None and not self.outbox.is_empty():
            try:
                self.flush()
            except BusError as error:
                logger.warning("the outbox was not delivered: %s", error.message)
        return result

    def reach(self, call: Callable[[], T]) -> T:
        """Make a call; if this machine's own hub does not run, start it first."""
        try:
            return call()
        except Unreachable as error:
            if is_refused(error) and self.away_hint is not None:
                error.hint = self.away_hint
            if self.start_hub is None or not is_refused(error) or not self.start_hub():
                raise
        return call()

    def send(self, fields: dict[str, Any]) -> Posted:
        """Send a message, or keep it in the outbox: when the hub is away, or when earlier messages
        still wait.
        """
        if self.outbox is None:
            return self.call(lambda: sending.post(self.calls, fields))
        try:
            self._deliver_first()
            if any(entry.is_for(*self.settings.place) for entry in self.outbox.entries()):
                return self._queue(self.outbox, fields, "what was posted before it still waits")
            return self.call(lambda: sending.post(self.calls, fields))
        except (Unreachable, Unavailable) as error:
            return self._queue(self.outbox, fields, error.message)

    def flush(self, *, wait_s: float = 0, any_hub: bool = False) -> int:
        """Deliver what waits in the outbox, in order; return how many messages the hub took.

        Raises BusError.
        """
        if self.outbox is None or self.outbox.is_empty():
            return 0
        outbox = self.outbox
        url, user, via = self.settings.place
        return outbox.deliver(
            url,
            user,
            lambda drafts: self.reach(lambda: delivery.deliver(self.calls, drafts)),
            via,
            wait_s=wait_s,
            any_hub=any_hub,
            tell=lambda refused: self._tell_refused(outbox, refused),
        )

    def _deliver_first(self) -> None:
        """Deliver what waits before a new message. Trouble with that does not touch the new one."""
        try:
            self.flush(wait_s=_DELIVERY_S)
        except LocalTrouble as error:
            logger.warning("the outbox was not delivered: %s", error.message)
        except HubFailed as error:
            raise Unavailable(error.message) from error

    def _queue(self, outbox: Outbox, fields: dict[str, Any], why: str) -> Posted:
        sending.check_size(fields, why)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        url, user, via = self.settings.place
        outbox.add(url, user, now, fields, via)
        why = why.rstrip(".")
        logger.warning(
            "not sent yet: %s. It is kept in %s and goes out with the next call that succeeds",
            why,
            outbox.path,
        )
        return Posted(fields["client_id"], None, why=why)

    def _tell_refused(self, outbox: Outbox, refused: list[tuple[Entry, dict[str, Any]]]) -> None:
        """Tell the senders of messages that the hub refused."""
        teller = delivery.teller(self.settings.name)
        for notice in delivery.notices(teller, refused, str(outbox.refused_path)):
            try:
                sending.post(self.calls, notice)
            except BusError as error:
                logger.warning("%s could not be told: %s", notice["to"], error.message)

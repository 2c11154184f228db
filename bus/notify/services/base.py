"""What a service is: something outside that takes notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bus.hub.hub import Hub
from bus.model.notices import Notice
from bus.notices.queue import Queue
from bus.notify.rules import Rule
from bus.runner.client import RunnerClient


class Retry(Exception):
    """The service has not taken the notices now; they are sent again.

    `after_s` is what it asked for; None: a pause that grows. `is_unsure`: its answer was lost, so
    it may have taken them. `is_whole`: it takes nothing now, and not only for this target.
    """

    def __init__(
        self,
        reason: str,
        *,
        after_s: float | None = None,
        is_unsure: bool = False,
        is_whole: bool = True,
    ) -> None:
        super().__init__(reason)
        self.after_s, self.is_unsure, self.is_whole = after_s, is_unsure, is_whole


class Refused(Exception):
    """The service will never take these notices: they become dead letters, and the next are
    sent.
    """


@dataclass
class Tools:
    """What services are given: the hub, the queue, the time (`clock` in seconds since 1970), the
    way to the service that runs commands, and an event that is set when the process is to end.
    """

    name: str
    hub: Hub
    queue: Queue
    clock: Callable[[], float]
    runner: RunnerClient | None = None
    stopped: threading.Event = field(default_factory=threading.Event)


def whom(people: Mapping[str, str], target: str) -> tuple[str, str]:
    """Return who is meant by a rule's target, and the address: one of the people of a service, or
    the only one. Raises Refused.
    """
    who = target or (next(iter(people)) if len(people) == 1 else "")
    if who not in people:
        raise Refused(f"the rule's target {who[:40]!r} is none of `people`")
    return who, people[who]


def cut(text: str, most: int, ref: str | None) -> str:
    """Return a text of at most so many characters; if it is longer, with how to read the rest."""
    if len(text) <= most:
        return text
    return f"{text[:most]} …" + (f" (bus read {ref})" if ref else "")


class Service:
    """A service. Subclasses have `send`, and what else differs.

    `secrets` are masked in everything that is said of it. `rules` hold besides those of the
    settings file. `texts` are the people whom it texts by a message's tag,
    where `text_senders` posted it (patterns of names, none for all).
    """

    most_at_once = 1  # notices that `send` may be given
    secrets: Sequence[str] = ()
    rules: Sequence[Rule] = ()
    trouble: str | None = None  # why nothing comes in from it
    texts: Sequence[str] = ()
    text_senders: Sequence[str] = ()

    def send(self, target: str, notices: Sequence[Notice]) -> str | None:
        """Send notices to a target (empty: the service's own), and return what the service calls
        what it made of them, or None. Raises Retry and Refused; anything else counts as Retry.

        With more than one notice, all were sent or none: else give `together` fewer.
        """
        raise NotImplementedError

    def together(self, target: str, notices: Sequence[Notice]) -> int:
        """Return how many of these, from the first, `send` is given at once."""
        return 1

    def ready_in_s(self, target: str) -> float:
        """Return for how many seconds nothing may be sent to a target, by the service's limits."""
        return 0.0

    def listen(self) -> None:
        """Do what the service does besides, until `Tools.stopped`: in a thread of its own."""

    def check(self) -> list[str]:
        """Return lines that say how the service is set up, for `notify --check`; sends nothing.
        A line that tells of trouble begins with `!`.
        """
        return ["nothing to check without sending something"]


class Paced(Service):
    """A service that is given one notice at a time, with `each_s` seconds between two."""

    def __init__(self, tools: Tools, each_s: float) -> None:
        self._tools, self._each_s, self._next = tools, each_s, 0.0

    def ready_in_s(self, target: str) -> float:
        return max(0.0, self._next - self._tools.clock())

    def send(self, target: str, notices: Sequence[Notice]) -> str | None:
        (notice,) = notices
        return self.send_one(target, notice)

    def send_one(self, target: str, notice: Notice) -> str | None:
        """Send a notice: see `send`. Calls `begin` before it does."""
        raise NotImplementedError

    def begin(self) -> None:
        """Have the next notice wait for its time."""
        self._next = self._tools.clock() + self._each_s

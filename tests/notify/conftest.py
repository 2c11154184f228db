"""What the tests of notices share: a hub, a settings file, and the process's parts in this one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import _notify_follower, _notify_parts
from bus.config import Config
from bus.notify.sending import Sender
from tests.conftest import Clock
from tests.notify.webhooks.conftest import Receiver
from tests.web.conftest import Members, open_members


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that notices are sent to."""
    made = Receiver()
    yield made
    made.close()


def write_settings(path: Path, text: str) -> None:
    """Write the settings file of notices, for its owner alone."""
    path.write_text(text)
    os.chmod(path, 0o600)


class Notifying:
    """The service that sends notices, step by step in this process, on the data of `members`."""

    def __init__(self, config: Config, members: Members, text: str) -> None:
        self.members, self._config = members, config
        write_settings(config.notify_file, text)
        self.clock = Clock(time.time())
        self.begin()

    def begin(self) -> None:
        """Start, or start again as after a kill."""
        self.hub, self.settings, tools = _notify_parts(self._config, self.clock)
        self.queue = tools.queue
        self.back = self.queue.recover()
        self.follower = _notify_follower(self._config, self.hub, self.settings, self.queue)
        self.follower.start()
        services = self.settings.services.values()
        self.queue.set_texts({who: s.text_senders for s in services for who in s.texts})
        self.senders = {
            name: Sender(name, service, self.queue, self.clock, lambda: 0.0)
            for name, service in self.settings.services.items()
        }

    def follow(self) -> None:
        """Read the log to its end."""
        while self.follower.is_behind():
            self.follower.step()

    def run(self, rounds: int = 1) -> float:
        """Read the log, and send what may be sent; return when there is more to do (seconds)."""
        self.follow()
        wait_s = 0.0
        for _ in range(rounds):
            wait_s = min(sender.round() for sender in self.senders.values())
        return wait_s

    def later(self, seconds: float) -> None:
        self.clock._stopped_at = self.clock() + seconds

    def until_idle(self, most: int = 5_000) -> float:
        """Send until nothing waits, moving the clock on where there is a pause; return how many
        seconds that took.
        """
        began = self.clock()
        for _ in range(most):
            wait_s = self.run()
            if not any(self.queue.lanes(name) for name in self.senders):
                return self.clock() - began
            self.later(wait_s)
        raise AssertionError("something still waits")

    def listed(self, query: str = "") -> list[dict[str, Any]]:
        """The notices as an admin sees them, oldest first."""
        reply = self.members.admin.get(f"/notices?limit=200{query}")
        assert reply.status_code == 200, reply.json
        return reply.json["notices"][::-1]  # type: ignore[no-any-return]

    def close(self) -> None:
        self.hub.index.close()
        self.hub.presence.close()
        self.hub.log.close()
        self.queue.database.close()


@pytest.fixture
def notifying(config: Config) -> Iterator[Callable[[str], Notifying]]:
    """Starts the service with a settings file; there is a hub with web1, db1 and an admin."""
    opened = open_members(config)
    members = next(opened)
    made: list[Notifying] = []

    def start(text: str) -> Notifying:
        made.append(Notifying(config, members, text))
        return made[-1]

    yield start
    for one in made:
        one.close()
    for _ in opened:
        pass

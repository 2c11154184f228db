"""What admins see of notices, and what they do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bus.errors import NoSuchNotice
from bus.model.notices import TEXT_TAG, Notices, NoticesQuery, Process, ShownNotice
from bus.notices.queue import Queue

_GONE_AFTER_MS = 10_000  # since its last sign of life
OFF, READY, AWAY = "off", "ready", "away"


class NoticeDesk:
    """Shows the queue to the web workers. `settings` is the file without which nothing is sent;
    `last_seq` gives the end of the log.
    """

    def __init__(self, queue: Queue, settings: Path, last_seq: Callable[[], int]) -> None:
        self._queue, self._settings, self._last_seq = queue, settings, last_seq

    def process(self) -> Process:
        """Return how the process that sends is."""
        if not self._queue.database.is_there():
            return {"state": AWAY if self._is_set() else OFF, "cursor": 0, "behind": 0}
        beat_ms, _ = self._queue.last_beat()
        cursor = self._queue.cursor()
        seq = 0 if cursor is None else cursor.seq
        is_there = self._queue.now_ms() - beat_ms <= _GONE_AFTER_MS
        if not is_there and not self._is_set():
            return {"state": OFF, "cursor": seq, "behind": 0}
        behind = 0 if cursor is None else max(0, self._last_seq() - seq)
        return {"state": READY if is_there else AWAY, "cursor": seq, "behind": behind}

    def health(self) -> tuple[str, int]:
        """Return whether the process is there (off, ready, away) and how far behind it is. Raises
        nothing: whoever asks how the hub is must not fail over this file.
        """
        try:
            process = self.process()
        except (OSError, sqlite3.Error, ValueError):
            return AWAY, 0
        return process["state"], process["behind"]

    def texting(self, sender: str, tags: Sequence[str]) -> dict[str, str]:
        """Return for each person whom a message's tags ask to text what becomes of it: `ready`,
        `away` (once the process that sends is back), `not_heard` (not from this sender) or
        `nobody` (no SMS is set up for this name). Raises nothing: the message is saved.
        """
        names = [tag.removeprefix(TEXT_TAG) for tag in tags if tag.startswith(TEXT_TAG)]
        if not names:
            return {}
        try:
            people = self._queue.texts() if self._queue.database.is_there() else {}
            state = self.process()["state"]
        except (OSError, sqlite3.Error, ValueError):
            return dict.fromkeys(names, AWAY)
        found = {}
        for name in names:
            senders = people.get(name)
            if senders is None or state == OFF:
                found[name] = "nobody"
            elif not senders or any(fnmatchcase(sender, pattern) for pattern in senders):
                found[name] = state
            else:
                found[name] = "not_heard"
        return found

    def listed(self, asked: NoticesQuery) -> Notices:
        """Return notices, newest first, and how the services are."""
        if not self._queue.database.is_there():
            return {
                "ok": True,
                "notices": [],
                "has_more": False,
                "services": {},
                "process": self.process(),
            }
        notices, has_more = self._queue.listed(asked)
        return {
            "ok": True,
            "notices": notices,
            "has_more": has_more,
            "services": self._queue.services(),
            "process": self.process(),
        }

    def retry(self, id: int) -> ShownNotice:
        """Send a dead letter again; raises NoSuchNotice, NoticeNotDead."""
        if not self._queue.database.is_there():
            raise NoSuchNotice(f"There is no notice {id}.")
        return self._queue.revive(id)

    def _is_set(self) -> bool:
        try:
            return self._settings.exists()
        except OSError:  # it is where this user may not look: somebody has put it there
            return True

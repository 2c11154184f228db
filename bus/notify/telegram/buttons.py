"""Buttons under a question to admins: a random token each, good once, for the very request that was
shown.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from bus.notices.queue import Queue

_KEEP_MS = 2 * 86_400_000


class Button(NamedTuple):
    """What a button stands for: a yes or a no to a question with this hash, in this chat."""

    approval: str
    hash: str
    chat: int
    allow: bool
    is_used: bool


class Buttons:
    """Makes buttons, and finds what one stands for."""

    def __init__(self, service: str, queue: Queue) -> None:
        self._service, self._queue = service, queue

    def make(self, approval: str, hash: str, chat: int, *, only_no: bool) -> dict[str, Any]:
        """Return the buttons of a question, as Telegram takes them. On return they are durable."""
        row, rows = [], []
        for text, allow in (("Allow", True), ("Deny", False)):
            if allow and only_no:
                continue
            token = secrets.token_urlsafe(24)  # 32 characters; 64 bytes are allowed
            row.append({"text": text, "callback_data": token})
            rows.append((token, self._service, approval, hash, chat, allow, self._queue.now_ms()))
        with self._queue.database.changing() as db:
            oldest = self._queue.now_ms() - _KEEP_MS
            db.execute("DELETE FROM buttons WHERE made_ms < ?", (oldest,))
            db.executemany("INSERT INTO buttons VALUES (?, ?, ?, ?, ?, ?, ?, 0)", rows)
        return {"inline_keyboard": [row]}

    def find(self, token: str) -> Button | None:
        """Return what a button stands for; None for one that is not ours, or too old."""
        with self._queue.database.reading() as db:
            row = db.execute(
                "SELECT * FROM buttons WHERE token = ? AND service = ?", (token, self._service)
            ).fetchone()
        if row is None:
            return None
        used = bool(row["used"])
        return Button(row["approval"], row["hash"], row["chat"], bool(row["allow"]), used)

    def use_up(self, approval: str) -> None:
        """Make all buttons of a question worthless."""
        with self._queue.database.changing() as db:
            db.execute(
                "UPDATE buttons SET used = 1 WHERE service = ? AND approval = ?",
                (self._service, approval),
            )

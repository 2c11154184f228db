"""What a worker remembers over restarts: how much it ran today, and what each message started.

    {"day":"2026-02-27","runs":3,"seconds":41.5,"is_said":false,"senders":{"db1":3},
     "conversations":{"db1":"…"},"tries":{"ID":1},"handled":["ID"]}

A run counts before it begins, with all the time that it may take, and is corrected afterwards: a
worker that is killed has used up what it might have used. Days are those of UTC.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from busclient._files import write_private

MOST_TRIES = 3


@dataclass
class Memory:
    """The content of the file."""

    day: str = ""
    runs: int = 0
    seconds: float = 0.0
    is_said: bool = False
    senders: dict[str, int] = field(default_factory=dict)  # runs of the day
    conversations: dict[str, str] = field(default_factory=dict)  # to go on with
    tries: dict[str, int] = field(default_factory=dict)
    handled: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Memory:
        """Return what is remembered, with nothing used of a new day; raises OSError and ValueError
        for a file that cannot be read: a lid that is lost must not be taken for an open one.
        """
        try:
            fields: Any = json.loads(path.read_text())
        except FileNotFoundError:
            fields = {}
        if not isinstance(fields, dict):
            raise ValueError("it holds no object")
        fields.pop("session_id", None)  # of an older version
        try:
            found = cls(**fields)
        except TypeError as error:
            raise ValueError(str(error)) from None
        today = datetime.now(UTC).date().isoformat()
        if found.day != today:
            found.day, found.runs, found.seconds, found.is_said = today, 0, 0.0, False
            found.senders = {}
        return found

    def save(self, path: Path) -> None:
        """Keep it; raises OSError."""
        write_private(path, json.dumps(asdict(self)) + "\n")

    def may_start(self, id: str) -> bool:
        """Return whether this message may start one more run."""
        return id not in self.handled and self.tries.get(id, 0) < MOST_TRIES

    def keep_conversation(self, who: str, id: str | None) -> None:
        """Note the conversation of a sender to go on with; None: there is none. 100 are kept."""
        self.conversations.pop(who, None)
        if id is not None:
            self.conversations[who] = id
        for old in list(self.conversations)[:-100]:
            del self.conversations[old]

    def keep_only(self, unread: set[str]) -> None:
        """Drop what is no longer unread."""
        self.tries = {id: count for id, count in self.tries.items() if id in unread}
        self.handled = [id for id in self.handled if id in unread]

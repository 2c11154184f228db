"""Which name on the bus the Claude Code session has that this process belongs to.

One file for all sessions of a user, `sessions.json` in the state folder. A session is found by
Claude's own process (its number and when it began): that stays the same over `/clear` and
`/compact`, while Claude's session id does not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from busclient._files import write_private
from busclient._places import Places
from busclient._processes import born_of

_ANCESTORS = 12


@dataclass(frozen=True)
class Session:
    """A session of Claude Code: its process, its name on the bus with the lease on it, and the
    conversation that it is in.
    """

    pid: int
    began: str
    name: str
    lease: str
    conversation: str

    def lives(self) -> bool:
        """Return whether its process is still there."""
        return born_of(self.pid) == self.began


class Sessions:
    """The sessions of this user on this machine."""

    def __init__(self, places: Places) -> None:
        self._path = places.state / "sessions.json"

    def of(self, pid: int | None) -> Session | None:
        """Return the session of a process of Claude; None if it is not known."""
        session = None if pid is None else self._read().get(pid)
        return session if session is not None and session.lives() else None

    def keep(self, session: Session) -> None:
        """Note a session; those whose process is gone are forgotten."""
        self._change({session.pid: session}, forgotten=())

    def forget(self, pid: int) -> None:
        """Forget a session that has ended."""
        self._change({}, forgotten=(pid,))

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Let one process at a time register a session."""
        from filelock import FileLock  # noqa: PLC0415

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{self._path}.registering", timeout=2):
            yield

    def _change(self, new: Mapping[int, Session], forgotten: tuple[int, ...]) -> None:
        from filelock import FileLock  # noqa: PLC0415  20 ms, and most hooks change nothing

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=2):
            kept = {
                pid: session
                for pid, session in {**self._read(), **new}.items()
                if pid not in forgotten and (pid in new or session.lives())
            }
            rows = [asdict(session) for session in kept.values()]
            write_private(self._path, json.dumps(rows), durable=False)

    def _read(self) -> dict[int, Session]:
        with suppress(OSError, ValueError, TypeError):
            rows: list[dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
            return {row["pid"]: Session(**row) for row in rows}
        return {}


def claude_process(environ: Mapping[str, str], sessions: Sessions) -> int | None:
    """Return the process of the Claude Code session that this process belongs to.

    Hooks and commands have its number in CLAUDE_PID; of a server it is an ancestor.
    """
    given = environ.get("CLAUDE_PID", "")
    if given.isdigit():
        return int(given)
    pid = os.getppid()
    for _ in range(_ANCESTORS):
        if pid <= 1:
            return None
        if sessions.of(pid) is not None or _is_claude(pid):
            return pid
        pid = _parent(pid)
    return None


def moved(session: Session, conversation: str) -> Session:
    """Return a session in another conversation, as it is after `/clear`."""
    return replace(session, conversation=conversation)


def _is_claude(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "claude"
    return False


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0

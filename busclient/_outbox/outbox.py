"""Messages that wait on this machine for a hub that is away.

`outbox.jsonl` in the state folder, one JSON object a line, oldest first:

    {"key":"01f…","hub":"https://bus.example.org","via":"","user":"claude","queued":"2026-11-20T20:14:27Z","draft":{"from":…,"body":…}}

`via` is the SSH host from which the address is seen so; lines of older clients have none, and go by
the address alone.

`add` returns when the line is on stable storage. Lines are written whole under a lock of its own
(`filelock`), so several shells may add at once; a line torn by a crash is ended, and set aside at
the next delivery. `deliver` sends the lines of this hub in order, a block at a time, and takes them
out when the hub has answered for them; if it dies in between, the lines are sent again under the
same idempotency keys, which the hub answers with the first message. Adding never waits for the
network. What the hub refuses for good goes to `outbox-refused.jsonl` as `{"why":{…},"line":"…"}`,
with the line as it was.

To change the format: add a key; lines of older clients must stay readable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busclient._errors import OutboxFailed
from busclient._files import sync_folder, write_private

if TYPE_CHECKING:
    from filelock import BaseFileLock

Draft = dict[str, Any]
# Sends drafts in order; returns for each its outcome: None when the hub has it, an error's dict
# when refused for good. Fewer outcomes than drafts: the rest was not reached. Raises BusError when
# nothing could be sent.
Send = Callable[[list[Draft]], list[dict[str, Any] | None]]
Tell = Callable[[list[tuple["Entry", dict[str, Any]]]], None]

_LOCK_S = 10.0
_BLOCK = 200
_BLOCK_BYTES = 4 * 1024 * 1024  # half of what the hub takes in one request


@dataclass(frozen=True)
class Entry:
    """One line: a draft that waits, or (`draft` None) something unreadable."""

    line: bytes
    key: str = ""
    hub: str = ""
    user: str = ""
    queued: str = ""
    draft: Draft | None = None
    via: str | None = None
    why: Mapping[str, Any] | None = None  # what the hub said, of one that was set aside

    @classmethod
    def of(cls, line: bytes) -> Entry:
        try:
            fields = json.loads(line)
            key, hub, user, queued = (
                str(fields[name]) for name in ("key", "hub", "user", "queued")
            )
            via = None if fields.get("via") is None else str(fields["via"])
            return cls(line, key, hub, user, queued, dict(fields["draft"]), via)
        except (ValueError, KeyError, TypeError):
            return cls(line)

    def is_for(self, hub: str, user: str, via: str = "") -> bool:
        """Return whether it waits for this user of the hub at this address, as seen from `via`."""
        return (self.hub, self.user) == (hub, user) and self.via in (None, via)


class Outbox:
    """The outbox of one user. Safe for several processes at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "outbox.jsonl"
        self.refused_path = folder / "outbox-refused.jsonl"

    def is_empty(self) -> bool:
        """Return whether nothing waits; costs one `stat`."""
        try:
            return self.path.stat().st_size == 0
        except OSError:
            return True

    def add(self, hub: str, user: str, queued: str, draft: Draft, via: str = "") -> None:
        """Keep a draft (its `client_id` is the key); durable on return. Raises OutboxFailed."""
        fields = {
            "key": draft["client_id"],
            "hub": hub,
            "via": via,
            "user": user,
            "queued": queued,
            "draft": draft,
        }
        line = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock():
                _append(self.path, line)
        except OSError as error:
            raise OutboxFailed(
                f"The hub is away, and {self.path} cannot be written: {error.strerror or error}."
            ) from error

    def entries(self) -> list[Entry]:
        """Return what waits, oldest first; unreadable lines among it. Raises OutboxFailed."""
        return self._read(self.path)

    def refused(self) -> list[Entry]:
        """Return what was set aside, oldest first; unreadable lines among it.

        Raises OutboxFailed.
        """
        return [_set_aside_entry(entry.line) for entry in self._read(self.refused_path)]

    def drop(self, keys: Collection[str], *, refused: bool = False) -> int:
        """Forget messages by their keys; returns how many there were. Raises OutboxFailed."""
        path = self.refused_path if refused else self.path
        with self._changing():
            found = self.refused() if refused else self.entries()
            gone = [entry for entry in found if entry.key in keys]
            self._take_out(gone, path)
        return len(gone)

    def redirect(
        self, keys: Collection[str], hub: str, user: str, via: str = "", *, refused: bool = False
    ) -> int:
        """Let messages wait for this hub and user, behind what waits already; returns how many.

        Raises OutboxFailed.
        """
        with self._changing():
            found = self.refused() if refused else self.entries()
            moved = [entry for entry in found if entry.draft is not None and entry.key in keys]
            for entry in moved:
                self.add(hub, user, entry.queued, dict(entry.draft or {}), via)
            self._take_out(moved, self.refused_path if refused else self.path)
        return len(moved)

    def deliver(
        self,
        hub: str,
        user: str,
        send: Send,
        via: str = "",
        *,
        wait_s: float = 0,
        any_hub: bool = False,
        tell: Tell | None = None,
    ) -> int:
        """Send what waits for this hub and user; returns how many arrived. `tell` hears of those
        that were refused for good.

        0 at once when another process is delivering (or after `wait_s`). Raises what `send` raises,
        and OutboxFailed.
        """
        if self.is_empty():
            return 0
        from filelock import Timeout  # noqa: PLC0415

        try:
            with self._lock("deliver", wait_s):
                return sum(
                    self._blocks(lambda entry: any_hub or entry.is_for(hub, user, via), send, tell)
                )
        except Timeout:
            return 0
        except OSError as error:
            raise OutboxFailed(
                f"{self.path} cannot be changed: {error.strerror or error}.",
                hint="What waits there is kept.",
            ) from error

    def _blocks(
        self, is_ours: Callable[[Entry], bool], send: Send, tell: Tell | None
    ) -> Iterator[int]:
        while True:
            entries = self.entries()
            block = _first_block(
                [entry for entry in entries if entry.draft is not None and is_ours(entry)]
            )
            outcomes = (
                send([entry.draft for entry in block if entry.draft is not None]) if block else []
            )
            refused = [
                (entry, outcome)
                for entry, outcome in zip(block, outcomes, strict=False)
                if outcome is not None
            ]
            refused += [
                (entry, {"error": "unreadable"}) for entry in entries if entry.draft is None
            ]
            self._set_aside(refused)
            self._take_out([entry for entry, _ in refused] + block[: len(outcomes)], self.path)
            if refused and tell is not None:
                tell(refused)
            yield outcomes.count(None)
            if not outcomes or len(outcomes) < len(block):
                return

    def _set_aside(self, refused: list[tuple[Entry, dict[str, Any]]]) -> None:
        if refused:
            lines = [
                json.dumps({"why": why, "line": entry.line.decode(errors="replace")}) + "\n"
                for entry, why in refused
            ]
            _append(self.refused_path, "".join(lines).encode())

    def _take_out(self, gone: list[Entry], path: Path) -> None:
        """Write the file anew without these lines; what was added meanwhile stays.

        When all is gone, it is emptied in place, which works on a full disk as well.
        """
        if not gone:
            return
        lines = {entry.line for entry in gone}
        with self._lock():
            rest = [entry.line for entry in self._read(path) if entry.line not in lines]
            if rest:
                write_private(path, "".join(line.decode(errors="replace") + "\n" for line in rest))
            else:
                os.truncate(path, 0)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep deliveries away meanwhile; raises OutboxFailed."""
        from filelock import Timeout  # noqa: PLC0415

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock("deliver", _LOCK_S):
                yield
        except Timeout:
            raise OutboxFailed(
                "Another process is delivering the outbox.", hint="Try again; nothing was changed."
            ) from None
        except OSError as error:
            raise OutboxFailed(
                f"{self.path} cannot be changed: {error.strerror or error}.",
                hint="What waits there is kept.",
            ) from error

    def _read(self, path: Path) -> list[Entry]:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutboxFailed(f"{path} cannot be read: {error.strerror or error}.") from error
        return [Entry.of(line) for line in data.split(b"\n") if line.strip()]

    @contextmanager
    def _lock(self, what: str = "write", wait_s: float = _LOCK_S) -> Iterator[BaseFileLock]:
        from filelock import FileLock, Timeout  # noqa: PLC0415  40 ms, for an outbox that is nearly always empty

        lock = FileLock(self.path.with_name(f"outbox.{what}.lock"), timeout=wait_s)
        try:
            with lock:
                yield lock
        except Timeout as error:
            if what == "write":
                raise OutboxFailed(
                    f"Another process has held {error.lock_file} for {wait_s:g} s."
                ) from None
            raise


def _set_aside_entry(line: bytes) -> Entry:
    """Return a line of the refused ones, with the line that waited in it read as such."""
    try:
        fields = json.loads(line)
        inner = Entry.of(str(fields["line"]).encode())
        return replace(inner, line=line, why=dict(fields["why"]))
    except (ValueError, KeyError, TypeError):
        return Entry(line)


def _first_block(entries: list[Entry]) -> list[Entry]:
    """Return the first entries that go together into one request: all of one hub's user."""
    block: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.line)
        if block and (len(block) == _BLOCK or size > _BLOCK_BYTES):
            break
        block.append(entry)
    return block


def _append(path: Path, data: bytes) -> None:
    """Add whole lines durably; on a failed write the file is as it was. Raises OSError."""
    is_new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    try:
        size = os.fstat(fd).st_size
        if size:
            os.lseek(fd, size - 1, os.SEEK_SET)
            if os.read(fd, 1) != b"\n":
                data = (
                    b"\n" + data
                )  # a crash tore the last line: end it, so that it cannot spoil this one
        try:
            written = 0
            while written < len(data):
                written += os.write(fd, data[written:])
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)
    if is_new:
        sync_folder(path.parent)

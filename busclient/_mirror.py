"""A folder of markdown files that is kept in step with the briefs of a name, so that `grep`,
editors and git work on the mail.

    DIR/<name>/inbox/     what is unread; a file moves to archive when the brief is acknowledged
    DIR/<name>/archive/   what has been acknowledged
    DIR/<name>/outbox/    what is put there is sent once, and goes to outbox/sent/ or
                          outbox/refused/

A file is whole or not there: it is written under another name beside its place, synced, and
renamed. What is sent is first moved to `outbox/.sending/` under the idempotency key that it is sent
with: a run that takes over after a crash sends it with the same key, and the hub knows it again.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._errors import BusError, LocalTrouble, Unavailable, Unreachable
from busclient._files import as_file_name, sync_folder, write_private
from busclient._http.calls import new_key

_PAGE = 200
_HOLD_S = 30.0
_PAUSE_S = 5.0  # between two looks at the outbox, and after trouble
_SETTLES_S = 1.0  # an editor may still write what is younger
_LONGEST_SLUG = 60
_OF_A_BRIEF = re.compile(r"-([0-9A-HJKMNP-TV-Z]{26})\.md")
_SCRATCH = ".*.md-*"


@dataclass
class Report:
    """What one pass has done: names of files."""

    new: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # and why


class Mirror:
    """Keeps one folder in step, for one name."""

    def __init__(self, bus: Bus, folder: Path, name: str | None = None) -> None:
        self._bus, self._name = bus, name or bus.name
        self.folder = folder.joinpath(*map(as_file_name, self._name.split("/")))
        self.inbox, self.archive = self.folder / "inbox", self.folder / "archive"
        self.outbox = self.folder / "outbox"
        self._sending, self._sent = self.outbox / ".sending", self.outbox / "sent"
        self._refused = self.outbox / "refused"

    def follow(self, tell: Callable[[Report], None], sleep: Callable[[float], None]) -> None:
        """Keep the folder in step until the process is ended; raises BusError and OSError.

        While the hub is away, it goes on trying.
        """
        while True:
            try:
                tell(self.once())
                self._await()
            except (Unreachable, Unavailable):
                sleep(_PAUSE_S)

    def once(self) -> Report:
        """Bring the folder in step; raises BusError, OSError, and LocalTrouble if another process
        is at it.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415

        for folder in (self.inbox, self.archive, self._sending, self._sent, self._refused):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".mirror.lock", timeout=0):
                report = Report()
                self._tidy()
                self._send(report)
                self._receive(report)
                return report
        except Timeout:
            raise LocalTrouble(
                f"Another `bus mirror` keeps {self.folder} in step.",
                hint="One is enough: end it, or use another folder.",
            ) from None

    def _tidy(self) -> None:
        """Remove what a run that was killed has left half written."""
        for folder in (self.inbox, self.archive):
            for scratch in folder.glob(_SCRATCH):
                with suppress(OSError):
                    scratch.unlink()

    # -- receiving -------------------------------------------------------------------------------

    def _receive(self, report: Report) -> None:
        inbox, archive = _files_by_id(self.inbox), _files_by_id(self.archive)
        unread = set()
        for brief in self._briefs(unread_by=self._name, **self._machine()):
            unread.add(brief["id"])
            if brief["id"] in archive:  # its acknowledgement ended with a credential
                self._move(archive[brief["id"]], self.inbox)
            elif brief["id"] not in inbox:
                report.new.append(self._write(self.inbox, brief))
        for id, path in inbox.items():
            if id not in unread:
                report.archived.append(self._move(path, self.archive))
        known = unread | inbox.keys() | archive.keys()
        start = self._place()
        for brief in self._briefs(to=self._name, since=start):
            if brief["id"] not in known:
                report.archived.append(self._write(self.archive, brief))
            start = brief["seq"]
        self._keep_place(start)

    def _machine(self) -> dict[str, int]:
        return {"machine": 1} if "/" in self._name else {}

    def _briefs(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """Yield briefs, oldest first."""
        since = asked.pop("since", 0)
        while True:
            page = self._get(since=since, limit=_PAGE, **asked)
            yield from page["messages"]
            if not page["has_more"]:
                return
            since = page["next"]

    def _get(self, *, wait_s: float = 0, **asked: Any) -> dict[str, Any]:
        params = {**asked, **({"wait": wait_s} if wait_s else {})}
        return self._bus._connection.get("/briefs", params, wait_s=wait_s)

    def _await(self) -> None:
        """Return when there may be something to do: mail, an acknowledgement, a file to send."""
        ends = time.monotonic() + _HOLD_S
        newest = self._get(unread_by=self._name, order="desc", limit=1, **self._machine())
        since = max((brief["seq"] for brief in newest["messages"]), default=0)
        while time.monotonic() < ends:
            asked = {"unread_by": self._name, "since": since, "limit": 1, **self._machine()}
            if self._get(wait_s=_PAUSE_S, **asked)["messages"] or any(self._to_send()):
                return

    def _write(self, folder: Path, brief: Mapping[str, Any]) -> str:
        """Write a brief as the file that it was; return its name."""
        path = folder / file_name(brief)
        write_private(path, self._bus.briefs.markdown(brief["id"]))
        return path.name

    def _move(self, path: Path, folder: Path) -> str:
        os.replace(path, folder / path.name)
        for changed in (folder, path.parent):
            sync_folder(changed)
        return path.name

    def _place(self) -> int:
        """Return the seq up to which acknowledged briefs are in the archive."""
        with suppress(OSError, ValueError):
            return int((self.folder / ".archived-to").read_text())
        return 0

    def _keep_place(self, seq: int) -> None:
        if seq != self._place():
            write_private(self.folder / ".archived-to", str(seq))

    # -- sending ---------------------------------------------------------------------------------

    def _to_send(self) -> Iterator[Path]:
        """Yield the files in the outbox that nobody writes any more."""
        for path in sorted(self.outbox.glob("*.md")):
            with suppress(OSError):
                is_settled = not 0 <= time.time() - path.stat().st_mtime < _SETTLES_S
                if path.is_file() and not path.name.startswith(".") and is_settled:
                    yield path

    def _send(self, report: Report) -> None:
        for path in self._to_send():
            os.replace(path, self._sending / f"{new_key()}--{path.name}")
        sync_folder(self._sending)
        for path in sorted(self._sending.iterdir()):
            key, _, name = path.name.partition("--")
            self._send_one(path, key, name or path.name, report)

    def _send_one(self, path: Path, key: str, name: str, report: Report) -> None:
        headers = {"Content-Type": "text/markdown", "Idempotency-Key": key}
        data = path.read_bytes()
        try:
            self._bus._connection.reach(
                lambda: self._bus._calls.send("POST", "/briefs", data=data, headers=headers)
            )
        except (Unreachable, Unavailable):
            raise
        except BusError as error:
            if error.status is None or error.status >= 500 or error.status in (401, 403, 429):
                raise  # not the file's fault: it stays, and is sent when that has passed
            why = f"{error.message}\n" + (f"{error.hint}\n" if error.hint else "")
            write_private(self._refused / f"{name}.why", why)
            self._put(path, self._refused / name)
            report.refused.append((name, error.message))
            return
        self._put(path, self._sent / name)
        report.sent.append(name)

    def _put(self, path: Path, target: Path) -> None:
        """Move a file; beside one of the same name, under its key."""
        if target.exists():
            target = target.with_name(path.name)
        os.replace(path, target)
        sync_folder(target.parent)
        sync_folder(path.parent)


def file_name(brief: Mapping[str, Any]) -> str:
    """Return the name of a brief's file: `2026-03-24-deploy-blocker-<id>.md`."""
    front = brief.get("brief") or {}
    said = str(front.get("date") or "")
    date = said[:10] if re.fullmatch(r"\d{4}-\d\d-\d\d", said[:10]) else str(brief["ts"])[:10]
    slug = _slug(str(front.get("title") or brief["body"][:200].strip().partition("\n")[0]))
    return "-".join(filter(None, (date, slug, brief["id"]))) + ".md"


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-")


def _files_by_id(folder: Path) -> dict[str, Path]:
    found = {}
    for path in folder.iterdir():
        match = _OF_A_BRIEF.search(path.name)
        if match and not path.name.startswith("."):
            found[match[1]] = path
    return found

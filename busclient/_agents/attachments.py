"""Files that go with messages: `bus.send_file`, `bus.get_file`. `docs/files.md` is the hub's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from busclient._connection import Connection
from busclient._errors import (
    BadAnswer,
    BusError,
    Conflict,
    LocalTrouble,
    NotFound,
    Unavailable,
    Unreachable,
)
from busclient._files import write_private
from busclient._http.calls import Patience
from busclient._http.transport import Broken
from busclient._http.trouble import hinted, unreachable
from busclient._messages import sending
from busclient._messages.message import Attachment, Message, Posted

Progress = Callable[[str, int, int], None]  # a file's name, its bytes so far, and all of them

_SMALLEST, _LARGEST = 1 << 20, 8 << 20  # bytes of a part: as many as go in a second or two
_READ = 1 << 20
# Of one part; the rest of the patience is here, because the hub is asked first where it is.
_PART = Patience(read_s=60, total_s=180, attempts=1)
_POST = Patience(read_s=600, total_s=660)  # the hub reads a large file once more
_IDLE_S = 60.0
_GIVE_UP_S, _PAUSE_S = 120.0, 0.5  # without a byte that came through
_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


class Attachments:
    """Sends and fetches files over one connection. `progress` is told how far each is."""

    def __init__(
        self, connection: Connection, sleep: Callable[[float], None], progress: Progress | None
    ) -> None:
        self._connection, self._calls, self._sleep = connection, connection.calls, sleep
        self._progress: Progress = progress or (lambda name, done, size: None)

    # -- sending ---------------------------------------------------------------------------------

    def send(
        self, paths: Sequence[Path], fields: Mapping[str, Any], remember: Path | None
    ) -> Posted:
        """Post a message with files, each sent in parts; what breaks goes on. Raises BusError,
        OSError.

        `remember` is a folder of notes by which another process goes on with the same files.
        """
        uploads = [_Upload(self, path, remember) for path in paths]
        ids = [upload.send() for upload in uploads]
        asked = {**fields, "uploads": ids}
        reply = self._connection.reach(
            lambda: self._calls.json("POST", "/files", json=asked, patience=_POST)
        )
        for upload in uploads:
            upload.forget()
        return sending.posted(fields["client_id"], reply)

    def begin(self, name: str, size: int, sum: str) -> str:
        """Return the id of a new upload."""
        about = {"name": name, "size": size, "sha256": sum}
        return str(self._connection.post("/uploads", about)["id"])

    def offset(self, id: str) -> int:
        """Return how much of an upload is there; raises NotFound."""
        return int(self._connection.get(f"/uploads/{id}")["offset"])

    def part(self, id: str, offset: int, data: bytes) -> int:
        """Send a part; return how much is there then. Raises Conflict, Unavailable, Unreachable."""
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        reply = self._calls.json(
            "PATCH", f"/uploads/{id}", data=data, headers=headers, patience=_PART
        )
        return int(reply["offset"])

    def told(self, name: str, done: int, size: int) -> None:
        """Tell how far a file is."""
        self._progress(name, done, size)

    def pause(self, error: BusError, last: float, tries: int) -> None:
        """Wait a little after passing trouble; raises it again when nothing has come through for
        too long since `last` (monotonic).
        """
        if time.monotonic() - last > _GIVE_UP_S or not is_passing(error):
            raise error
        self._sleep(min(_PAUSE_S * 2**tries, 8.0))

    # -- fetching --------------------------------------------------------------------------------

    def get(self, message: Message, folder: Path, *, force: bool) -> list[Path]:
        """Fetch the files of a message into a folder, which is made; return where they are.

        One that is there already with the same content is left alone. Raises NotFound,
        LocalTrouble, BusError, OSError.
        """
        if not message.attachments:
            raise NotFound(f"The message {message.seq} has no files.", hint="See `bus read`.")
        folder.mkdir(parents=True, exist_ok=True)
        names = local_names([one.name for one in message.attachments])
        return [
            self._get(one, folder / name, force=force)
            for one, name in zip(message.attachments, names, strict=True)
        ]

    def _get(self, one: Attachment, place: Path, *, force: bool) -> Path:
        if place.exists() or place.is_symlink():
            if place.is_file() and place.stat().st_size == one.size and sum_of(place) == one.sha256:
                return place
            if not force:
                raise LocalTrouble(
                    f"{place} is there already, and is another file.",
                    hint="--force replaces it; -o DIR puts the files elsewhere.",
                )
        part = place.with_name(f".bus-{one.sha256[:32]}.part")
        last, tries = time.monotonic(), 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                self._fetch(one, part)
                break
            except (Unreachable, Unavailable) as error:
                if part.exists() and part.stat().st_size > before:
                    last, tries = time.monotonic(), 0
                self.pause(error, last, tries)
                tries += 1
            except BusError:
                with contextlib.suppress(OSError):
                    if part.stat().st_size == 0:  # such as one that has expired
                        part.unlink()
                raise
        if sum_of(part) != one.sha256:
            part.unlink()
            raise BadAnswer(
                f"What came for {one.name!r} has another sum than the hub has said. It is removed.",
                hint="Get it again.",
            )
        _settle(part, place, force=force)
        return place

    def _fetch(self, one: Attachment, part: Path) -> None:
        """Bring a part to its end; what has come stays when it breaks."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(part, flags, 0o666), "r+b") as file:
            done = file.seek(0, os.SEEK_END)
            if done > one.size:
                done = 0
                file.truncate(0)
                file.seek(0)
            if done < one.size:
                self._receive(one, file, done)
            file.flush()
            os.fsync(file.fileno())

    def _receive(self, one: Attachment, file: Any, done: int) -> None:
        ranged = {"Range": f"bytes={done}-"} if done else {}
        request = self._calls.request(
            "GET", f"/files/{one.id}", headers={"Accept": "*/*", **ranged}
        )
        settings = self._connection.settings
        try:
            with self._calls.transport().send(
                request, self._calls.patience.connect_s, _IDLE_S
            ) as answer:
                if answer.status not in (200, 206):
                    raise hinted(settings, self._calls.error_of(answer))
                if answer.status == 200 and done:  # the hub gives all of it
                    done = 0
                    file.truncate(0)
                    file.seek(0)
                for data in answer.chunks(live=False):
                    file.write(data)
                    done += len(data)
                    self.told(one.name, done, one.size)
        except Broken as error:
            raise unreachable(settings, error) from error
        if done != one.size:
            raise BadAnswer(f"{done} of {one.size} bytes of {one.name!r} came.", hint="Try again.")


class _Upload:
    """One file on its way."""

    def __init__(self, files: Attachments, path: Path, remember: Path | None) -> None:
        self._files, self._path, self.size = files, path, path.stat().st_size
        self._sum = sum_of(path)
        about = json.dumps([files._connection.settings.place, str(path.resolve()), self._sum])
        name = sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._note = None if remember is None else remember / f"{name}.json"

    def send(self) -> str:
        """Send all of it; return the id of the upload."""
        id, offset = self._begun()
        length, last, tries = _SMALLEST, time.monotonic(), 0
        self._files.told(self._path.name, offset, self.size)
        with self._path.open("rb") as file:
            while offset < self.size:
                file.seek(offset)
                data = file.read(length)
                if not data:
                    raise LocalTrouble(
                        f"{self._path} has become shorter while it was sent.", hint="Send it again."
                    )
                began = time.monotonic()
                try:
                    offset = self._files.part(id, offset, data)
                except Conflict as error:
                    if error.code != "wrong_offset":
                        raise
                    offset = int(error.details["offset"])
                except NotFound:
                    self.forget()
                    id, offset = self._begun()
                except (Unreachable, Unavailable) as error:
                    self._files.pause(error, last, tries)
                    tries, length = tries + 1, _SMALLEST
                    continue
                else:
                    last, tries = time.monotonic(), 0
                    is_fast = last - began < 1
                    length = min(2 * length, _LARGEST) if is_fast else max(length // 2, _SMALLEST)
                self._files.told(self._path.name, offset, self.size)
        return id

    def forget(self) -> None:
        """Remove the note: the file is sent."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)

    def _begun(self) -> tuple[str, int]:
        """Return the upload to go on with, and how much of it is there; a new one if there is
        none.
        """
        if self._note is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, NotFound):
                id = str(json.loads(self._note.read_text())["id"])
                return id, self._files.offset(id)
        id = self._files.begin(self._path.name, self.size, self._sum)
        if self._note is not None:
            write_private(self._note, json.dumps({"id": id}), durable=False)
        return id, 0


def is_passing(error: BusError) -> bool:
    """Return whether the same may succeed in a moment: the hub is away, or a request of before
    still ends.
    """
    if isinstance(error, BadAnswer):
        return False
    if error.code == "rate_limited":
        return True
    return isinstance(error, Unreachable) or error.status in (408, 409, 502, 503, 504, None)


def sum_of(path: Path) -> str:
    """Return the SHA-256 of a file; raises OSError."""
    found = sha256()
    with path.open("rb") as file:
        while data := file.read(_READ):
            found.update(data)
    return found.hexdigest()


def local_names(names: Sequence[str]) -> list[str]:
    """Return names under which files of others can be kept in a folder of any system: none leads
    out of it, is hidden, is a device of Windows, or is there twice.
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        safe = _UNSAFE.sub("_", name).rstrip(". ") or "_"
        if safe[0] in ".-~ " or _WINDOWS.match(safe):
            safe = f"_{safe.lstrip('. ')}"
        stem, dot, ending = safe.rpartition(".")
        stem, ending = (stem, dot + ending) if stem and len(ending) < 16 else (safe, "")
        for number in count(1):
            more = "" if number == 1 else f" ({number})"
            room = 240 - len((more + ending).encode())
            made = stem.encode()[:room].decode("utf-8", "ignore") + more + ending
            if made.casefold() not in taken:
                break
        taken.add(made.casefold())
        found.append(made)
    return found


def _settle(part: Path, place: Path, *, force: bool) -> None:
    """Give a file that is whole its name; raises LocalTrouble if that was taken meanwhile."""
    if force:
        os.replace(part, place)
        return
    try:
        os.link(part, place)
    except FileExistsError:
        raise LocalTrouble(
            f"{place} is there already, and is another file.", hint="--force replaces it."
        ) from None
    except OSError:  # a file system without links
        os.rename(part, place)
        return
    part.unlink()

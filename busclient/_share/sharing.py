"""Sharing a file: up to its place, whole, under its sum. And fetching one: down, checked."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._share.carrier import Carrier
from busclient._share.folder import Folder, name_whole_file
from busclient._share.places import Place
from busclient._share.pointer import Pointer, allowed_place, clean_name, type_of
from busclient._share.rclone import Rclone
from busclient._share.sftp import Sftp

_CARRIERS: dict[str, Callable[[Place], Carrier]] = {"dir": Folder, "scp": Sftp, "rclone": Rclone}


def share(source: Path, place: Place) -> Pointer:
    """Put a file to a place and return the pointer to it; the same file again is put once.

    Raises LocalTrouble: then nothing of it is there under its name.
    """
    before = _state(source)
    name = clean_name(source.name)
    pointer = Pointer(name, before[0], sum_of(source), type_of(name), str(place))
    carrier = _carrier(place)
    scratch = f".{pointer.file}.{secrets.token_hex(6)}.part"
    try:
        carrier.upload(source, scratch)
        if _state(source) != before:
            raise LocalTrouble(f"{source} has changed while it was read.", hint="Share it again.")
        carrier.publish(scratch, pointer.file)
    except BaseException as error:
        carrier.remove(scratch)
        if not isinstance(error, LocalTrouble) or not _is_there(carrier, pointer):
            raise
    return pointer


def fetch(pointer: Pointer, allowed: list[Place], folder: Path) -> Path:
    """Fetch a file into a folder, under its own name there, and return where it is.

    It appears when it is whole and its sum is right; a file that is there already is never
    replaced, and the same one is not fetched again. Raises SettingsError for a place that is not
    allowed, LocalTrouble for all else.
    """
    place = allowed_place(pointer, allowed)
    target = folder / pointer.name
    if target.exists() or target.is_symlink():
        if target.is_file() and _is_it(target, pointer):
            return target
        raise LocalTrouble(
            f"{target} is there already, with other content.", hint="Give another folder with -o."
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".bus-get-", dir=folder) as scratch:
            if shutil.disk_usage(scratch).free < pointer.size:
                raise LocalTrouble(
                    f"{folder} has no room for {pointer.size:,} bytes.",
                    hint="Make room, or give another folder with -o.",
                )
            _fetched(_carrier(place), pointer, Path(scratch, "file"))
            name_whole_file(Path(scratch, "file"), target)
    except OSError as error:
        raise LocalTrouble(f"{target} cannot be written: {error.strerror or error}.") from error
    return target


def sum_of(file: Path) -> str:
    """Return the SHA-256 of a file; raises LocalTrouble."""
    found = sha256()
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                found.update(chunk)
    except OSError as error:
        raise LocalTrouble(f"{file} cannot be read: {error.strerror or error}.") from error
    return found.hexdigest()


def _carrier(place: Place) -> Carrier:
    return _CARRIERS[place.scheme](place)


def _state(file: Path) -> tuple[int, int, int]:
    """Return what changes when a file does; raises LocalTrouble for what is none."""
    try:
        found = file.stat()
    except OSError as error:
        raise LocalTrouble(f"{file} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise LocalTrouble(f"{file} is not a file.", hint="For a folder: tar or zip it first.")
    return found.st_size, found.st_mtime_ns, found.st_ino


def _fetched(carrier: Carrier, pointer: Pointer, target: Path) -> None:
    carrier.fetch(pointer.file, target, pointer.size)
    if not _is_it(target, pointer):
        raise LocalTrouble(
            f"{pointer.via} has another file in the place of {pointer.name}: its size or its sum"
            " is not that of the message. It was thrown away.",
            hint="Ask the sender to share it again.",
        )
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _is_it(file: Path, pointer: Pointer) -> bool:
    return file.stat().st_size == pointer.size and sum_of(file) == pointer.sha256


def _is_there(carrier: Carrier, pointer: Pointer) -> bool:
    """Return whether the file was shared there before; its sum is looked at, not only its name."""
    with tempfile.TemporaryDirectory(prefix="bus-share-") as scratch:
        try:
            _fetched(carrier, pointer, Path(scratch, "file"))
        except (LocalTrouble, OSError):
            return False
    return True

"""Files of a target, read and written by a script inside it: the hub itself opens none of them."""

from __future__ import annotations

import re
import secrets
import threading
from contextlib import nullcontext
from hashlib import sha256
from typing import NoReturn, Protocol

from bus.errors import (
    BusError,
    FileChanged,
    FileRefused,
    NoSuchFile,
    NoSuchFolder,
    NotAFile,
    PathMoved,
    TargetFailed,
    TooLarge,
)
from bus.runner.drivers import scripts
from bus.runner.drivers.base import Ended, File, OnOutput, Printed, Run, Write
from bus.runner.drivers.process import text

# Exit codes of read.sh and write.sh.
_NOT_ONE, _REFUSED, _TOO_LARGE, _NO_FOLDER, _CHANGED, _MOVED = range(11, 17)
_HEADER = 200
_TYPES = ("folder", "fifo", "socket", "device", "other", "link")
# What a target says of a file: it may say anything, and the hub's numbers have 64 bits.
_SIZE = re.compile(r"[0-9]{1,19}")
_FACTS = re.compile(rb"(\d{1,19}) (0?[0-7]{1,4}) (\d{1,10}) (\d{1,10})")
_SUM = re.compile(r"[0-9a-f]{64}|")


# Of two conditional writers of one path the second waits, also where the target has no flock
# (busybox).
_locks = [threading.Lock() for _ in range(64)]


class Runs(Protocol):
    """What runs programs in a target."""

    def exec(self, target: str, run: Run, on_output: OnOutput | None = None) -> Ended: ...


def resolve(driver: Runs, target: str, path: str, timeout_s: float) -> str:
    """Do what `Driver.resolve` says."""
    ended = _looked(driver, target, path, _run(scripts.REAL, path, timeout_s=timeout_s))
    told = ended.stdout.data.decode("utf-8", "replace").removesuffix("\n")
    if ended.exit_code != 0:
        _refuse(ended, target, path, told.partition("\n")[0], 0)
    if not told.startswith("/") or not told.isprintable() or "\ufffd" in told:
        raise FileRefused(
            f"{path} in {target} leads to a path that cannot be shown: {told[:200]!r}"
        )
    return told


def read(
    driver: Runs,
    target: str,
    path: str,
    offset: int,
    limit: int,
    max_size: int,
    timeout_s: float,
    place: str = "",
    real: str | None = None,
) -> File:
    """Do what `Driver.read` says; `place` is the path to open, if it is not the one in messages.

    A file of at most `max_size` bytes comes over whole, even for a part of it, so that `sha256` and
    `size` are of the very bytes that the part is from. Of a larger file only the part comes.
    """
    numbers = str(max_size), real or "", str(offset), str(limit)
    run = _run(
        scripts.READ, place or path, *numbers, timeout_s=timeout_s, cap=max_size + 1 + _HEADER
    )
    ended = _looked(driver, target, path, run)
    first, _, content = ended.stdout.data.partition(b"\n")
    if ended.exit_code != 0:
        _refuse(ended, target, path, first.decode("utf-8", "replace"), max_size)
    size, mode, uid, gid = _facts(target, first)
    if size > max_size:
        if len(content) != max(0, min(limit, size - offset)):
            raise FileRefused(f"{path} in {target} changed while it was read.")
        return File(content, size, None, mode, uid, gid)
    if len(content) > max_size:
        raise _too_large(path, max(size, len(content)), max_size)
    return File(
        content[offset : offset + limit], len(content), sha256(content).hexdigest(), mode, uid, gid
    )


def write(driver: Runs, target: str, write: Write, timeout_s: float, place: str = "") -> File:
    """Do what `Driver.write` says; `place` as in `read`.

    A link to a file stays a link: the file that it leads to is replaced. The new file has neither
    the access lists nor the other names (hard links) of the old one.
    """
    size, digest, new = (
        len(write.content),
        sha256(write.content).hexdigest(),
        f".bus-{secrets.token_hex(8)}.part",
    )
    mode = "" if write.mode is None else f"{write.mode:o}"
    owner = ["" if number is None else str(number) for number in (write.uid, write.gid)]
    old = "-" if write.if_sha256 is None else write.if_sha256
    run = _run(
        scripts.WRITE, place or write.path, new, str(size), digest, mode, *owner, old,
        "1" if write.create_dirs else "", write.real or "",
        timeout_s=timeout_s, stdin=write.content,
    )  # fmt: skip
    with (
        nullcontext()
        if write.if_sha256 is None
        else _locks[hash((target, place or write.path)) % len(_locks)]
    ):
        ended = driver.exec(target, run)
    first = ended.stdout.data.partition(b"\n")[0]
    if ended.exit_code is None:
        raise _unwritten(
            driver,
            target,
            write.path,
            ended,
            _run(scripts.CLEAN, place or write.path, new, timeout_s=timeout_s),
        )
    if ended.exit_code != 0:
        _refuse(ended, target, write.path, first.decode("utf-8", "replace"), 0)
    _, mode_now, uid, gid = _facts(target, first)
    return File(b"", size, digest, mode_now, uid, gid)


def _run(
    script: str, *arguments: str, timeout_s: float, stdin: bytes = b"", cap: int = 1 << 16
) -> Run:
    return Run(
        ("/bin/sh", "-c", script, "sh", *arguments),
        secrets.token_hex(16),
        timeout_s,
        stdin=stdin,
        printed=Printed(cap),
    )


def _looked(driver: Runs, target: str, path: str, run: Run) -> Ended:
    """Return how a script that changes nothing ended; raises why it did not come to its end."""
    ended = driver.exec(target, run)
    if ended.exit_code is not None:
        return ended
    if ended.lost:
        hint = "Reading changes nothing: make the same call again."
        raise TargetFailed(f"{path} in {target} could not be read: {ended.lost}", hint=hint)
    if ended.is_unreached:  # then the target says best why: it is frozen, for one
        driver.exec(target, _run("exit", timeout_s=run.timeout_s))
    raise _too_slow(path, target, "read", ended)


def _unwritten(driver: Runs, target: str, path: str, ended: Ended, clean: Run) -> BusError:
    """Return the error for a write that was ended before its own end.

    Only if the new file could be removed is it certain that nothing was written. A driver's own
    error would not do, because some say that nothing was done, while a frozen target goes on
    writing when it is thawed.
    """
    why = ended.lost or f"it took more than {ended.duration_ms / 1000:.0f} s"
    try:
        is_removed = driver.exec(target, clean).stdout.data == b"removed\n"
    except BusError as error:
        return TargetFailed(
            f"Nobody knows whether {path} in {target} was, or still will be, written: {why};"
            f" {error.message}"
        )
    if not is_removed:
        return TargetFailed(f"Nobody knows whether {path} in {target} was written: {why}")
    if ended.lost:
        hint = "Nothing was written. Write it again, under another idempotency key."
        return TargetFailed(f"{path} in {target} was not written: {why}", hint=hint)
    return _too_slow(path, target, "written", ended)


def _too_slow(path: str, target: str, done: str, ended: Ended) -> FileRefused:
    hint = "Its disk is slow, or it has too much to do. Nothing was written."
    return FileRefused(
        f"{path} in {target} could not be {done} within {ended.duration_ms / 1000:.0f} s.",
        hint=hint,
    )


def _facts(target: str, line: bytes) -> tuple[int, int, int, int]:
    if found := _FACTS.fullmatch(line):
        size, uid, gid = int(found[1]), int(found[3]), int(found[4])
        if size < 1 << 63 and max(uid, gid) < 1 << 32:
            return size, int(found[2], 8), uid, gid
    raise _nonsense(target, line.decode("utf-8", "replace"))


def _refuse(ended: Ended, target: str, path: str, what: str, limit: int) -> NoReturn:
    """Raise what the script's exit code says; `what` is the first line of its stdout."""
    code, words = ended.exit_code, text(ended.stderr.data)
    if code == _NOT_ONE and what == "missing":
        raise NoSuchFile(f"There is no file {path} in {target}.")
    if code == _NOT_ONE and what == "refused":
        raise FileRefused(f"{path} in {target} may not be looked at.")
    if code == _NOT_ONE and what in _TYPES:
        raise NotAFile(f"{path} in {target} is not a regular file but of type {what}.", type=what)
    size = what.partition(" ")[0]
    if code == _TOO_LARGE and _SIZE.fullmatch(size) and int(size) < 1 << 63:
        raise _too_large(path, int(size), limit)
    if code == _NO_FOLDER:
        raise NoSuchFolder(f"There is no folder for {path} in {target}.")
    if code == _CHANGED and _SUM.fullmatch(what):
        raise FileChanged(
            f"{path} in {target} is not the file that if_sha256 names.", sha256=what or None
        )
    if code == _MOVED:
        raise PathMoved(f"{path} in {target} leads elsewhere than it did when an admin said yes.")
    if code in (_NOT_ONE, _TOO_LARGE, _CHANGED):
        raise _nonsense(target, what)
    raise FileRefused(f"{target} refused {path}: {words or 'no reason given'}")


def _nonsense(target: str, line: str) -> TargetFailed:
    return TargetFailed(f"{target} said of a file what no file can be: {text(line[:200].encode())}")


def _too_large(path: str, size: int, limit: int) -> TooLarge:
    hint = f"At most {limit} bytes come at once: give `offset` and `limit` for a part of it."
    return TooLarge(
        f"{path} has {size} bytes; {limit} are the most.", hint=hint, size=size, limit=limit
    )

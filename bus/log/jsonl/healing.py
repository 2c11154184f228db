"""What a start does to the files of a log, and what is done to the bytes that a fault left behind.

Bytes that are no whole line are copied to `quarantine/` and covered in place by a filler line of
the same length, so that the file stays valid for `jq` and never shrinks. A damaged line with good
lines behind it is left as it is: it was acknowledged once, and is evidence.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from bus.errors import StorageFailed
from bus.log.jsonl import files
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.locks import Mark, SharedState
from bus.model import records
from bus.model.records import Record
from bus.system import modes, transient

logger = logging.getLogger("bus.log")

# A power cut can only tear what was not synced: at most one block of each worker, 8 MiB, four times
# over.
_CHECKED_AT_START = 32 << 20
_BACKWARDS = 256 << 10


def is_begun(folder: Path, state: SharedState) -> bool:
    """Return whether the shared numbers speak of the file that is there now."""
    try:
        return state.is_current() and os.stat(folder / files.ACTIVE).st_ino == state.inode
    except FileNotFoundError:
        return False


def begin(folder: Path, state: SharedState, disk: Disk) -> None:
    """Make the files fit for use and set the shared numbers. Append and sync lock held.

    Runs once after each boot of the machine, and when the active file was put there by other hands.
    """
    _refuse_a_missing_log(folder, state)
    _finish_sealing(folder, disk)
    active = files.OpenFile(folder / files.ACTIVE, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    torn = heal_tail(folder, max(0, active.size() - _CHECKED_AT_START), active.size(), disk)
    if torn:
        logger.warning(
            "%d torn bytes at the end of the log were set aside: no acknowledged message was among"
            " them",
            torn,
        )
    size = active.size()
    last, first = last_line(folder, size), first_line(folder)
    segment = first["seq"] if first is not None else (last["seq"] if last else 0) + 1
    disk.sync(active.fd)
    disk.sync_folder(folder)
    state.inode = active.inode()
    state.written = state.synced = Mark(segment, size, last["seq"] if last else 0)
    state.failed = 0 if not state.is_current() else state.failed
    state.begin()


def _refuse_a_missing_log(folder: Path, state: SharedState) -> None:
    """An empty log in the place of one that went missing would give its seqs again, and take the
    index with it.
    """
    known = state.written.seq if state.is_ours() else 0
    if not (folder / files.ACTIVE).exists() and (known or files.sealed(folder)):
        raise StorageFailed(
            f"{folder / files.ACTIVE} is missing, and {known or 'many'} records were in the log.",
            hint=(
                "Put it back: from a backup, or from `quarantine`. To begin an empty log, move the"
                " whole data folder away."
            ),
        )


def heal_tail(folder: Path, start: int, end: int, disk: Disk) -> int:
    """Cover what is no line in the last bytes of the active file; returns how many bytes that were.

    `start` may be inside a line when the file is longer than what is checked; that line is not
    judged. Covered are: a tail without a newline, lines with NUL bytes in them (blocks that never
    reached the disk), and the damaged lines behind the last good one.
    """
    if start >= end:
        return 0
    file = files.OpenFile(folder / files.ACTIVE)
    bad: list[tuple[int, int]] = []
    unproven: list[tuple[int, int]] = []
    at, skip = start, start > 0 and os.pread(file.fd, 1, start - 1) != b"\n"
    for line in file.lines(start, end):
        span, at = (at, line.end), line.end
        if skip and line.whole:
            skip = False
        elif not line.whole or b"\0" in line.data:
            bad.append(span)
        elif not records.is_filler(line.data):
            if _is_good(line.data):
                unproven = []
            else:
                unproven.append(span)
    spans = sorted(bad + unproven)
    for low, high in spans:
        _set_aside(folder, os.pread(file.fd, high - low, low), low)
        cover(folder, low, high, "torn", disk)
    return sum(high - low for low, high in spans)


def cover(folder: Path, start: int, end: int, reason: str, disk: Disk) -> None:
    """Overwrite these bytes of the active file by one filler line; raises OSError."""
    if start >= end:
        return
    # Not through the append descriptor: Linux ignores the offset there.
    fd = os.open(folder / files.ACTIVE, os.O_WRONLY | os.O_CLOEXEC)
    try:
        text, at = records.filler(end - start, reason), start
        while at < end:
            at += disk.overwrite(fd, text[at - start :], at)
    finally:
        os.close(fd)


def last_line(folder: Path, size: int) -> Record | None:
    """Return the last good record at or before offset `size` of the active file, or of the files
    before it.
    """
    file = files.OpenFile(folder / files.ACTIVE)
    reach = _BACKWARDS
    while True:
        start = max(0, size - reach)
        found = _last_good(list(file.lines(start, size)), start > 0)
        if found is not None:
            return found
        if start == 0:
            break
        reach *= 8
    for path in reversed(files.sealed(folder).values()):
        found = _last_good(list(files.sealed_lines(path, 0)), False)
        if found is not None:
            return found
    return None


def first_line(folder: Path) -> Record | None:
    """Return the first good record of the active file."""
    file = files.OpenFile(folder / files.ACTIVE)
    return records.first_of(line.data for line in file.lines(0, file.size()) if line.whole)


def restore(folder: Path, state: SharedState, disk: Disk) -> bool:
    """Lift the stop that a failed write or sync left; returns whether there was one. Both locks
    held.

    What the page cache says of such a file is not to be believed, so the file is read from the disk
    itself, and what proves good there is copied to a new file and synced. The old one goes to
    quarantine.
    """
    if not state.failed:
        return False
    active = files.OpenFile(folder / files.ACTIVE)
    with suppress(OSError):
        os.posix_fadvise(active.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    good_end = 0
    for line in active.lines(0, active.size()):
        if line.whole and (records.is_filler(line.data) or _is_good(line.data)):
            good_end = line.end
    scratch = folder / (files.ACTIVE + ".restored")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, modes.FILE)
    try:
        for offset in range(0, good_end, 1 << 20):
            data = os.pread(active.fd, min(1 << 20, good_end - offset), offset)
            while data:
                data = data[disk.write(fd, data) :]
        disk.sync(fd)
    finally:
        os.close(fd)
    kept = _quarantine(folder) / f"failed-{time.time_ns()}.jsonl"
    os.link(
        folder / files.ACTIVE, kept
    )  # a second name first, so that there is an active file at every moment
    state.restores += 1
    os.rename(scratch, folder / files.ACTIVE)
    disk.sync_folder(kept.parent)
    disk.sync_folder(folder)
    state.failed = 0
    begin(folder, state, disk)
    logger.warning(
        "the log was verified and copied after a failed sync; the old file is %s", kept.name
    )
    return True


def _finish_sealing(folder: Path, disk: Disk) -> None:
    if (folder / files.NEXT).exists() or (folder / files.ACTIVE).exists():
        files.put_in_place(folder, disk)


def _set_aside(folder: Path, data: bytes, offset: int) -> None:
    try:
        (_quarantine(folder) / f"torn-{time.time_ns()}-at-{offset}.bin").write_bytes(data)
    except OSError as error:
        if transient.is_passing(error):
            raise  # they are kept, and covered, by the next one who looks
        logger.error("%d torn bytes could not be kept: %s", len(data), error)


def _quarantine(folder: Path) -> Path:
    place = folder / "quarantine"
    place.mkdir(mode=modes.FOLDER, exist_ok=True)
    return place


def _last_good(lines: list[files.Line], cut_at_start: bool) -> Record | None:
    return records.first_of(
        line.data for line in reversed(lines[1:] if cut_at_start else lines) if line.whole
    )


def _is_good(data: bytes) -> bool:
    try:
        records.decode(data)
    except records.Damaged:
        return False
    return True

"""What a killed writer or a power cut leaves at the end of the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.log.jsonl.engine import JsonlLog
from tests.log.faulty import FaultyDisk, Killed
from tests.log.folder import (
    bodies,
    draft,
    drafts,
    is_clean,
    lines_of,
    messages_on_disk,
    reboot,
    seqs,
)

OpenLog = Callable[..., JsonlLog]
ACKED = ["first", "second"]
LAST = draft('the last, with \u2028 and an escape " in it', key="last")


def kill_while_writing(folder: Path, drafts: list[dict[str, object]], written: int) -> None:
    """Append from another process that is killed after `written` bytes of its write."""
    disk = FaultyDisk()
    log = JsonlLog(folder, disk=disk)
    disk.dies_in["write"] = written
    with pytest.raises(Killed):
        log.append(drafts)
    log.close()


def length_of_last_line(folder: Path) -> int:
    """How long the line of LAST is, found by really appending it to a copy."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    reboot(copy)
    log = JsonlLog(copy, disk=FaultyDisk())
    log.append(drafts([LAST]))
    log.close()
    return len(lines_of(copy / "bus.jsonl")[-1])


@pytest.mark.parametrize(
    "restart", ["a sibling goes on", "everything starts anew", "the machine reboots"]
)
def test_a_tail_torn_at_any_byte_is_healed_and_nothing_acknowledged_is_lost(
    tmp_path: Path, restart: str
) -> None:
    base = tmp_path / "base"
    first = JsonlLog(base, disk=FaultyDisk())
    for body in ACKED:
        first.append([draft(body)])
    first.close()
    for written in range(length_of_last_line(base) + 1):
        folder = tmp_path / f"torn-at-{written}"
        shutil.copytree(base, folder)
        reboot(folder)  # a copied file is another file, so the numbers about the old one go
        sibling = JsonlLog(folder, disk=FaultyDisk())
        sibling.append([])
        kill_while_writing(folder, [LAST], written)
        size = (folder / "bus.jsonl").stat().st_size
        if restart != "a sibling goes on":
            sibling.close()
            if restart == "the machine reboots":
                reboot(folder)
            sibling = JsonlLog(folder, disk=FaultyDisk())
        check_healed(sibling, folder, size, torn=written)
        sibling.close()


def check_healed(log: JsonlLog, folder: Path, size: int, torn: int) -> None:
    """A retry of the torn message and one more are saved once, after all that was there."""
    (retried,) = log.append(drafts([LAST]))
    log.append([draft("next")])
    assert bodies(log) == [*ACKED, LAST.fields["body"], "next"], f"torn after {torn} bytes"
    assert retried.record["seq"] == 3 and seqs(log) == [1, 2, 3, 4]
    assert (folder / "bus.jsonl").stat().st_size > size
    assert is_clean(folder)
    assert messages_on_disk(folder) == bodies(log)


def test_torn_bytes_are_kept_and_counted(folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    log.append([draft("good")])
    end = (folder / "bus.jsonl").stat().st_size
    kill_while_writing(folder, [LAST], 77)
    torn = (folder / "bus.jsonl").read_bytes()[end:]
    log.append([draft("next")])
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == torn and len(torn) == 77
    assert b'"kind":"torn","bytes":77' in lines_of(folder / "bus.jsonl")[1]


def test_a_block_torn_between_its_lines_keeps_its_whole_lines(
    folder: Path, open_log: OpenLog
) -> None:
    """A killed writer's whole lines count like any other; the client that got no answer finds them
    by its keys.
    """
    log = open_log()
    drafts = [draft(f"line {number}", key=str(number)) for number in range(3)]
    kill_while_writing(folder, drafts, 400)
    retried = log.append(drafts)
    assert [result.replayed for result in retried] == [True, False, False]
    assert bodies(log) == ["line 0", "line 1", "line 2"]
    assert is_clean(folder)


def test_a_writer_killed_after_its_write_is_not_read_before_somebody_syncs(
    open_log: OpenLog,
) -> None:
    disk = FaultyDisk()
    log, reader = open_log(disk=disk), open_log()
    disk.dies_in["sync"] = 0
    with pytest.raises(Killed):
        log.append([draft("written, not synced", key="k")])
    assert bodies(reader) == [] and reader.position().seq == 0
    (result,) = reader.append([draft("written, not synced", key="k")])
    assert result.replayed
    assert bodies(reader) == ["written, not synced"]


NUL_TAILS = [
    b"\0" * 1,
    b"\0" * 100,
    b"\0" * 4096,
    b"\0" * 5000 + b"\n",
    b'{"seq":3,"id":"01K' + b"\0" * 300,
    b'{"seq":3,"id":"01K' + b"\0" * 300 + b'"}\n',
    b"\0" * 50 + b'"}\n' + b'{"seq":4,"half',
    b"\n\n\0\n",
    b'{"seq":3}\n' + b"not json at all\n" + b"\0",
]


@pytest.mark.parametrize("tail", NUL_TAILS)
def test_what_a_power_cut_leaves_behind_the_synced_end_is_covered(
    folder: Path, open_log: OpenLog, tail: bytes
) -> None:
    open_log().append([draft(body) for body in ACKED])
    with open(folder / "bus.jsonl", "ab") as file:
        file.write(tail)
    size = (folder / "bus.jsonl").stat().st_size
    reboot(folder)
    log = open_log()
    assert bodies(log) == ACKED
    assert (folder / "bus.jsonl").stat().st_size == size
    log.append([draft("next")])
    assert seqs(log) == [1, 2, 3]
    assert is_clean(folder)


def test_a_healer_killed_half_way_is_followed_by_one_that_finishes(
    folder: Path, open_log: OpenLog
) -> None:
    disk = FaultyDisk()
    log, healer = open_log(), open_log(disk=disk)
    log.append([draft("good")])
    kill_while_writing(folder, [LAST], 100)
    disk.dies_in["overwrite"] = 30
    with pytest.raises(Killed):
        healer.append([draft("never")])
    log.append([draft("next")])
    assert bodies(log) == ["good", "next"]
    assert is_clean(folder)


def test_the_file_of_a_log_that_shrank_is_not_written_to(folder: Path, open_log: OpenLog) -> None:
    """Bytes behind a synced offset must never come to be others: that gave an acknowledgement
    without a sync.
    """
    from bus.errors import StorageFailed

    log = open_log()
    log.append([draft("a"), draft("b")])
    with open(folder / "bus.jsonl", "r+b") as file:
        file.truncate(100)
    with pytest.raises(StorageFailed):
        log.append([draft("c")])
    assert log.failed()

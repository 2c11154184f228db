"""Files that are full are sealed and perhaps compressed; nobody who reads or writes may notice."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.log.jsonl import files, inspection
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.engine import JsonlLog
from bus.model.records import START, Position
from tests.log.faulty import FaultyDisk, Killed
from tests.log.folder import bodies, draft, drafts, is_clean, lines_of, messages_on_disk, reboot

OpenLog = Callable[..., JsonlLog]
SMALL = 800  # bytes: full after four messages


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("bus*"))


def fill(log: JsonlLog, count: int) -> list[str]:
    """Post messages m0, m1, … one by one."""
    texts = [f"m{number}" for number in range(count)]
    for text in texts:
        log.append([draft(text, key=text)])
    return texts


def test_a_full_file_is_sealed_under_its_first_seq(folder: Path, open_log: OpenLog) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    assert len(names(folder)) >= 3 and names(folder)[0] == "bus-1.jsonl"
    for path in folder.glob("bus-*.jsonl"):
        assert lines_of(path)[0].startswith(b'{"seq":%d,' % int(path.stem.removeprefix("bus-")))
    assert bodies(log) == texts == messages_on_disk(folder)
    assert is_clean(folder)


def test_a_file_is_sealed_at_an_age(folder: Path, open_log: OpenLog) -> None:
    now = [1_000_000.0]
    log = open_log(segment_max_age_s=60, clock=lambda: now[0])
    log.append([draft("young")])
    now[0] += 59
    log.append([draft("still young")])
    assert names(folder) == ["bus.jsonl"]
    now[0] += 2
    log.append([draft("later")])
    assert names(folder) == ["bus-1.jsonl", "bus.jsonl"]
    now[0] -= 1_000
    log.append([draft("the clock stepped back")])
    assert bodies(log) == ["young", "still young", "later", "the clock stepped back"]


def test_positions_stay_good_over_sealing_compression_and_reopening(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    places = []
    for number in range(12):
        log.append(drafts([draft(f"m{number}")]))
        places.append((list(log.read())[-1][0], log.position()))
    for path in list(files.sealed(folder).values())[:2]:
        files.compress(path, Disk())
    reboot(folder)
    anew = open_log()
    for number, pair in enumerate(places):
        for place in pair:
            assert anew.holds(place)
            rest = [record["body"] for _, record in anew.read(place) if record["kind"] == "message"]
            assert rest == [f"m{later}" for later in range(number + 1, 12)]


def test_a_sibling_goes_on_when_another_process_has_sealed_the_file(open_log: OpenLog) -> None:
    one, other = open_log(segment_max_bytes=SMALL), open_log(segment_max_bytes=SMALL)
    for number in range(12):
        (one if number % 3 else other).append([draft(f"m{number}")])
        assert bodies(one) == bodies(other) == [f"m{before}" for before in range(number + 1)]


def test_keys_are_found_in_sealed_files_by_processes_that_did_not_see_them_come(
    open_log: OpenLog,
) -> None:
    late, writer = open_log(), open_log(segment_max_bytes=SMALL)
    late.append([draft("the first")])
    texts = fill(writer, 12)
    for log in (late, open_log()):
        assert all(
            result.replayed for result in log.append([draft(text, key=text) for text in texts])
        )


def test_a_full_disk_puts_sealing_off(folder: Path, open_log: OpenLog) -> None:
    disk = FaultyDisk()
    log = open_log(segment_max_bytes=SMALL, disk=disk)
    fill(log, 4)
    disk.room = 10
    with pytest.raises(Exception, match="no room"):
        log.append([draft("no room")])
    assert names(folder) == ["bus.jsonl"] and not log.failed()
    disk.room = None
    log.append([draft("room again")])
    assert names(folder) == ["bus-1.jsonl", "bus.jsonl"]
    assert is_clean(folder)


def cut_after_writing_the_next_file(folder: Path) -> None:
    shutil.copyfile(folder / "bus.jsonl", folder / "bus.jsonl.next")


def cut_after_linking(folder: Path) -> None:
    cut_after_writing_the_next_file(folder)
    os.link(folder / "bus.jsonl", folder / "bus-1.jsonl")


def die_in(step: str) -> Callable[[Path], None]:
    """Really seal, by a process that is killed at this step."""

    def die(folder: Path) -> None:
        disk = FaultyDisk()
        log = JsonlLog(folder, segment_max_bytes=SMALL, disk=disk)
        disk.dies_in[step] = 20
        with pytest.raises(Killed):
            log.append([draft("never", key="never")])
        log.close()

    return die


CUTS = [
    die_in("write"),
    die_in("sync"),
    cut_after_writing_the_next_file,
    cut_after_linking,
    die_in("sync_folder"),
]
STEPS = [
    "in the header",
    "before the header is synced",
    "before the link",
    "before the rename",
    "before the note",
]


@pytest.mark.parametrize("reboots", [False, True], ids=["siblings live on", "after a reboot"])
@pytest.mark.parametrize("cut", CUTS, ids=STEPS)
def test_a_sealing_cut_short_at_any_step_loses_nothing(
    folder: Path, open_log: OpenLog, cut: Callable[[Path], None], reboots: bool
) -> None:
    sibling, reader = open_log(segment_max_bytes=SMALL), open_log()
    texts = fill(sibling, 4)
    cut(folder)
    assert bodies(reader) == texts
    assert inspection.verify(folder).is_clean()
    if reboots:
        reboot(folder)
        sibling = open_log(segment_max_bytes=SMALL)
    for number in range(8):
        texts.append(f"later {number}")
        sibling.append([draft(texts[-1])])
        assert bodies(reader if not reboots else sibling) == texts
    assert bodies(open_log()) == texts == messages_on_disk(folder)
    assert [record["seq"] for _, record in sibling.read()] == list(
        range(1, sibling.position().seq + 1)
    )
    assert is_clean(folder)
    assert len(files.sealed(folder)) >= 2


def test_compressing_a_file_whose_sealing_was_cut_short_leaves_it_alone(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log()
    texts = fill(log, 4)
    cut_after_linking(folder)
    assert files.compress(folder / "bus-1.jsonl", Disk()) is None
    assert bodies(log) == texts
    assert is_clean(folder)


def test_a_compressed_file_reads_the_same_and_takes_less_room(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    for path in files.sealed(folder).values():
        before = path.stat().st_size
        packed = files.compress(path, Disk())
        assert packed is not None and packed.stat().st_size < before
        assert not path.exists()
        assert bodies(log) == texts
    assert is_clean(folder)


def test_compression_cut_short_leaves_a_readable_file(folder: Path, open_log: OpenLog) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    sealed = folder / "bus-1.jsonl"
    plain = sealed.read_bytes()
    disk = FaultyDisk()
    for step in ("sync", "sync_folder"):
        disk.dies_in = {step: 0}
        with pytest.raises(Killed):
            files.compress(sealed, disk)
        assert bodies(log) == texts and is_clean(folder)
    assert sealed.read_bytes() == plain, "the plain file goes last"
    files.compress(sealed, FaultyDisk())
    assert bodies(log) == texts and is_clean(folder)


def test_a_file_that_two_processes_compress_at_once_is_compressed_once(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    sealed = folder / "bus-1.jsonl"
    others: list[Path | None] = []

    class Meeting(Disk):
        """Half way through, another process comes along."""

        def sync(self, fd: int) -> None:
            others.append(files.compress(sealed, Disk()))

    assert files.compress(sealed, Meeting()) == folder / "bus-1.jsonl.gz"
    assert others == [None]
    assert files.compress(sealed, Disk()) is None, (
        "a list of files may be older than their compression"
    )
    assert bodies(log) == texts and is_clean(folder)
    assert not list(folder.glob("*.part"))


def test_compressing_meets_one_that_is_about_to_take_the_plain_file_away(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)

    class Meeting(Disk):
        """When the compressed file has its name, another process begins, and ends first."""

        def sync_folder(self, folder: Path) -> None:
            files.compress(folder / "bus-1.jsonl", Disk())

    files.compress(folder / "bus-1.jsonl", Meeting())
    assert bodies(log) == texts and is_clean(folder)


def test_places_are_held_at_every_moment_of_sealing(open_log: OpenLog) -> None:
    """An index is thrown away when its place is not held, so a doubt for a moment costs a
    rebuild.
    """
    writer, reader = open_log(segment_max_bytes=SMALL), open_log()
    places: list[Position] = []
    doubted: list[Position] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            doubted.extend(place for place in places[-3:] if not reader.holds(place))

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(400):
        writer.append([draft(f"m{number}")])
        places.append(
            list(reader.read(writer.position() if not places else places[-1]))[-1][0]
            if number
            else START
        )
    done.set()
    looking.join(20)
    assert doubted == []


def test_a_read_that_is_under_way_goes_on_when_files_are_compressed(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    reading = log.read()
    first = next(reading)[1]["body"]
    for path in files.sealed(folder).values():
        files.compress(path, Disk())
    rest = [record["body"] for _, record in reading if record["kind"] == "message"]
    assert [first, *rest] == texts


def test_what_is_done_with_a_sealed_file_is_told(folder: Path, open_log: OpenLog) -> None:
    told: list[Path] = []
    fill(open_log(segment_max_bytes=SMALL, on_sealed=told.append), 6)
    assert told == [folder / "bus-1.jsonl"]


def test_a_backup_is_whole_whatever_is_sealed_meanwhile(
    folder: Path, open_log: OpenLog, tmp_path: Path
) -> None:
    log = open_log(segment_max_bytes=SMALL)
    texts = fill(log, 12)
    (folder / "webhook-secrets").write_text("{}\n")
    inspection.backup(folder, folder / "credentials", tmp_path / "copy")
    assert (tmp_path / "copy" / "webhook-secrets").stat().st_mode & 0o777 == 0o600
    log.append([draft("after the backup")])
    assert messages_on_disk(tmp_path / "copy") == texts
    assert is_clean(tmp_path / "copy")

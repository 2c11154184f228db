"""Many posts share a sync; a disk that fails stops them all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BusError, Busy, NoRoom, StorageFailed, Unconfirmed
from bus.log.base import Draft
from bus.log.jsonl import healing
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.engine import JsonlLog
from bus.log.jsonl.locks import SharedState
from tests.conftest import wait_until
from tests.log.faulty import FaultyDisk
from tests.log.folder import bodies, draft, drafts, is_clean, messages_on_disk, python, reboot, seqs

OpenLog = Callable[..., JsonlLog]

APPEND = """
import json, sys
from pathlib import Path
from bus.errors import BusError
from bus.log.base import Draft
from bus.log.jsonl.engine import JsonlLog
log = JsonlLog(Path(sys.argv[1]), lock_timeout_s=0.3)
try:
    print(log.append([Draft(*json.loads(sys.argv[2]))])[0].record["seq"])
except BusError as error:
    print(error.code)
"""


def append_elsewhere(folder: Path, body: str) -> str:
    """What a process of its own gets for an append: a seq, or the code of an error."""
    run = python(APPEND, str(folder), json.dumps(draft(body)))
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock as a stopped process would."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class InBackground:
    """An append in a thread of its own; `outcome()` is its result or its error."""

    def __init__(self, log: JsonlLog, *drafts: Draft) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=(log, drafts))
        self._thread.start()

    def _run(self, log: JsonlLog, drafts: tuple[Draft, ...]) -> None:
        try:
            self._outcome.append(log.append(drafts))
        except BusError as error:
            self._outcome.append(error)

    def outcome(self) -> Any:
        self._thread.join(20)
        return self._outcome[0]


class GatheringDisk(Disk):
    """Syncs for real, but not before everybody who is about to post has come to the log."""

    def __init__(self, count: int) -> None:
        self.syncs = 0
        self.outside = count
        self._mutex = threading.Lock()

    def enters(self) -> None:
        with self._mutex:
            self.outside -= 1

    def leaves(self) -> None:
        with self._mutex:
            self.outside += 1

    def sync(self, fd: int) -> None:
        self.syncs += 1
        wait_until(lambda: self.outside == 0)
        super().sync(fd)


def test_posts_that_come_while_one_is_synced_share_the_next_sync(folder: Path) -> None:
    threads_count, turns = 8, 12
    JsonlLog(folder).close()  # what a first start syncs is not counted
    disk = GatheringDisk(threads_count)
    log = JsonlLog(folder, disk=disk)

    def post(number: int) -> None:
        for turn in range(turns):
            disk.enters()
            log.append(drafts([draft(f"{number}:{turn}")]))
            disk.leaves()
        disk.enters()  # gone for good: nobody waits for it

    threads = [threading.Thread(target=post, args=(number,)) for number in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    log.close()
    assert (
        len(bodies_on_disk := messages_on_disk(folder))
        == threads_count * turns
        == len(set(bodies_on_disk))
    )
    assert disk.syncs < threads_count * turns / 2


def test_two_processes_share_a_sync_too(folder: Path, open_log: OpenLog) -> None:
    disks = FaultyDisk(), FaultyDisk()
    one, other = (open_log(disk=disk, lock_timeout_s=10) for disk in disks)
    before = sum(disk.syncs for disk in disks)
    with held(folder / "run" / "sync.lock"):
        posts = InBackground(one, draft("a")), InBackground(other, draft("b"))
        wait_until(lambda: (folder / "bus.jsonl").read_bytes().count(b"\n") == 2)
        assert bodies(one) == [], "nothing is read before it is synced"
    assert [len(post.outcome()) for post in posts] == [1, 1]
    assert sum(disk.syncs for disk in disks) - before == 1
    assert sorted(bodies(one)) == ["a", "b"]


def test_without_fsync_nothing_is_synced(open_log: OpenLog) -> None:
    disk = FaultyDisk()
    log = open_log(disk=disk, fsync=False)
    before = disk.syncs
    log.append([draft("a")])
    assert disk.syncs == before and bodies(log) == ["a"]


@pytest.mark.parametrize("longest", [1, 7, 100])
def test_a_short_write_is_carried_on(folder: Path, open_log: OpenLog, longest: int) -> None:
    disk = FaultyDisk()
    disk.longest_write = longest
    log = open_log(disk=disk)
    log.append([draft("a"), draft("b")])
    assert bodies(log) == ["a", "b"] and is_clean(folder)


@pytest.mark.parametrize("room", [0, 1, 50, 300, 390])
def test_a_full_disk_refuses_a_batch_whole_and_serves_again_when_there_is_room(
    folder: Path, open_log: OpenLog, room: int
) -> None:
    disk = FaultyDisk()
    log, reader = open_log(disk=disk), open_log()
    log.append([draft("before")])
    disk.room = room
    with pytest.raises(NoRoom):
        log.append([draft("a", key="a"), draft("b", key="b")])
    with pytest.raises(NoRoom):
        log.append([draft("c")])
    assert bodies(log) == bodies(reader) == ["before"] and not log.failed()
    disk.room = None
    made = log.append([draft("a", key="a"), draft("b", key="b")])
    assert not any(result.replayed for result in made)
    assert bodies(reader) == ["before", "a", "b"] == messages_on_disk(folder)
    assert seqs(reader) == [1, 2, 3] and is_clean(folder)


def test_a_full_disk_that_cannot_even_be_tidied_says_that_it_does_not_know(
    folder: Path, open_log: OpenLog
) -> None:
    disk = FaultyDisk()
    log = open_log(disk=disk)
    disk.room, disk.errors = 250, {"overwrite": errno.ENOSPC}
    with pytest.raises(Unconfirmed):
        log.append([draft("a", key="a"), draft("b", key="b")])
    disk.room, disk.errors = None, {}
    log.append([draft("a", key="a"), draft("b", key="b")])
    assert bodies(log) == ["a", "b"] and is_clean(folder)


@pytest.mark.parametrize(
    "also", [{}, {"overwrite": errno.EIO}], ids=["", "and it cannot be covered"]
)
@pytest.mark.parametrize("fault", ["write", "sync"])
def test_after_a_failed_write_or_sync_nobody_acknowledges_until_the_log_is_restored(
    folder: Path, open_log: OpenLog, fault: str, also: dict[str, int]
) -> None:
    disk = FaultyDisk()
    failing, sibling = open_log(disk=disk), open_log()
    failing.append([draft("before")])
    disk.errors = {fault: errno.EIO, **also}
    with pytest.raises(StorageFailed):
        failing.append([draft("hit", key="hit")])
    disk.errors = {}  # the next sync would succeed, and lie
    for log in (failing, sibling, open_log()):
        assert log.failed()
        with pytest.raises(StorageFailed):
            log.append([draft("refused")])
        with pytest.raises(StorageFailed):
            log.append([draft("hit", key="hit")])
    assert append_elsewhere(folder, "refused") == "storage_failed"
    assert bodies(sibling) == ["before"], "reads go on"
    assert open_log().restore()
    for log in (failing, sibling):
        assert not log.failed()
        log.append(drafts([draft(f"after {id(log)}")]))
    failing.append([draft("hit", key="hit")])
    assert messages_on_disk(folder).count("hit") == 1 and "refused" not in messages_on_disk(folder)
    assert bodies(sibling)[0] == "before" and seqs(sibling) == list(range(1, 5))
    assert is_clean(folder)


def test_a_sealing_that_fails_stops_acknowledgements_too(open_log: OpenLog) -> None:
    disk = FaultyDisk()
    log = open_log(disk=disk, segment_max_bytes=100)
    log.append([draft("a")])
    disk.errors = {"sync_folder": errno.EIO}
    with pytest.raises(StorageFailed):
        log.append([draft("b")])
    assert log.failed() and bodies(log) == ["a"]
    disk.errors = {}
    assert open_log().restore()
    log.append([draft("b")])
    assert bodies(log) == ["a", "b"]


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN],
    ids=errno.errorcode.get,
)
def test_a_write_that_fails_for_want_of_something_refuses_that_post_and_no_other(
    folder: Path, open_log: OpenLog, number: int
) -> None:
    disk = FaultyDisk()
    log = open_log(disk=disk)
    log.append([draft("one")])
    disk.errors["write"] = number
    with pytest.raises(Busy):
        log.append([draft("refused")])
    del disk.errors["write"]
    assert not log.failed()
    assert log.append([draft("two")])[0].record["seq"] == 2
    assert bodies(log) == ["one", "two"]
    assert is_clean(folder)


@pytest.mark.parametrize(
    "number", [errno.ENOMEM, errno.EINTR, errno.EAGAIN], ids=errno.errorcode.get
)
def test_a_sync_that_fails_stops_the_log_whatever_its_reason(
    open_log: OpenLog, number: int
) -> None:
    disk = FaultyDisk()
    log = open_log(disk=disk)
    disk.errors["sync"] = number
    with pytest.raises(StorageFailed):
        log.append([draft("x")])
    del disk.errors["sync"]
    with pytest.raises(StorageFailed):
        log.append([draft("y")])


def without_descriptors(monkeypatch: pytest.MonkeyPatch, only: str = "") -> None:
    """From now on no file can be opened, or none whose name ends so."""
    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(only):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


def test_a_first_append_without_descriptors_is_refused_and_the_next_one_served(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_log().append([draft("one")])
    log = open_log()
    with monkeypatch.context() as patched:
        without_descriptors(patched)
        with pytest.raises(Busy):
            log.append([draft("refused")])
    assert not log.failed()
    log.append([draft("two")])
    assert bodies(log) == ["one", "two"]
    assert is_clean(folder)


def test_a_torn_tail_is_kept_in_quarantine_though_there_was_no_descriptor_at_first(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    log.append([draft("one")])
    with open(folder / "bus.jsonl", "ab") as file:
        file.write(b'{"seq":2,"torn')
    with monkeypatch.context() as patched:
        without_descriptors(patched, "bus.jsonl")
        with pytest.raises(Busy):
            log.append([draft("refused")])
    log.append([draft("two")])
    assert bodies(log) == ["one", "two"]
    assert [path.read_bytes() for path in (folder / "quarantine").iterdir()] == [b'{"seq":2,"torn']


@pytest.mark.parametrize("only", ["bus.jsonl.next", "data"], ids=["its file", "its folder"])
def test_a_sealing_without_descriptors_loses_nothing(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch, only: str
) -> None:
    log = open_log(segment_max_bytes=1, disk=Disk())
    sent = []
    with monkeypatch.context() as patched:
        log.append([draft("one")])
        without_descriptors(patched, only)
        for body in ("two", "three"):
            with suppress(Busy):
                log.append([draft(body)])
                sent.append(body)
    log.append([draft("four")])
    assert not log.failed()
    assert bodies(log) == ["one", *sent, "four"]
    assert bodies(open_log()) == ["one", *sent, "four"]
    assert is_clean(folder)


def test_restoring_copies_what_is_really_on_the_disk(folder: Path, open_log: OpenLog) -> None:
    """After a failed sync the page cache shows more than the disk holds; here the file shows what
    the disk held.
    """
    disk = FaultyDisk()
    log = open_log(disk=disk)
    log.append([draft("on the disk")])
    end = (folder / "bus.jsonl").stat().st_size
    inode = (folder / "bus.jsonl").stat().st_ino
    disk.errors = {"sync": errno.EIO}
    with pytest.raises(StorageFailed):
        log.append([draft("lost", key="lost")])
    with open(folder / "bus.jsonl", "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(end)
        file.write(b"\0" * (size - end))
    disk.errors = {}
    assert log.restore()
    assert (folder / "bus.jsonl").stat().st_ino != inode, "the file itself is not trusted any more"
    (kept,) = (folder / "quarantine").glob("failed-*.jsonl")
    assert kept.stat().st_ino == inode
    (result,) = log.append([draft("lost", key="lost")])
    assert bodies(log) == ["on the disk", "lost"] and result.record["seq"] == 2
    assert is_clean(folder)


def test_restoring_a_log_that_has_not_failed_changes_nothing(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log()
    log.append([draft("a")])
    inode = (folder / "bus.jsonl").stat().st_ino
    assert not log.restore()
    assert (folder / "bus.jsonl").stat().st_ino == inode


def test_restoring_cut_short_at_any_step_loses_nothing(folder: Path, open_log: OpenLog) -> None:
    from tests.log.faulty import Killed

    disk = FaultyDisk()
    log = open_log(disk=disk)
    log.append([draft("before")])
    disk.errors = {"sync": errno.EIO}
    with pytest.raises(StorageFailed):
        log.append([draft("hit")])
    for step in ("write", "sync", "sync_folder"):
        disk.errors, disk.dies_in = {}, {step: 5}
        with pytest.raises(Killed):
            log.restore()
        assert "before" in bodies(open_log())
    reboot(folder)
    assert bodies(open_log())[0] == "before"
    assert is_clean(folder)


def test_a_post_that_waited_over_a_restore_is_not_acknowledged(
    folder: Path, open_log: OpenLog
) -> None:
    """Its record may be lost, and its seq given to another: the number alone proves nothing."""
    waiting, failing = open_log(lock_timeout_s=20), open_log(disk=(disk := FaultyDisk()))
    waiting.append([draft("before")])
    end = (folder / "bus.jsonl").stat().st_size
    state = SharedState(folder / "run" / "state")
    with held(folder / "run" / "sync.lock"):
        post = InBackground(waiting, draft("lost"))
        wait_until(lambda: (folder / "bus.jsonl").stat().st_size > end)
        disk.errors = {"write": errno.EIO}
        with pytest.raises(StorageFailed):
            failing.append([draft("hit")])
        with open(folder / "bus.jsonl", "r+b") as file:
            file.seek(end)
            file.write(b"\0" * 50)
        assert healing.restore(folder, state, Disk())
        disk.errors = {}
    assert isinstance(post.outcome(), BusError)
    state.close()
    failing.append([draft("another with its seq")])
    assert bodies(failing) == ["before", "another with its seq"]


def test_a_lock_that_another_process_holds_makes_a_post_busy_in_bounded_time(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(lock_timeout_s=0.2)
    with held(folder / "run" / "append.lock"):
        started = time.monotonic()
        with pytest.raises(Busy):
            log.append([draft("a")])
        assert time.monotonic() - started < 2
        assert bodies(log) == [], "reads go on"
    assert messages_on_disk(folder) == [], "busy means that nothing was stored"
    log.append([draft("b")])
    assert bodies(log) == ["b"]


@pytest.mark.parametrize("lock", ["append.lock", "sync.lock"])
def test_a_process_starts_and_reads_while_another_holds_a_lock(
    folder: Path, open_log: OpenLog, lock: str
) -> None:
    """A worker that cannot start makes gunicorn end the whole hub."""
    open_log().append([draft("a")])
    with held(folder / "run" / lock):
        log = open_log()
        assert bodies(log) == ["a"]


def test_a_sync_lock_that_another_process_holds_leaves_a_post_unconfirmed(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(lock_timeout_s=0.2)
    with held(folder / "run" / "sync.lock"), pytest.raises(Unconfirmed):
        log.append([draft("a", key="k")])
    assert bodies(log) == []
    assert log.append([draft("a", key="k")])[0].replayed
    assert bodies(log) == ["a"]


def test_waiting_posts_end_in_bounded_time_however_many_they_are(
    folder: Path, open_log: OpenLog
) -> None:
    log = open_log(lock_timeout_s=0.1)
    with held(folder / "run" / "append.lock"):
        started = time.monotonic()
        outcomes = [
            post.outcome()
            for post in [InBackground(log, draft(str(number))) for number in range(6)]
        ]
        assert time.monotonic() - started < 5
    assert all(isinstance(outcome, Busy) for outcome in outcomes)


FORKS = """
import os, sys
from pathlib import Path
from bus.log.jsonl.engine import JsonlLog
sys.path.insert(0, ".")
from tests.log.folder import draft
log = JsonlLog(Path(sys.argv[1]), fsync=False)
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        for turn in range(60):
            log.append([draft(f"{number}:{turn}", key=f"{turn}")])
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_children_of_a_process_that_has_opened_the_log_exclude_each_other(
    folder: Path, open_log: OpenLog
) -> None:
    run = python(FORKS, str(folder))
    assert run.returncode == 0, run.stderr
    log = open_log()
    assert seqs(log) == list(range(1, 61)), "three children with the same sixty keys"
    assert is_clean(folder)


KILLED_PARENT = """
import fcntl, os, signal, sys
from pathlib import Path
from bus.log.jsonl.engine import JsonlLog
log = JsonlLog(Path(sys.argv[1]), fsync=False)
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.write(tell, b"x")
    os.closerange(0, 3)  # the test reads them to their end
    signal.pause()
os.read(ready, 1)
print(child, flush=True)
with log._append_lock:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lock_dies_with_its_holder_even_when_a_child_lives_on(
    folder: Path, open_log: OpenLog
) -> None:
    run = python(KILLED_PARENT, str(folder))
    try:
        open_log().append([draft("a")])
    finally:
        os.kill(int(run.stdout), 9)


def test_a_second_close_closes_no_other_file(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "data", fsync=False)
    log.close()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(8)]  # they get the numbers
    log.close()
    assert all(os.fstat(fd) for fd in others)
    for fd in others:
        os.close(fd)


def test_a_clock_that_steps_back_does_not_disturb_the_order(
    folder: Path, open_log: OpenLog
) -> None:
    times = iter([2_000_000_000.0, 1_000_000_000.0, 1_500_000_000.0, 1_000_000_000.0])
    now = [0.0]

    def clock() -> float:
        return now[0]

    log = open_log(clock=clock, segment_max_bytes=300)
    for number, time_s in enumerate(times):
        now[0] = time_s
        log.append(drafts([draft(f"m{number}")]))
    assert bodies(log) == ["m0", "m1", "m2", "m3"]
    assert seqs(log) == list(range(1, log.position().seq + 1))
    assert is_clean(folder)


@pytest.mark.parametrize(
    "body", ["plain", 'tab\t quote" back\\ \x7f \x1f', "héllo \u2028 \U0001f600"]
)
def test_a_line_is_ascii_and_says_what_was_given(tmp_path: Path, body: str) -> None:
    log = JsonlLog(tmp_path)
    given = {
        "kind": "message",
        "body": body,
        "data": {"large": 2**64 - 1, "half": 0.5, "tiny": 1e-300},
    }
    log.append(drafts([given]))
    line = (tmp_path / "bus.jsonl").read_bytes()
    assert line.isascii()
    assert {name: json.loads(line)[name] for name in given} == given
    assert [record["body"] for _, record in log.read()] == [body]
    log.close()

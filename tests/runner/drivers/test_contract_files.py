"""What every driver promises of files, over a folder, a machine and a container."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bus.errors import (
    FileChanged,
    FileRefused,
    NoSuchFile,
    NoSuchFolder,
    NotAFile,
    PathMoved,
    TargetBusy,
    TargetFailed,
    TooLarge,
)
from bus.runner.drivers import scripts
from bus.runner.drivers.base import Ended, Run, Write
from tests.conftest import wait_until
from tests.runner.drivers.conftest import MIB, Place, alive, freeze


def test_a_file_comes_back_as_it_was_written(place: Place) -> None:
    content, path = os.urandom(5 * MIB), f"{place.folder}/-a b\n'é $(id)"
    written = place.driver.write(
        place.target, Write(path, content, mode=0o640, uid=os.getuid(), gid=os.getgid())
    )
    assert (written.content, written.size, written.sha256) == (
        b"",
        len(content),
        sha256(content).hexdigest(),
    )
    read = place.driver.read(place.target, path, 0, 16 * MIB, 16 * MIB)
    assert read.content == content
    assert (
        (read.size, read.sha256, read.mode)
        == (written.size, written.sha256, 0o640)
        == (len(content), written.sha256, written.mode)
    )
    assert (read.uid, read.gid) == (os.getuid(), os.getgid())
    part = place.driver.read(place.target, path, 1000, 10, 16 * MIB)
    assert (part.content, part.size, part.sha256) == (content[1000:1010], read.size, read.sha256)
    assert place.driver.read(place.target, path, 6 * MIB, 10, 16 * MIB).content == b""
    assert place.sh("find . -type f -print0 | tr -cd '\\000' | wc -c").strip() == "1"


def test_mode_and_owner_stay_and_can_be_given(place: Place) -> None:
    path = f"{place.folder}/file"
    assert place.driver.write(place.target, Write(path, b"")).mode == 0o644
    place.sh("chmod 4751 file")
    if os.getuid() == 0:
        place.sh("chown 12:34 file; chmod 4751 file")
    kept = place.driver.write(place.target, Write(path, b"new"))
    assert kept.mode == 0o4751
    if os.getuid() == 0:
        assert (kept.uid, kept.gid) == (12, 34)
        given = place.driver.write(place.target, Write(path, b"newer", mode=0o600, gid=56))
        assert (given.mode, given.uid, given.gid) == (0o600, 12, 56)


def test_a_file_that_has_changed_is_left_alone(place: Place) -> None:
    path, old = f"{place.folder}/file", sha256(b"old").hexdigest()

    def write(content: bytes, if_sha256: str) -> None:
        place.driver.write(place.target, Write(path, content, if_sha256=if_sha256))

    with pytest.raises(FileChanged):
        write(b"new", old)
    write(b"old", "")
    with pytest.raises(FileChanged) as refused:
        write(b"new", "")
    assert refused.value.details["sha256"] == old
    write(b"new", old)
    with pytest.raises(FileChanged):
        write(b"newer", old)
    assert place.sh("cat file; ls -A") == "newfile\n"


def test_of_two_writers_on_the_same_file_one_is_refused(place: Place) -> None:
    path = f"{place.folder}/file"
    for round_number in range(5):
        place.sh(f"echo {round_number} >file")
        seen = sha256(b"%d\n" % round_number).hexdigest()

        def write(content: bytes, seen: str = seen) -> bool:
            try:
                place.driver.write(place.target, Write(path, content, if_sha256=seen))
            except FileChanged:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(write, (b"by %d" % writer for writer in range(6))))
        assert done.count(True) == 1
        assert place.sh("cat file") == f"by {done.index(True)}"


def test_a_missing_folder_is_told_or_made(place: Place) -> None:
    path = f"{place.folder}/a/b/file"
    with pytest.raises(NoSuchFolder):
        place.driver.write(place.target, Write(path, b"x"))
    place.driver.write(place.target, Write(path, b"x", create_dirs=True))
    assert place.sh("stat -c %a a a/b a/b/file").split() == ["755", "755", "644"]
    with pytest.raises(NoSuchFolder):
        place.driver.write(place.target, Write(f"{path}/c", b"x", create_dirs=True))
    with pytest.raises(NoSuchFile):
        place.driver.read(place.target, f"{path}/c", 0, 1, 1)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("mkdir x", "folder"),
        ("mkfifo x", "fifo"),
        ("mkdir y; ln -s y x", "folder"),
        ("mkfifo y; ln -s y x", "fifo"),
    ],
)
def test_what_is_no_file_is_neither_read_nor_written(place: Place, made: str, kind: str) -> None:
    place.sh(made)
    before = place.sh("ls -lA")
    started = time.monotonic()
    with pytest.raises(NotAFile) as refused:
        place.driver.read(place.target, f"{place.folder}/x", 0, 10, 10)
    assert refused.value.details["type"] == kind
    with pytest.raises(NotAFile) as refused:
        place.driver.write(place.target, Write(f"{place.folder}/x", b"x"))
    assert refused.value.details["type"] == kind
    assert time.monotonic() - started < 5
    assert place.sh("ls -lA") == before


def test_a_device_is_no_file(place: Place) -> None:
    path = "/dev/zero"
    if place.driver.name == "local":
        if os.getuid() != 0:
            pytest.skip("needs root, to make a device")
        place.sh("mknod zero c 1 5")
        path = "/zero"
    for call in (
        lambda: place.driver.read(place.target, path, 0, 10, 10),
        lambda: place.driver.write(place.target, Write(path, b"")),
    ):
        with pytest.raises(NotAFile) as refused:
            call()
        assert refused.value.details["type"] == "device"


def test_links_within_are_followed(place: Place) -> None:
    place.sh(
        "mkdir sub; echo old >sub/file; ln -s sub/file link; ln -s nowhere dangling; ln -s loop"
        " loop"
    )
    assert place.driver.read(place.target, f"{place.folder}/link", 0, 10, 10).content == b"old\n"
    place.driver.write(place.target, Write(f"{place.folder}/link", b"new"))
    assert place.sh("cat sub/file; readlink link; ls -A sub") == "newsub/file\nfile\n"
    for link in ("dangling", "loop"):
        with pytest.raises(NoSuchFile):
            place.driver.read(place.target, f"{place.folder}/{link}", 0, 10, 10)
        with pytest.raises(NotAFile) as refused:
            place.driver.write(place.target, Write(f"{place.folder}/{link}", b"x"))
        assert refused.value.details["type"] == "link"
    assert place.sh("ls -A").split() == ["dangling", "link", "loop", "sub"]


def test_where_a_path_leads_is_told_with_every_link_resolved(place: Place) -> None:
    place.sh(
        "mkdir -p real/sub; echo x >real/sub/file; ln -s real notes; ln -s sub/file real/link; ln"
        " -s nowhere dangling"
    )
    at = real_folder(place)
    for path, leads in (
        ("notes/sub/file", "real/sub/file"),
        ("notes/link", "real/sub/file"),
        ("notes/new", "real/new"),
        ("notes//./new/deeper/file", "real/new/deeper/file"),
        ("real", "real"),
    ):
        assert place.driver.resolve(place.target, f"{place.folder}/{path}") == f"{at}/{leads}", path
    with pytest.raises(NotAFile):
        place.driver.resolve(place.target, f"{place.folder}/dangling")


def real_folder(place: Place) -> str:
    """The place's folder as `resolve` gives it."""
    return place.driver.resolve(place.target, f"{place.folder}/x").removesuffix("/x")


def test_a_path_that_leads_elsewhere_than_was_seen_is_neither_read_nor_written(
    place: Place,
) -> None:
    place.sh(
        "mkdir -p mine/deep ssh; echo old >mine/keys; echo secret >ssh/keys; ln -s mine notes; ln"
        " -s mine/keys link"
    )
    at = real_folder(place)
    path, link = f"{place.folder}/notes/keys", f"{place.folder}/link"
    seen = place.driver.resolve(place.target, path)
    assert seen == place.driver.resolve(place.target, link) == f"{at}/mine/keys"
    assert place.driver.read(place.target, path, 0, 99, 99, seen).content == b"old\n"
    place.driver.write(place.target, Write(path, b"new\n", real=seen))
    place.driver.write(place.target, Write(link, b"newer\n", real=seen))
    assert place.sh("cat mine/keys; readlink link; ls -A mine") == "newer\nmine/keys\ndeep\nkeys\n"
    place.sh("ln -sfn ssh notes; ln -sfn ssh/keys link")
    for moved in (path, link):
        with pytest.raises(PathMoved):
            place.driver.read(place.target, moved, 0, 99, 99, seen)
        with pytest.raises(PathMoved):
            place.driver.write(place.target, Write(moved, b"pwned\n", real=seen))
    with pytest.raises(PathMoved):
        place.driver.write(
            place.target, Write(f"{place.folder}/notes/new", b"pwned\n", real=f"{at}/mine/new")
        )
    assert place.sh("cat mine/keys ssh/keys; ls -A ssh") == "newer\nsecret\nkeys\n"


def test_folders_are_made_where_they_were_seen_to_be(place: Place) -> None:
    place.sh("mkdir mine ssh; ln -s mine notes")
    path = f"{place.folder}/notes/a/b/keys"
    seen = place.driver.resolve(place.target, path)
    place.driver.write(place.target, Write(path, b"x", create_dirs=True, real=seen))
    assert place.sh("cat mine/a/b/keys") == "x"
    place.sh("rm -r mine/a; ln -sfn ssh notes")
    with pytest.raises(PathMoved):
        place.driver.write(place.target, Write(path, b"x", create_dirs=True, real=seen))
    assert place.sh("ls -A ssh") == ""


def test_a_link_that_moves_while_a_file_is_written_leads_nobody_elsewhere(place: Place) -> None:
    place.sh("mkdir mine ssh; ln -s mine notes")
    path = f"{place.folder}/notes/keys"
    seen = place.driver.resolve(place.target, path)
    swap = "while [ ! -e stop ]; do for to in ssh mine; do ln -s $to n; mv -fT n notes; done; done"
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(place.sh, swap, timeout_s=60)
        outcomes = set()
        for number in range(12):
            try:
                place.driver.write(place.target, Write(path, b"%d" % number, real=seen))
                outcomes.add("written")
            except (PathMoved, NotAFile, NoSuchFolder, FileRefused) as error:
                outcomes.add(error.code)
        place.sh("touch stop")
        swapping.result(60)
    assert place.sh("ls -A ssh") == "", outcomes


def test_a_file_over_the_limit_is_told_at_once(place: Place) -> None:
    """To read the large one would take longer than a file may."""
    place.sh(
        "echo 12345 >small; dd if=/dev/zero of=sparse bs=1 count=0 seek=1099511627776 2>/dev/null"
    )
    for name, size in (("small", 6), ("sparse", 1 << 40)):
        with pytest.raises(TooLarge) as refused:
            place.driver.read(place.target, f"{place.folder}/{name}", 0, 6, 5)
        assert refused.value.details == {"size": size, "limit": 5}
    assert place.driver.read(place.target, f"{place.folder}/small", 0, 6, 6).content == b"12345\n"


def test_parts_of_a_file_over_the_limit_are_read_where_they_are(place: Place) -> None:
    content = os.urandom(300_000)
    place.sh("cat >random", stdin=content)
    place.sh(
        "dd if=/dev/zero of=sparse bs=1 count=0 seek=1099511627776 2>/dev/null; printf the-end"
        " >>sparse"
    )
    for offset, limit in (
        (0, 10),
        (1, 65_536),
        (65_535, 2),
        (65_536, 100_000),
        (131_071, 90_000),
        (299_990, 99),
        (7, 0),
    ):
        part = place.driver.read(place.target, f"{place.folder}/random", offset, limit, 100_000)
        assert part.content == content[offset : offset + limit], (offset, limit)
        assert (part.size, part.sha256, part.mode) == (300_000, None, 0o644)
    for offset in (300_000, 300_001, 1 << 53):
        assert (
            place.driver.read(place.target, f"{place.folder}/random", offset, 10, 100_000).content
            == b""
        )
    rest = place.driver.read(place.target, f"{place.folder}/random", 200_001, 1 << 53, 100_000)
    assert rest.content == content[200_001:]
    for offset, limit in ((0, 100_001), (199_999, 1 << 53)):
        with pytest.raises(TooLarge):
            place.driver.read(place.target, f"{place.folder}/random", offset, limit, 100_000)
    # What is before the part is not read: that would take longer than a file may.
    assert (
        place.driver.read(place.target, f"{place.folder}/sparse", (1 << 40) - 1, 99, 100).content
        == b"\0the-end"
    )
    place.sh("rm sparse")


def test_a_file_that_grows_while_it_is_read_is_told(place: Place) -> None:
    """/proc has files that say a size of 0 and have content; those of the folder's driver are
    outside it.
    """
    if place.driver.name == "local":
        return
    assert place.driver.read(
        place.target, "/proc/self/status", 0, 1 << 16, 1 << 16
    ).content.startswith(b"Name:")
    with pytest.raises(TooLarge):
        place.driver.read(place.target, "/proc/self/status", 0, 10, 10)


@pytest.mark.slow
def test_a_file_that_is_swapped_for_a_fifo_costs_bounded_time(place: Place) -> None:
    """The opening may wait for a writer that never comes; the time-out ends it, and nothing stays
    behind.
    """
    place.sh("echo x >file; mkfifo fifo")
    place.driver.file_timeout_s = 1.5  # type: ignore[attr-defined]
    stop = threading.Event()
    swapper = threading.Thread(
        target=place.run,
        args=(
            "sh",
            "-c",
            'cd "$1"; while :; do ln -f file y; mv -f y x; ln -f fifo y; mv -f y x; done',
            "sh",
            place.inner,
        ),
        kwargs={"cancel": stop},
    )
    swapper.start()
    try:
        for _ in range(4):
            started = time.monotonic()
            with suppress(NotAFile, NoSuchFile, FileRefused):
                assert (
                    place.driver.read(place.target, f"{place.folder}/x", 0, 10, 10).content
                    == b"x\n"
                )
            assert time.monotonic() - started < 8
    finally:
        stop.set()
        swapper.join()
    place.sh("rm x fifo")


def test_content_that_comes_short_is_never_a_file(place: Place) -> None:
    place.sh("echo old >file")
    whole = b"x" * 100
    for size, digest in ((101, sha256(whole).hexdigest()), (100, "0" * 64)):
        arguments = (
            f"{place.inner}/file",
            ".bus-test.part",
            str(size),
            digest,
            "",
            "",
            "",
            "-",
            "",
        )
        ended = place.run("sh", "-c", scripts.WRITE, "sh", *arguments, stdin=whole)
        assert ended.exit_code == 12
    assert place.sh("cat file; ls -A") == "old\nfile\n"


def test_a_writer_that_is_ended_leaves_the_old_file_and_nothing_else(with_flock: Place) -> None:
    place = with_flock
    place.sh("echo old >file")
    stop, held = threading.Event(), threading.Event()
    holder = threading.Thread(
        target=place.run,
        args=("flock", place.inner or "/", "sh", "-c", "echo held; sleep 1000"),
        kwargs={"cancel": stop, "on_output": lambda *_: held.set(), "timeout_s": 60},
    )
    holder.start()
    try:
        assert held.wait(10)
        place.driver.file_timeout_s = place.brief_s  # type: ignore[attr-defined]
        with pytest.raises(FileRefused, match="could not be written within") as refused:
            place.driver.write(place.target, Write(f"{place.folder}/file", b"new"))
        assert "slow" in refused.value.hint
    finally:
        stop.set()
        holder.join()
    assert place.sh("cat file; ls -A") == "old\nfile\n"


@contextmanager
def a_lost_write(place: Place, first: Callable[[Path], object]) -> Iterator[None]:
    """In the block a write waits for the folder's lock, its new file being whole; after `first` its
    client is ended.
    """
    stop, held, writer = threading.Event(), threading.Event(), threading.get_native_id()
    holder = threading.Thread(
        target=place.run,
        args=("flock", place.inner or "/", "sh", "-c", "echo held; sleep 1000"),
        kwargs={"cancel": stop, "on_output": lambda *_: held.set(), "timeout_s": 60},
    )

    def waits() -> bool:
        with suppress(OSError):  # others use the word, too, and may have ended since
            found = [line.split() for line in alive("flock 9")]
            return place.inner in [
                os.readlink(f"/proc/{pid}/cwd") for pid, *words in found if words == ["flock", "9"]
            ]
        return False

    def end_client() -> None:
        wait_until(waits)
        first(next(Path(place.inner).glob(".bus-*.part")))
        children = Path(f"/proc/self/task/{writer}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)

    holder.start()
    try:
        assert held.wait(10)
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(end_client)
            yield
            ending.result(20)
    finally:
        stop.set()
        holder.join()


def test_a_lost_write_says_whether_it_was_done(
    with_flock: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file that is no longer beside the old one may have taken its place."""
    monkeypatch.setattr("bus.runner.drivers.posix._QUIET_S", 0.1)
    place = with_flock
    place.sh("echo old >file")
    write = Write(f"{place.folder}/file", b"new")
    with (
        a_lost_write(place, lambda part: None),
        pytest.raises(TargetFailed, match=r"was not written: .* signal 9") as failed,
    ):
        place.driver.write(place.target, write)
    assert "Nothing was written" in failed.value.hint
    assert place.sh("cat file; ls -A") == "old\nfile\n"
    with (
        a_lost_write(place, Path.unlink),
        pytest.raises(TargetFailed, match=r"Nobody knows whether .* was written: ") as failed,
    ):
        place.driver.write(place.target, write)
    assert "may or may not" in failed.value.hint


def test_a_write_that_cannot_be_cleaned_up_after_is_never_told_as_not_done(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that is frozen in the middle goes on writing when it thaws; `target_busy` would say
    that nothing was done.
    """
    monkeypatch.setattr("bus.runner.drivers.posix._QUIET_S", 0.1)
    with (
        a_lost_write(local, lambda part: freeze(local)),
        pytest.raises(TargetFailed, match=r"or still will be, written: .*frozen"),
    ):
        local.driver.write(local.target, Write("/file", b"new"))
    local.driver.start(local.target)


@pytest.mark.slow
def test_a_container_that_is_frozen_in_the_middle_of_a_file_is_busy_for_readers_only(
    lxc: Place,
) -> None:
    lxc.driver.file_timeout_s = lxc.brief_s + 1  # type: ignore[attr-defined]
    lxc.sh("head -c 64000000 /dev/zero >zeros; mkdir -p /usr/local/bin")
    freezes, plain = threading.Event(), lxc.driver.exec

    def exec(target: str, run: Run, *_: Any) -> Ended:
        def on_output(stream: str, data: bytes) -> None:
            if not freezes.is_set():
                freezes.set()
                freeze(lxc)

        return plain(target, run, on_output)

    lxc.driver.exec = exec  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(TargetBusy, match="frozen"):
            lxc.driver.read(lxc.target, f"{lxc.folder}/zeros", 0, 1 << 30, 1 << 30)
        lxc.driver.start(lxc.target)
        # This busybox has no flock, so that this one is taken for it; what it says comes before the
        # file has its name.
        lxc.sh(
            "printf '#!/bin/sh\\necho held\\nsleep 1000\\n' >/usr/local/bin/flock; chmod +x"
            " /usr/local/bin/flock"
        )
        freezes.clear()
        with pytest.raises(TargetFailed, match=r"or still will be, written: .*frozen"):
            lxc.driver.write(lxc.target, Write(f"{lxc.folder}/file", b"new"))
    finally:
        lxc.driver.exec = plain  # type: ignore[method-assign]
        lxc.driver.start(lxc.target)
        lxc.sh("rm -f /usr/local/bin/flock zeros")

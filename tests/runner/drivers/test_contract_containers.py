"""What every driver of containers promises of states and snapshots."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from bus.errors import (
    BadField,
    NoSuchSnapshot,
    NotSupported,
    SnapshotExists,
    TargetBusy,
    TargetStopped,
    UnknownTarget,
)
from bus.runner.drivers.base import Write
from bus.runner.drivers.container import ContainerDriver
from bus.runner.drivers.lxc import LxcDriver
from tests.conftest import wait_until
from tests.runner.drivers.conftest import Place, freeze


def test_a_target_that_there_is_not_is_told(place: Place) -> None:
    place.target = "nobody"
    for call in (
        lambda: place.run("true"),
        lambda: place.driver.read("nobody", "/x", 0, 1, 1),
        lambda: place.driver.write("nobody", Write("/x", b"")),
        lambda: place.driver.start("nobody"),
        lambda: place.driver.stop("nobody"),
        lambda: place.driver.snapshot("nobody"),
        lambda: place.driver.restore("nobody", "x"),
        lambda: place.driver.delete_snapshot("nobody", "x"),
        lambda: place.driver.snapshots("nobody"),
        lambda: place.driver.ready("nobody"),
    ):
        with pytest.raises(UnknownTarget):
            call()


def test_every_target_is_listed(place: Place) -> None:
    listed = {entry.name: entry for entry in place.driver.list()}[place.target]
    assert (listed.driver, listed.kind) == (
        place.driver.name,
        "machine" if place.driver.name == "ssh" else "container",
    )
    assert listed.state == ("unknown" if place.driver.name == "ssh" else "running")


def test_a_target_is_stopped_and_started(container: Place) -> None:
    driver, target = container.driver, container.target
    assert driver.start(target) is False
    assert driver.stop(target, timeout_s=10) is True
    assert driver.stop(target) is False
    assert [entry.state for entry in driver.list() if entry.name == target] == ["stopped"]
    for call in (
        lambda: container.run("true"),
        lambda: driver.read(target, "/etc/passwd", 0, 1, 1),
        lambda: driver.write(target, Write("/x", b"")),
    ):
        with pytest.raises(TargetStopped):
            call()
    assert driver.start(target) is True
    assert container.run("true").exit_code == 0


def test_what_runs_ends_when_its_target_is_stopped(container: Place) -> None:
    running = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(
            container.run,
            "sh",
            "-c",
            "echo ready; sleep 1000 & sleep 1000",
            on_output=lambda *_: running.set(),
            timeout_s=60,
        )
        assert running.wait(10)
        started = time.monotonic()
        container.driver.stop(container.target, force=True)
        with suppress(TargetStopped):
            assert run.result(20).exit_code == 137
        assert time.monotonic() - started < 15
    container.driver.start(container.target)


def test_a_snapshot_brings_the_content_back(container: Place) -> None:
    driver, target, name = container.driver, container.target, f"s.{secrets.token_hex(4)}"
    container.sh(
        "mkdir kept; echo old >kept/file; chmod 640 kept/file; ln -s file kept/link; mkfifo"
        " kept/fifo"
    )
    before = container.sh("ls -lA kept; cat kept/file")
    assert driver.snapshot(target, name) == name
    with pytest.raises(SnapshotExists):
        driver.snapshot(target, name)
    container.sh("echo new >kept/file; rm kept/link; echo x >more")
    driver.restore(target, name)
    assert container.sh("ls -lA kept; cat kept/file; ls -A") == before + "kept\n"
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    generated = driver.snapshot(target)
    assert generated.startswith(day)
    assert {name, generated} <= set(
        {entry.name: entry for entry in driver.list()}[target].snapshots
    )
    with pytest.raises(NoSuchSnapshot):
        driver.restore(target, "none")
    for bad in ("-x", "../x", "", "a/b", "x" * 64, "a b", ".x", "a\n"):
        for call in (driver.snapshot, driver.restore, driver.delete_snapshot):
            with pytest.raises(BadField):
                call(target, bad)
    for made in (name, generated):
        driver.delete_snapshot(target, made)


def names_of(place: Place) -> list[str]:
    return [snapshot.name for snapshot in place.driver.snapshots(place.target)]


def test_snapshots_without_a_name_are_called_by_their_date_and_a_date_means_the_newest(
    container: Place,
) -> None:
    driver, target, before = container.driver, container.target, names_of(container)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    assert before == []
    for number, content in enumerate(("one", "two", "three"), 1):
        container.sh(f"echo {content} >file")
        assert driver.snapshot(target) == (day if number == 1 else f"{day}-{number}")
    assert names_of(container) == [day, f"{day}-2", f"{day}-3"]
    for wanted, restored, content in (
        (day, f"{day}-3", "three"),
        (f"{day}-1", day, "one"),
        (f"{day}-2", f"{day}-2", "two"),
    ):
        assert driver.restore(target, wanted).snapshot == restored
        assert container.sh("cat file") == f"{content}\n"
    for missing in (f"{day}-4", "1999-01-01", "1999-01-01-1"):
        with pytest.raises(NoSuchSnapshot):
            driver.restore(target, missing)
    driver.delete_snapshot(target, f"{day}-2")
    assert driver.snapshot(target) == f"{day}-4", "a name that was given stays that of one snapshot"
    for missing in (f"{day}-1", f"{day}-2"):
        with pytest.raises(NoSuchSnapshot):
            driver.delete_snapshot(target, missing)
    for made in (day, f"{day}-3", f"{day}-4"):
        driver.delete_snapshot(target, made)
    assert names_of(container) == []


def test_a_restore_keeps_what_was_there_and_of_such_snapshots_a_number(container: Place) -> None:
    driver, target = container.driver, container.target
    container.sh("echo old >file")
    for name in ("mine", "before-restore-mine"):
        driver.snapshot(target, name)
    container.sh("echo new >file")
    first = driver.restore(target, "mine", keep=2)
    assert first.saved is not None
    assert (container.sh("cat file"), first.removed) == ("old\n", ())
    back = driver.restore(target, first.saved, keep=2)
    assert (container.sh("cat file"), back.snapshot, back.removed) == ("new\n", first.saved, ())
    third = driver.restore(target, first.saved, keep=2)
    assert third.removed == (), "the one that was gone back to stays"
    fourth = driver.restore(target, "mine", keep=2)
    assert set(fourth.removed) == {first.saved, back.saved}
    assert set(names_of(container)) == {"mine", "before-restore-mine", third.saved, fourth.saved}
    for name in names_of(container):
        driver.delete_snapshot(target, name)


def state_of(place: Place) -> str:
    return next(listed.state for listed in place.driver.list() if listed.name == place.target)


def test_a_frozen_target_is_busy_and_neither_stopped_nor_thawed_by_a_call(container: Place) -> None:
    driver, target = container.driver, container.target
    freeze(container)
    for call in (
        lambda: driver.ready(target),
        lambda: container.run("true"),
        lambda: driver.read(target, "/etc/passwd", 0, 1, 1),
        lambda: driver.write(target, Write("/x", b"")),
    ):
        with pytest.raises(TargetBusy, match="frozen"):
            call()
    assert state_of(container) == "frozen"
    assert driver.start(target) is True
    assert (state_of(container), driver.start(target)) == ("running", False)
    driver.ready(target)
    freeze(container)
    assert driver.stop(target, force=True) is True
    assert (state_of(container), driver.stop(target)) == ("stopped", False)
    with pytest.raises(TargetStopped):
        driver.ready(target)
    driver.start(target)
    freeze(container)
    assert driver.stop(target, timeout_s=5) is True
    assert state_of(container) == "stopped"
    driver.start(target)
    assert container.run("true").exit_code == 0


def test_operations_on_one_target_are_done_one_after_the_other(container: Place) -> None:
    driver, target = container.driver, container.target
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: driver.snapshot(target), range(8)))
    assert sorted(made) == sorted([day, *(f"{day}-{number}" for number in range(2, 9))])
    assert state_of(container) == "running"
    for name in made:
        driver.delete_snapshot(target, name)


@pytest.mark.slow
def test_an_operation_whose_turn_does_not_come_is_told_to_come_again(container: Place) -> None:
    driver, target = container.driver, container.target
    assert isinstance(driver, ContainerDriver)
    driver.queue_s = 0.2
    before = names_of(container)
    with driver.queues.turn(target, 1, "snapshot"):
        for call in (
            lambda: driver.start(target),
            lambda: driver.stop(target, force=True),
            lambda: driver.snapshot(target),
            lambda: driver.restore(target, "x", keep=1),
            lambda: driver.delete_snapshot(target, "x"),
        ):
            with pytest.raises(TargetBusy, match="Nothing was done"):
                call()
    assert (state_of(container), names_of(container)) == ("running", before)
    with driver.queues.turn(target, 1, "stop"):  # a patient one
        assert driver.stop(target, force=True) is True
    driver.start(target)


@pytest.mark.slow
def test_what_an_operator_does_by_hand_is_waited_for(lxc: Place) -> None:
    """A start during a snapshot would thaw the container in the middle of the copy."""
    lxc.sh("dd if=/dev/zero of=large bs=1M count=1500 2>/dev/null")
    driver, by_hand = lxc.driver, f"hand-{secrets.token_hex(4)}"
    assert isinstance(driver, LxcDriver)
    snapshotting = subprocess.Popen(["lxc", "snapshot", lxc.target, by_hand])
    try:
        wait_until(lambda: state_of(lxc) == "frozen")
        with pytest.raises(TargetBusy, match="Snapshotting"):
            lxc.run("true")
        driver.queue_s = 0.1
        with pytest.raises(TargetBusy, match="Snapshotting"):
            driver.start(lxc.target)
        assert snapshotting.poll() is None
        driver.queue_s = 60.0
        assert driver.start(lxc.target) is False, "by then it runs again"
        assert snapshotting.wait(20) == 0
    finally:
        snapshotting.wait(60)
    driver.delete_snapshot(lxc.target, by_hand)


@pytest.mark.slow
def test_a_machine_has_no_states_and_no_snapshots(ssh: Place) -> None:
    for call in (
        ssh.driver.start, ssh.driver.stop, ssh.driver.snapshot,
        lambda target: ssh.driver.restore(target, "x"),
        ssh.driver.snapshots, lambda target: ssh.driver.delete_snapshot(target, "x"),
    ):  # fmt: skip
        with pytest.raises(NotSupported):
            call(ssh.target)

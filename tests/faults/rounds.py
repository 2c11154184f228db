"""One round of each fault, on real hubs. The tests run a few, `scripts/torture` hundreds.

Every round takes a source of chance, an empty folder and a tally, and ends the processes it
started. It counts what went wrong rather than fail, so that a long run can go on and tell
everything.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bus.log.jsonl import files
from bus.model import records
from tests.conftest import RunningHub, wait_until
from tests.faults.check import Tally
from tests.faults.load import Load
from tests.faults.tools import PowerSwitch, Shim, mounted

Round = Callable[[random.Random, Path, Tally], None]

LOCK_TIMEOUT_S = 0.5
# Small files, so that sealing and compression are under way in many of the faults too.
_SETTINGS = {
    "BUS_WORKERS": "3",
    "BUS_LOCK_TIMEOUT_S": str(LOCK_TIMEOUT_S),
    "BUS_SEGMENT_MAX_BYTES": str(400_000),
    "BUS_SEGMENT_COMPRESS": "1",
}


@contextmanager
def running(data_dir: Path, *, output: Path | None = None, **settings: str) -> Iterator[RunningHub]:
    """A started hub, killed at the end. `output` is where it writes what it says."""
    hub = RunningHub(data_dir, **{**_SETTINGS, **settings})
    hub.output = output or hub.output
    try:
        yield hub.start()
    finally:
        hub.kill()


def kill_workers(rng: random.Random, folder: Path, tally: Tally, kills: int = 12) -> None:
    """Workers are killed in the middle of posts; their clients try again with the same keys."""
    with running(folder / "data") as hub:
        with Load([hub.url], rng.random()) as load:
            for _ in range(kills):
                load.activity(rng.randrange(1, 40))
                kill(rng.choice(wait_until(hub.workers)))
                tally.injected += 1
        finish(hub, load, tally)


def kill_the_master(rng: random.Random, folder: Path, tally: Tally, kills: int = 2) -> None:
    """The master is killed, by turns alone or with all its workers at once, and the hub is started
    again.
    """
    with running(folder / "data") as hub:
        with Load([hub.url], rng.random()) as load:
            for turn in range(kills):
                load.activity(rng.randrange(20, 200))
                if turn % 2:
                    hub.kill()
                else:
                    kill_only_the_master(hub)
                tally.injected += 1
                hub.start()
        finish(hub, load, tally)


def cut_the_power(rng: random.Random, folder: Path, tally: Tally, **settings: str) -> None:
    """The disk loses what was not synced while clients post; only acknowledgements before the cut
    count.
    """
    switch = PowerSwitch(folder)
    switch.on()
    data_dir, output = switch.place / "data", folder / "hub.log"
    try:
        with running(data_dir, output=output, **settings) as hub:
            with Load([hub.url], rng.random(), retries=False, timeout_s=10) as load:
                load.activity(rng.randrange(50, 800))
                moment = switch.cut()
                tally.injected += 1
                load.activity(20)
        switch.off()
        switch.on()
        # What a reboot takes away: the shared numbers belong to a boot, and this machine has not
        # booted.
        (data_dir / "run" / "state").unlink(missing_ok=True)
        with running(data_dir, output=output) as hub:
            hub.say("after the power cut")
            tally.expect(
                hub.get("/health").json()["index"] == "ready",
                "the index is ready after a power cut",
            )
            tally.compare(data_dir, load.posts, load.acked(before=moment))
            tally.judge(hub)
            tally.failed += load.failures.total()
    finally:
        if switch.is_on():
            switch.off()


def fill_the_disk(rng: random.Random, folder: Path, tally: Tally) -> None:
    """Posts on a full disk are refused with 507 and reads go on; room comes back and so do posts,
    by themselves.
    """
    with mounted("tmpfs", "tmpfs", folder / "small", "size=24m") as disk:
        data_dir, ballast = disk / "data", disk / "ballast"
        with (
            running(
                data_dir, output=folder / "hub.log", BUS_SEGMENT_MAX_BYTES=str(64 << 20)
            ) as hub,
            Load([hub.url], rng.random(), timeout_s=10) as load,
        ):
            load.progress(rng.randrange(20, 100))
            for _ in range(2):
                known = load.acked()[-1]
                assert (
                    hub.get(f"/messages/{known.seq}").status_code == 200
                )  # which brings the index up to it
                fill(ballast)
                tally.injected += 1
                wait_until(lambda: load.failures["no_room"] > 0, 60)
                load.activity(30)
                status, message = ask(hub, f"/messages/{known.seq}")
                tally.expect(status == 200 and message["body"] == known.body, "reads go on")
                status, inbox = ask(hub, "/messages?unread_by=bob&limit=5")
                tally.expect(status == 200 and inbox["count"] == 5, "inboxes are read")
                status = hub.post(
                    "/post", json={"from": "a", "to": "b", "body": "x" * 60_000}
                ).status_code
                tally.expect(status == 507, f"a post is refused with 507, not {status}")
                ballast.unlink()
                load.progress(20)
                tally.failed += load.failures.pop("no_room")
            load.stop(30)
            finish(hub, load, tally)


def fail_a_write(rng: random.Random, folder: Path, tally: Tally) -> None:
    """One write of the log fails with EIO."""
    _fail_the_disk(rng, folder, tally, writes=1)


def fail_a_sync(rng: random.Random, folder: Path, tally: Tally) -> None:
    """One fdatasync of the log fails with EIO; the next would succeed, and lie."""
    _fail_the_disk(rng, folder, tally, syncs=1)


def _fail_the_disk(
    rng: random.Random, folder: Path, tally: Tally, writes: int = 0, syncs: int = 0
) -> None:
    shim = Shim(folder)
    with running(folder / "data", **shim.environ) as hub:
        with Load([hub.url], rng.random()) as load:
            load.progress(rng.randrange(20, 200))
            shim.fail(writes=writes, syncs=syncs)
            wait_until(lambda: "storage_failed" in load.first_failure)
            tally.injected += shim.failed()
            load.activity(60)
            late = load.acked_though_sent_after(load.first_failure["storage_failed"])
            tally.expect(not late, "no worker acknowledges after a failed write or sync")
            refused = {
                hub.post("/post", json={"from": "a", "to": "b", "body": "x"}).status_code
                for _ in range(12)
            }
            tally.expect(refused == {503}, "every worker refuses posts")
            status, health = ask(hub, "/health")
            tally.expect(status == 503 and health["ok"] is False, "/health says so")
            status, inbox = ask(hub, "/messages?unread_by=bob&limit=500")
            tally.expect(status == 200 and inbox["count"] > 0, "reads go on")
            hub.stop()
            hub.start()
            tally.expect(hub.get("/health").status_code == 200, "a start lifts the stop")
            load.progress(20)
        tally.expect(
            "the log was verified" in hub.output.read_text(),
            "the start says that it verified the log",
        )
        finish(hub, load, tally)


HOLDER = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
signal.pause()
"""


@contextmanager
def held_by_a_stopped_process(lock: Path) -> Iterator[None]:
    """Somebody else takes a lock and is stopped; in the end it goes on and ends."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, lock], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            holder.send_signal(signal.SIGSTOP)
            yield
        finally:
            holder.send_signal(signal.SIGCONT)
            holder.kill()


def stop_the_holder_of_the_lock(rng: random.Random, folder: Path, tally: Tally) -> None:
    """A stopped process keeps a lock: posts are answered 503 in bounded time, reads go on, and all
    goes on afterwards.
    """
    with running(folder / "data") as hub, Load([hub.url], rng.random()) as load:
        for lock in ("append.lock", "sync.lock"):
            load.progress(rng.randrange(10, 40))
            with held_by_a_stopped_process(hub.data_dir / "run" / lock):
                tally.injected += 1
                for _ in range(6):
                    started = time.monotonic()
                    status = hub.post(
                        "/post", json={"from": "a", "to": "b", "body": "x"}
                    ).status_code
                    took = time.monotonic() - started
                    tally.expect(status == 503, f"a post is answered 503, not {status}")
                    tally.expect(
                        took < 8 * LOCK_TIMEOUT_S,
                        f"the answer comes in bounded time, not after {took:.1f} s",
                    )
                    status, _ = ask(hub, "/messages?unread_by=bob&limit=1")
                    tally.expect(status == 200, "reads go on")
        load.progress(20)
        load.stop(30)
        finish(hub, load, tally)


def stop_workers(rng: random.Random, folder: Path, tally: Tally, stops: int = 8) -> None:
    """Workers are stopped and let go at random moments; their clients lose patience and try again
    elsewhere.
    """
    with running(folder / "data") as hub:
        with Load([hub.url], rng.random(), timeout_s=2) as load:
            for _ in range(stops):
                load.activity(rng.randrange(1, 60))
                worker = rng.choice(wait_until(hub.workers))
                os.kill(worker, signal.SIGSTOP)
                tally.injected += 1
                load.activity(rng.randrange(5, 40))
                os.kill(worker, signal.SIGCONT)
        finish(hub, load, tally)


def set_the_clock_back(rng: random.Random, folder: Path, tally: Tally) -> None:
    """The clock of the hub jumps by an hour or a day, mostly back; order and numbers do not
    care.
    """
    shim = Shim(folder)
    with running(folder / "data", **shim.environ) as hub:
        with Load([hub.url], rng.random()) as load:
            for seconds in (-3_600, 86_400, -86_400, -1):
                load.progress(rng.randrange(20, 60))
                shim.set_clock(seconds)
                tally.injected += 1
                load.progress(5)
        times = [
            message["ts"] for message in hub.get("/messages?since=0&limit=500").json()["messages"]
        ]
        tally.expect(times != sorted(times), "the hub's clock did step back")
        finish(hub, load, tally)


def reload_under_load(rng: random.Random, folder: Path, tally: Tally, reloads: int = 4) -> None:
    """`kill -HUP` changes every worker, and no request of any client fails, though none is tried
    twice.
    """
    with running(folder / "data") as hub:
        with Load([hub.url], rng.random(), retries=False) as load:
            for _ in range(reloads):
                load.progress(rng.randrange(20, 80))
                before = set(hub.workers())
                assert hub.process is not None
                hub.process.send_signal(signal.SIGHUP)
                tally.injected += 1
                wait_until(lambda: len(hub.workers()) >= 3 and not before & set(hub.workers()), 60)  # noqa: B023
                load.progress(20)
        tally.expect(not load.failures, f"no request fails: {dict(load.failures)}")
        finish(hub, load, tally)


def run_two_hubs(rng: random.Random, folder: Path, tally: Tally) -> None:
    """Two hubs on one data folder: one order, and a message posted at one is seen at the other at
    once.
    """
    with (
        running(folder / "data", BUS_WORKERS="2") as one,
        running(folder / "data", BUS_WORKERS="2") as other,
    ):
        listen_at_both(
            one, other, tally, "quiet"
        )  # nothing but the message itself can wake the listener
        with Load([one.url, other.url], rng.random()) as load:
            load.progress(20)
            listen_at_both(one, other, tally, "busy")
            kill(rng.choice(wait_until(other.workers)))
            load.progress(40)
        ends = {ask(hub, "/health")[1]["last_seq"] for hub in (one, other)}
        tally.expect(len(ends) == 1, "one end for both")
        finish(one, load, tally)


def listen_at_both(one: RunningHub, other: RunningHub, tally: Tally, name: str) -> None:
    """Post at each hub, three times, what somebody waits for at the other."""
    for turn in range(6):
        here, there = (one, other) if turn % 2 else (other, one)
        waited = heard_elsewhere(here, there, f"{name}{turn}")
        tally.injected += 1
        tally.expect(
            waited < 2, f"a long poll at the other hub answers promptly, not after {waited:.2f} s"
        )


def work_offline_beside_the_hub(rng: random.Random, folder: Path, tally: Tally) -> None:
    """Every command runs while clients post, and a backup is whole."""
    with running(folder / "data", BUS_SEGMENT_MAX_BYTES=str(60_000)) as hub:
        with Load([hub.url], rng.random()) as load:
            load.progress(150)
            for command in (
                ["verify"],
                ["stats"],
                ["export"],
                ["reindex"],
                ["backup", str(folder / "copy")],
                ["compress"],
            ):
                acked = load.acked()
                ran = hub.run(*command)
                tally.injected += 1
                tally.expect(
                    ran.returncode == 0,
                    f"{command[0]} works beside the hub: {ran.stdout}{ran.stderr}",
                )
                if command[0] == "export":
                    missing = {post.body for post in acked} - {
                        line_body(line) for line in ran.stdout.rstrip("\n").split("\n")
                    }
                    tally.expect(not missing, "an export holds what was acknowledged before it")
                if command[0] == "backup":
                    copy = Tally("backup")
                    copy.compare(folder / "copy", load.posts, acked)
                    copy.judge(RunningHub(folder / "copy"))
                    tally.expect(copy.is_good(), "a backup is whole")
        finish(hub, load, tally)


def ask(hub: RunningHub, path: str) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an answer; its connection is closed, so that the hub need not wait
    for it to stop.
    """
    reply = hub.get(path, headers={"Connection": "close"})
    return reply.status_code, reply.json()


def finish(hub: RunningHub, load: Load, tally: Tally) -> None:
    """Compare the log with what the clients were told, once everything has calmed down."""
    hub.say("the last one", sender="harness")
    tally.failed += load.failures.total()
    tally.compare(hub.data_dir, load.posts, load.acked())
    tally.judge(hub)
    count = sum(1 for _ in messages_of(hub.data_dir))
    known = hub.get("/health").json()
    tally.expect(
        known["count"] == count,
        f"the index holds every message of the log: {known['count']} of {count}",
    )


def messages_of(data_dir: Path) -> Iterator[dict[str, object]]:
    """The messages in the files of a log."""
    for path in [*files.sealed(data_dir).values(), data_dir / files.ACTIVE]:
        for line in files.sealed_lines(path, 0):
            with suppress(records.Damaged):
                if (
                    not records.is_filler(line.data)
                    and (record := records.decode(line.data))["kind"] == "message"
                ):
                    yield record


def heard_elsewhere(here: RunningHub, there: RunningHub, listener: str) -> float:
    """How long a long poll at `there` takes to give a message that was posted at `here`."""
    heard: list[float] = []

    def listen() -> None:
        reply = there.get(f"/messages?unread_by={listener}&wait=20")
        assert reply.json()["messages"], reply.text
        heard.append(time.monotonic())

    waiting = there.get("/health").json()["waiting"]
    thread = threading.Thread(target=listen)
    thread.start()
    wait_until(lambda: there.get("/health").json()["waiting"] > waiting)
    posted = time.monotonic()
    here.say("do you hear me?", to=listener)
    thread.join(30)
    return heard[0] - posted


def line_body(line: str) -> str:
    """The body of an exported message."""
    return str(json.loads(line)["body"])


def fill(path: Path) -> None:
    """Take all the room there is."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_only_the_master(hub: RunningHub) -> None:
    """Kill the master; its workers notice, and end by themselves."""
    assert hub.process is not None
    orphans = hub.workers()
    hub.process.kill()
    hub.process.wait(20)
    wait_until(lambda: not any(is_alive(pid) for pid in orphans), 60)
    hub.process = None


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    return False


ROUNDS: dict[str, Sequence[Round]] = {
    "kill": [kill_workers],
    "master": [kill_the_master],
    "power": [cut_the_power],
    "full": [fill_the_disk],
    "write": [fail_a_write],
    "sync": [fail_a_sync],
    "stop": [stop_workers, stop_the_holder_of_the_lock],
    "clock": [set_the_clock_back],
    "reload": [reload_under_load],
    "two": [run_two_hubs],
    "offline": [work_offline_beside_the_hub],
}

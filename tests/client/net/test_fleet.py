"""The client and the real hub together: in this process with folders that play machines, and as
processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from busclient import (
    ApprovalDenied,
    ApprovalRequired,
    Bus,
    Chunk,
    FileChanged,
    Forbidden,
    Impossible,
    KeyReused,
    NotFound,
    NotPermitted,
    NotYourName,
    Settings,
    TargetStopped,
    UnknownTarget,
)
from busclient._cli import exits
from tests.client.conftest import command
from tests.client.doors import URL, Door
from tests.conftest import ROOT, RunningHub, wait_until
from tests.fleet import SECRET, Fleet, a_fleet

As = Callable[..., Bus]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with a_fleet(tmp_path) as made:
        yield made


@pytest.fixture
def speaks(fleet: Fleet, door_to: Callable[[Any], Door]) -> As:
    """Clients with credentials of their own: `speaks("web1")`."""

    def make(user: str, name: str = "") -> Bus:
        return Bus(
            Settings(url=URL, user=user, password=SECRET, name=name or user),
            transport=door_to(fleet.app),
            sleep=short,
        )

    def short(pause_s: float) -> None:
        """Pauses as they are, only shorter."""
        time.sleep(min(pause_s, 0.02))

    return make


def test_nothing_is_allowed_until_an_admin_says_so(speaks: As) -> None:
    web1, admin = speaks("web1"), speaks("admin")
    with pytest.raises(NotPermitted):
        web1.net.exec("box", "id")
    assert not web1.net.check_permission("box", "exec").allowed
    with pytest.raises(Forbidden):
        web1.admin.permit("web1", "box")
    rule = admin.admin.permit(
        "web1", "box", actions=["exec"], commands=["echo hi"], expires_in_s=3600
    )
    assert (rule.actions, rule.commands, rule.by) == (("exec",), (("echo", "hi"),), "admin")
    assert web1.net.exec("box", "echo hi there").text == "hi there\n"
    with pytest.raises(NotPermitted):
        web1.net.exec("box", ["echo", "ho"])
    verdict = admin.net.check_permission("box", "exec", source="web1", command="echo ho")
    assert not verdict.allowed
    assert [rule.source for rule in web1.net.permissions()] == ["web1"]
    admin.admin.revoke("web1", "box")
    with pytest.raises(NotPermitted):
        web1.net.exec("box", "echo hi there")
    admin.admin.permit("*", "box")
    assert admin.admin.remove_permission("web1", "box") == ("exec", "file_read", "file_write")
    assert web1.net.exec("box", "echo hi there").text == "hi there\n"


@pytest.fixture
def web1(fleet: Fleet, speaks: As) -> Bus:
    """A session of web1, which may do everything in box."""
    fleet.permit()
    return speaks("web1", "web1/alpha")


def test_commands_end_as_they_end(web1: Bus, fleet: Fleet) -> None:
    result = web1.net.exec("box", "printf 'a\\377\\0b'; echo oops >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr, result.truncated) == (
        3,
        b"a\xff\0b",
        b"oops\n",
        False,
    )
    assert web1.net.exec("box", ["cat"], stdin=b"\0\xff").stdout == b"\0\xff"
    assert web1.net.exec("box", "echo $A", env={"A": "b c"}).text == "b c\n"
    over = web1.net.exec("box", "echo before; sleep 60", timeout_s=0.3)
    assert (over.timed_out, over.exit_code, over.stdout) == (True, None, b"before\n")
    assert web1.net.exec("box", "head -c 2000000 /dev/zero").truncated
    with pytest.raises(Impossible):
        web1.net.exec("box", ["/no/such/program"])
    fleet.permit(target="nosuch")
    with pytest.raises(UnknownTarget):
        web1.net.exec("nosuch", "id")


def test_a_result_is_posted_in_a_thread(web1: Bus, speaks: As) -> None:
    asked = speaks("db1").post("which kernel?", to="web1/alpha").message
    assert asked is not None
    result = web1.net.exec("box", "printf 'a\\377'", thread=asked.seq)
    (told,) = speaks("db1").unread()
    assert (told.sender, told.in_reply_to) == ("web1/alpha", asked.id)
    assert (told.raw["call"]["id"], told.raw["call"]["size"]) == (result.id, 2)
    assert web1.net.stdout(result.id) == b"a\xff"
    with pytest.raises(NotFound):
        web1.net.stdout("01K" + "A" * 23)
    with pytest.raises(NotFound):
        web1.net.exec("box", "true", thread=99_999)


def test_a_key_runs_a_command_once(web1: Bus, fleet: Fleet) -> None:
    first = web1.net.exec("box", "echo x >> ran; wc -l < ran", key="k")
    again = web1.net.exec("box", "echo x >> ran; wc -l < ran", key="k")
    assert (first.text.strip(), again.text.strip(), first.replayed, again.replayed) == (
        "1",
        "1",
        False,
        True,
    )
    with web1.net.exec_stream("box", "echo x >> ran; wc -l < ran", key="k") as running:
        assert b"".join(chunk.data for chunk in running).strip() == b"1"
    assert running.result.replayed
    with pytest.raises(KeyReused):
        web1.net.exec("box", "something else", key="k")
    assert (fleet.folder / "box" / "ran").read_text() == "x\n"


def test_an_answer_that_is_lost_runs_nothing_twice(
    fleet: Fleet, web1: Bus, door_to: Callable[[Any], Door]
) -> None:
    door = door_to(fleet.app)
    door.troubles.append("lost")
    with Bus(Settings(url=URL, user="web1", password=SECRET), transport=door) as lossy:
        assert lossy.net.exec("box", "echo x >> ran").replayed
    assert (fleet.folder / "box" / "ran").read_text() == "x\n"


def test_a_call_that_still_runs_is_waited_for_under_its_key(
    fleet: Fleet, web1: Bus, speaks: As, tmp_path: Path
) -> None:
    """The same call from two threads is one; the second gets the first one's answer."""
    got = []
    script = "echo x >> ran; while [ ! -e go ]; do sleep 0.02; done; echo done"
    threads = [
        threading.Thread(
            target=lambda: got.append(speaks("web1").net.exec("box", script, key="same"))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_until((fleet.folder / "box" / "ran").exists)
    (fleet.folder / "box" / "go").touch()
    for thread in threads:
        thread.join(30)
    assert sorted((result.text, result.replayed) for result in got) == [
        ("done\n", False),
        ("done\n", True),
    ]
    assert (fleet.folder / "box" / "ran").read_text() == "x\n"


def test_output_is_streamed_as_it_comes(web1: Bus, fleet: Fleet) -> None:
    script = (
        "echo first; while [ ! -e go ]; do sleep 0.02; done; echo oops >&2; head -c 5000 /dev/zero;"
        " exit 4"
    )
    with web1.net.exec_stream("box", script) as running:
        chunks = iter(running)
        assert next(chunks) == Chunk("stdout", b"first\n")
        (fleet.folder / "box" / "go").touch()
        rest = list(chunks)
    assert sum(len(chunk.data) for chunk in rest if chunk.stream == "stdout") == 5000
    assert b"".join(chunk.data for chunk in rest if chunk.stream == "stderr") == b"oops\n"
    assert running.result.exit_code == 4


def test_a_detached_command_runs_on_and_tells(web1: Bus) -> None:
    id = web1.net.exec_detached("box", "echo out; exit 7")
    call = web1.net.wait_for_call(id, 20)
    assert call.result is not None
    assert (call.state, call.type, call.result.exit_code, call.result.text) == (
        "done",
        "exec",
        7,
        "out\n",
    )
    (message,) = web1.wait(20)
    assert message.data is not None
    assert (message.sender, message.data["id"], message.data["exitCode"]) == ("bus", id, 7)
    running = web1.net.exec_detached("box", "sleep 60")
    assert web1.net.end_call(running)
    assert web1.net.wait_for_call(running, 20).state != "running"
    failed = web1.net.wait_for_call(web1.net.exec_detached("box", ["/no/such"]), 20)
    assert (failed.state, failed.result) == ("error", None)
    with pytest.raises(NotFound):
        web1.net.call("0" * 26)


def test_files_go_both_ways(web1: Bus, fleet: Fleet) -> None:
    data = bytes(range(256)) * 40
    wrote = web1.net.write_file(
        "box", "/deep/file", data, mode="0600", create_dirs=True, if_sha256=""
    )
    assert (wrote.sha256, wrote.size, wrote.mode) == (
        hashlib.sha256(data).hexdigest(),
        len(data),
        "0600",
    )
    assert (fleet.folder / "box" / "deep" / "file").read_bytes() == data
    assert web1.net.read_file("box", "/deep/file").content == data
    part = web1.net.read_file("box", "/deep/file", offset=3, limit=4)
    assert (part.content, part.offset, part.sha256) == (data[3:7], 3, wrote.sha256)
    with pytest.raises(FileChanged) as caught:
        web1.net.write_file("box", "/deep/file", "new", if_sha256="0" * 64)
    assert caught.value.details["sha256"] == wrote.sha256
    assert web1.net.write_file("box", "/deep/file", "é\n", if_sha256=wrote.sha256).size == 3
    assert web1.net.read_file("box", "/deep/file").text == "é\n"
    with pytest.raises(NotFound):
        web1.net.read_file("box", "/nosuch")
    with pytest.raises(Impossible):
        web1.net.read_file("box", "/deep")


def test_an_admin_is_asked_and_the_caller_waits(fleet: Fleet, web1: Bus, speaks: As) -> None:
    admin = speaks("admin")
    admin.admin.permit("web1", "box", needs_approval=True)
    with pytest.raises(ApprovalRequired) as caught:
        web1.net.exec("box", ["touch", "ran"])
    asked = admin.net.approval(caught.value.id)
    assert (asked.state, asked.argv, asked.sender) == ("pending", ("touch", "ran"), "web1/alpha")
    got: list[int | None] = []
    waiting = threading.Thread(
        target=lambda: got.append(
            web1.net.exec("box", ["touch", "ran"], wait_for_approval_s=30).exit_code
        )
    )
    waiting.start()
    assert not (fleet.folder / "box" / "ran").exists()
    assert admin.admin.approve(asked.id).state in ("allowed", "used")
    waiting.join(30)
    assert got == [0]
    assert (fleet.folder / "box" / "ran").exists()
    with pytest.raises(ApprovalRequired) as caught:
        web1.net.write_file("box", "/note", "new\n")
    assert "+new" in (admin.net.approval(caught.value.id).diff or "")
    admin.admin.approve(caught.value.id, False)
    with pytest.raises(ApprovalDenied):
        web1.net.write_file("box", "/note", "new\n", wait_for_approval_s=30)
    assert [one.state for one in admin.net.approvals(state="denied")] == ["denied"]
    ids = []
    for name in "ab":
        with pytest.raises(ApprovalRequired) as caught:
            web1.net.exec("box", ["touch", name])
        ids.append(caught.value.id)
    assert [one.id for one in admin.net.approvals(state="pending", sender="web1")] == ids
    assert admin.net.approvals(state="pending", sender="db1") == []
    assert [one.state for one in admin.admin.approve_all(ids)] == ["allowed", "allowed"]


def test_containers_are_managed(web1: Bus, speaks: As, fleet: Fleet) -> None:
    admin = speaks("admin")
    (fleet.folder / "box" / "note").write_text("before")
    made = admin.admin.container("snapshot", "box", snapshot="s1")
    assert (made.changed, made.snapshot) == (True, "s1")
    (fleet.folder / "box" / "note").write_text("after")
    found = {container.name: container for container in admin.admin.containers().found}
    assert "s1" in found["box"].snapshots
    assert admin.admin.container("restore", "box", snapshot="s1").saved
    assert (fleet.folder / "box" / "note").read_text() == "before"
    assert admin.admin.container("stop", "box").changed
    assert not admin.admin.container("stop", "box").changed
    with pytest.raises(TargetStopped):
        web1.net.exec("box", "id")
    assert admin.admin.container("start", "box").changed
    assert [snapshot.by_restore for snapshot in admin.admin.snapshots("box")] == [False, True]
    assert admin.admin.delete_snapshot("box", "s1").snapshot == "s1"
    assert [snapshot.name.partition("-2")[0] for snapshot in admin.admin.snapshots("box")] == [
        "before-restore"
    ]
    with pytest.raises(Forbidden):
        web1.admin.containers()


def test_what_happened_is_told_and_followed(web1: Bus, speaks: As) -> None:
    web1.net.exec("box", "echo one")
    events = [
        event for event in web1.net.activity(type="exec", target="box") if event.result == "ok"
    ]
    assert [(event.about, event.exit_code) for event in events] == [("echo one", 0)]
    following = speaks("admin").net.follow_activity(type="exec", since=events[-1].seq)
    threading.Timer(0.1, lambda: speaks("web1").net.exec("box", "echo two")).start()
    assert next(following).about == "echo two"
    assert {machine.name: machine.kind for machine in web1.net.machines().found}[
        "box"
    ] == "container"


def test_a_credential_speaks_for_its_own_name_only(speaks: As, fleet: Fleet) -> None:
    with pytest.raises(NotYourName) as caught:
        speaks("web1", "db1").post("x", to="any")
    assert "BUS_NAME" in caught.value.hint
    fleet.permit()
    assert speaks("web1", "laptop").net.exec("box", "id").succeeded


# -- as processes --------------------------------------------------------------------------------


@dataclass
class Whole:
    """A hub and the service that runs commands, as processes; one target, `box`; an admin."""

    hub: RunningHub
    box: Path
    admin_secret: str

    def environ(self, home: Path, user: str = "", secret: str = "") -> dict[str, str]:
        home.mkdir(exist_ok=True)
        mine = {"BUS_URL": self.hub.url, "BUS_USER": user, "BUS_PASS": secret} if user else {}
        return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), **mine}

    def admin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return command(
            self.environ(self.box.parent / "admin", "admin", self.admin_secret), *arguments
        )


@pytest.fixture
def whole(hub_at: Callable[..., RunningHub], tmp_path: Path) -> Iterator[Whole]:
    data, box = tmp_path / "data", tmp_path / "box"
    data.mkdir(mode=0o700)
    box.mkdir()
    (data / "targets.toml").write_text(f'[box]\ndriver = "local"\nfolder = "{box}"\n')
    hub = hub_at(data, BUS_LXC="none")
    added = hub.run("credential", "rotate", "admin", "--json")
    if added.returncode != 0:
        added = hub.run("credential", "add", "admin", "--admin", "--json")
    assert added.returncode == 0, added.stderr
    environ = {**hub.environ, "BUS_LXC": "none"}
    with open(tmp_path / "service.log", "ab") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "bus", "exec-service"],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until((data / "run" / "exec.sock").exists)
        yield Whole(hub, box, json.loads(added.stdout)["secret"])
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)


@pytest.mark.slow
def test_from_an_invite_to_a_command_on_another_machine(whole: Whole, tmp_path: Path) -> None:
    invited = whole.admin("invite", "web1")
    assert invited.returncode == 0, invited.stderr
    line = invited.stdout.split()
    assert line[:2] == ["bus", "join"]
    web1 = whole.environ(tmp_path / "web1")
    joined = command(web1, *line[1:])
    assert joined.returncode == 0, joined.stderr
    assert "as web1" in joined.stdout
    again = command(whole.environ(tmp_path / "thief"), *line[1:])
    assert (again.returncode, "Traceback" in again.stderr) == (exits.REFUSED, False), again.stderr
    assert command(web1, "status").returncode == 0
    assert "the hub knows web1, as member" in command(web1, "doctor").stdout

    assert command(web1, "exec", "box", "--", "echo", "hi").returncode == exits.NOT_RUN
    assert whole.admin("permit", "web1", "box").returncode == 0
    done = command(web1, "exec", "box", "-c", "echo out; echo err >&2; exit 42")
    assert (done.returncode, done.stdout, done.stderr) == (42, "out\n", "err\n")
    assert (
        command(web1, "exec", "--timeout", "0.2", "box", "--", "sleep", "30").returncode
        == exits.TIME_OVER
    )

    data = bytes(range(256)) * 10
    put = subprocess.run(
        [sys.executable, "-m", "busclient", "put", "box:/x"],
        input=data,
        env=web1,
        capture_output=True,
        check=False,
    )
    assert put.returncode == 0, put.stderr
    got = subprocess.run(
        [sys.executable, "-m", "busclient", "cat", "box:/x"],
        env=web1,
        capture_output=True,
        check=False,
    )
    assert got.stdout == data
    echoed = subprocess.run(
        [sys.executable, "-m", "busclient", "exec", "-i", "box", "--", "cat"],
        input=data,
        env=web1,
        capture_output=True,
        check=False,
    )
    assert (echoed.stdout, echoed.returncode) == (data, 0)

    assert command(web1, "credential", "rotate").returncode == 0
    assert command(web1, "exec", "box", "--", "true").returncode == 0
    assert whole.admin("revoke", "web1", "box").returncode == 0
    assert command(web1, "exec", "box", "--", "true").returncode == exits.NOT_RUN
    assert "exec (denied" in whole.admin("activity", "--type", "exec").stdout


@pytest.mark.slow
def test_a_stream_is_not_cut_where_the_kept_output_is(whole: Whole, tmp_path: Path) -> None:
    assert whole.admin("permit", "admin", "box").returncode == 0
    many = whole.admin("exec", "box", "-c", "yes | head -c 3000000")
    assert (many.returncode, len(many.stdout), many.stderr) == (0, 3000000, "")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, None])
def test_leaving_a_command_ends_its_whole_tree_over_there(
    whole: Whole, how: signal.Signals | None, tmp_path: Path
) -> None:
    """By Ctrl-C, by SIGTERM, by a death without a word, and by a reader of our output that goes
    away (None).
    """
    assert whole.admin("permit", "admin", "box").returncode == 0
    script = "sleep 600 & echo $! > child; echo $$ > shell; while true; do echo y; sleep 0.01; done"
    with subprocess.Popen(
        [sys.executable, "-m", "busclient", "exec", "--timeout", "10m", "box", "-c", script],
        env=whole.environ(tmp_path / "admin", "admin", whole.admin_secret),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"y\n"
        pids = [int((whole.box / name).read_text()) for name in ("shell", "child")]
        assert all(map(is_alive, pids))
        if how is None:
            running.stdout.close()
        else:
            running.send_signal(how)
        code = running.wait(30)
    wait_until(lambda: not any(map(is_alive, pids)))
    expected = {
        signal.SIGINT: exits.INTERRUPTED,
        signal.SIGTERM: exits.INTERRUPTED,
        signal.SIGKILL: -9,
        None: exits.NOT_RUN,
    }
    assert code == expected[how]


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.slow
def test_an_admin_answers_on_the_command_line(whole: Whole, tmp_path: Path) -> None:
    secret = json.loads(whole.hub.run("credential", "add", "web1", "--json").stdout)["secret"]
    web1 = whole.environ(tmp_path / "web1", "web1", secret)
    assert whole.admin("permit", "web1", "box", "--action", "exec", "--approval").returncode == 0
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "busclient",
            "exec",
            "--wait-approval",
            "1m",
            "box",
            "--",
            "touch",
            "a b",
        ],
        env=web1,
    ) as waiting:
        asked = wait_until(lambda: json.loads(whole.admin("approve", "--json").stdout)["approvals"])
        assert waiting.poll() is None
        assert not (whole.box / "a b").exists()
        answered = whole.admin("approve", asked[0]["id"], "--yes")
        assert '$ touch "a b"' in answered.stdout
        assert waiting.wait(60) == 0
    assert (whole.box / "a b").exists()

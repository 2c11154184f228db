"""What happens to a call when something dies, or cannot be written, in the middle of it."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from bus import create_runner
from bus.config import Config
from bus.runner.protocol import encoded
from bus.system.sockets import address_of
from tests.client.http.test_ssh import Sshd
from tests.conftest import basic, wait_until
from tests.fleet import SECRET, Fleet, a_fleet, is_gone, settings
from tests.log.faulty import FaultyDisk
from tests.log.folder import drafts
from tests.running_fleet import FleetHub, RunningService, running_fleet

# -- in this process -----------------------------------------------------------------------------


@pytest.fixture
def disk() -> FaultyDisk:
    """The disk of the service's log; the hub's own is well."""
    return FaultyDisk()


@pytest.fixture
def fleet(tmp_path: Path, disk: FaultyDisk) -> Iterator[Fleet]:
    with a_fleet(tmp_path, disk=disk) as made:
        made.permit()
        yield made


def test_a_call_that_cannot_be_recorded_is_not_run(fleet: Fleet, disk: FaultyDisk) -> None:
    disk.errors["write"] = errno.ENOSPC
    reply = fleet.web1.exec("touch ran")
    assert (reply.status_code, reply.json["error"]) == (507, "no_room")
    assert not (fleet.folder / "box" / "ran").exists()
    assert fleet.records("call_started") == []


@pytest.mark.slow
def test_an_end_that_cannot_be_recorded_is_recorded_later_and_the_caller_hears_it(
    fleet: Fleet, disk: FaultyDisk
) -> None:
    fifo = fleet.folder / "box" / "go"
    os.mkfifo(fifo)
    got: list[Any] = []
    call = threading.Thread(
        target=lambda: got.append(fleet.web1.exec("read word < go; echo $word", client_id="k").json)
    )
    call.start()
    wait_until(lambda: fleet.records("call_started"))
    disk.errors["write"] = errno.ENOSPC
    fifo.write_text("hello\n")
    call.join(20)
    assert got[0]["stdout"] == "hello\n"
    assert fleet.records("call_ended") == []
    disk.errors.clear()
    wait_until(lambda: fleet.records("call_ended"))
    assert fleet.records("call_ended")[0]["result"] == "ok"
    assert fleet.web1.exec("read word < go; echo $word", client_id="k").json["replayed"] is True


@pytest.mark.slow
def test_a_right_is_not_decided_on_an_index_that_is_behind(fleet: Fleet) -> None:
    """Another process holds the index: the grant that was taken back meanwhile cannot be seen."""
    other = sqlite3.connect(fleet.config.data_dir / "index.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fleet.hub.log.append(
        drafts(
            [
                {
                    "kind": "permission",
                    "auth": "admin",
                    "from": "admin",
                    "source": "web1",
                    "target": "box",
                    "allow": False,
                    "actions": ["exec"],
                }
            ]
        )
    )
    reply = fleet.web1.exec("touch ran")
    assert (reply.status_code, reply.json["error"]) == (503, "busy")
    other.execute("ROLLBACK")
    other.close()
    assert fleet.web1.exec("touch ran").status_code == 403
    assert not (fleet.folder / "box" / "ran").exists()


def test_what_a_call_gave_is_on_stable_storage_before_its_end_is_recorded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, synced, real = fleet.config.data_dir / "calls", [], os.fsync

    def fsync(fd: int) -> None:
        files = sorted(path.suffix == ".json" for path in kept.iterdir())
        synced.append(
            (
                Path(os.readlink(f"/proc/self/fd/{fd}")).parent == kept,
                files,
                len(fleet.records("call_ended")),
            )
        )
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    assert fleet.web1.exec("echo hi").status_code == 200
    assert synced == [
        (True, [False], 0),
        (False, [True], 0),
    ]  # the file before it has its name, the folder after


@pytest.mark.slow
def test_old_results_are_removed_by_the_service(tmp_path: Path) -> None:
    kept = settings(tmp_path).data_dir / "calls"
    kept.mkdir()
    old = kept / f"{'0' * 26}.json"
    old.write_text("{}")
    os.utime(old, (0, 0))
    with a_fleet(tmp_path):
        wait_until(lambda: not old.exists())


def test_the_door_is_shut_for_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with a_fleet(tmp_path) as fleet:
            assert fleet.config.exec_socket_file.stat().st_mode & 0o007 == 0
    finally:
        os.umask(before)


@pytest.mark.slow
def test_it_ends_with_the_process_that_it_is_for(tmp_path: Path) -> None:
    service = create_runner(settings(tmp_path))
    serving = threading.Thread(
        target=service.serve, args=(os.getpid(),), daemon=True
    )  # nobody is its own parent
    serving.start()
    wait_until(lambda: not serving.is_alive())


def test_a_second_service_is_refused(fleet: Fleet) -> None:
    with pytest.raises(OSError, match="already"):
        create_runner(fleet.config)
    assert fleet.web1.exec("echo still here").json["stdout"] == "still here\n"


def test_stopping_the_service_ends_what_runs_and_records_it(tmp_path: Path) -> None:
    with a_fleet(tmp_path) as fleet:
        fleet.permit()
        id = fleet.web1.exec("echo $$; sleep 300", detach=True).json["id"]
        pid = int(wait_until(lambda: fleet.web1.get(f"/api/exec/{id}").json["stdout"]))
        fleet.runner.stop_soon()
        wait_until(lambda: not fleet.config.exec_socket_file.exists())
        assert fleet.records("call_ended")[-1]["cancelled"] is True
        assert is_gone(pid)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]\n", b"{}\n", b"\xff\n", b'{"op":"fly"}\n', b'{"op":"call"}\n']
)
def test_nonsense_at_its_door_harms_nobody(fleet: Fleet, line: bytes) -> None:
    with (
        socket.socket(socket.AF_UNIX) as door,
        address_of(fleet.config.exec_socket_file) as address,
    ):
        door.connect(address)
        door.sendall(line)
        door.shutdown(socket.SHUT_WR)
        answer = door.makefile("rb").read()
    assert answer == b"" or b'"error"' in answer
    assert fleet.web1.exec("echo well").json["stdout"] == "well\n"


@pytest.mark.slow
def test_a_run_whose_end_nobody_told_is_unknown_everywhere(fleet: Fleet) -> None:
    command = "echo out; kill -KILL $PPID; sleep 300"
    answer = fleet.web1.exec(command, client_id="k").json
    assert (answer["ok"], answer["state"], answer["exitCode"], answer["stdout"]) == (
        False,
        "unknown",
        None,
        "out\n",
    )
    assert "signal 9" in answer["reason"]
    again = fleet.web1.exec(command, client_id="k").json
    assert (again["state"], again["stdout"], again["replayed"]) == ("unknown", "out\n", True)
    assert fleet.web1.get(f"/api/exec/{answer['id']}").json["state"] == "unknown"
    assert (
        fleet.records("call_ended")[-1]["result"]
        == fleet.admin.events("type=exec")[-1]["result"]
        == "unknown"
    )
    assert "leaked" not in answer  # none was left


def test_a_stream_that_was_delivered_whole_is_not_truncated(tmp_path: Path) -> None:
    with a_fleet(tmp_path, exec_max_output=1024) as fleet:
        fleet.permit()
        lines = fleet.web1.exec("head -c 5000 /dev/zero", stream=True).text.splitlines()
        result = json.loads(lines[-1])["result"]
        assert (result["truncated"], result["stdout_size"]) == (False, 5000)
        kept = fleet.web1.get(f"/api/exec/{result['id']}").json
        assert (kept["truncated"], len(kept["stdout"])) == (True, 1024)


@pytest.mark.slow
def test_a_reader_that_reads_nothing_does_not_keep_a_command_beyond_its_time(fleet: Fleet) -> None:
    fields = {"target": "box", "command": "echo $$ > pid; yes", "timeout_s": 0.5, "stream": True}
    request = {
        "op": "call",
        "type": "exec",
        "fields": fields,
        "authorization": basic("web1", SECRET),
    }
    with (
        socket.socket(socket.AF_UNIX) as door,
        address_of(fleet.config.exec_socket_file) as address,
    ):
        door.connect(address)
        door.sendall(encoded(request))
        done = wait_until(
            lambda: fleet.records("call_ended"), within_s=15
        )  # a slow reader of an answer has 20 s
    assert (done[0].get("timed_out"), done[0].get("cancelled")) == (True, None)
    assert is_gone(int((fleet.folder / "box" / "pid").read_text()))


# -- real processes ------------------------------------------------------------------------------


Pair = tuple[FleetHub, RunningService, Config]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with running_fleet(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_after_a_kill_of_the_service_a_call_is_unknown_and_is_not_run_again(
    pair: Pair, tmp_path: Path
) -> None:
    hub, service, _ = pair
    ran, pid = tmp_path / "box" / "ran", tmp_path / "box" / "pid"
    command = "echo $$ > pid; echo run >> ran; sleep 300"
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(hub.exec, command, client_id="k", timeout_s=600)
        wait_until(lambda: ran.exists() and ran.read_text())
        service.kill()
        reply = call.result(60)
    assert (reply.status_code, reply.json()["error"]) == (502, "target_failed")
    assert hub.exec("true").status_code == 503
    service.start()
    (event,) = hub.as_("admin", "GET", "/api/activity?type=exec").json()["events"]
    assert (event["result"], event["command"]) == ("unknown", command)
    again = hub.exec(command, client_id="k", timeout_s=600).json()
    assert (again["state"], again["ok"], again["replayed"]) == ("unknown", False, True)
    assert ran.read_text() == "run\n"
    assert is_gone(int(pid.read_text())), "what it left behind was not ended"
    assert hub.exec("echo well").json()["stdout"] == "well\n"


@pytest.mark.slow
def test_after_a_kill_of_the_worker_the_call_goes_on_and_a_retry_gets_its_answer(
    pair: Pair, tmp_path: Path
) -> None:
    hub, _, _ = pair
    ran = tmp_path / "box" / "ran"
    command = "echo run >> ran; until [ -e go ]; do sleep 0.02; done; echo done"
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(hub.exec, command, client_id="k")
        wait_until(lambda: ran.exists() and ran.read_text())
        for pid in hub.workers():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            call.result(60)
    wait_until(hub.answers)
    reply = hub.exec(command, client_id="k")
    assert (reply.status_code, reply.json()["error"]) == (409, "still_running")
    (tmp_path / "box" / "go").touch()
    wait_until(lambda: hub.exec(command, client_id="k").status_code == 200)
    assert hub.exec(command, client_id="k").json()["stdout"] == "done\n"
    assert ran.read_text() == "run\n"


@pytest.mark.slow
def test_a_command_whose_caller_streams_is_ended_with_the_worker(
    pair: Pair, tmp_path: Path
) -> None:
    hub, _, _ = pair
    body = {"target": "box", "command": "echo $$; sleep 300", "stream": True, "timeout_s": 600}
    lines = hub.as_("web1", "POST", "/api/exec", json=body, stream=True).iter_lines(chunk_size=1)
    id = json.loads(next(lines))["id"]
    pid = int(json.loads(next(line for line in lines if b"stdout" in line))["stdout"])
    for worker in hub.workers():
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    wait_until(hub.answers)
    wait_until(lambda: hub.as_("web1", "GET", f"/api/exec/{id}").json().get("cancelled") is True)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_hub_that_stops_lets_commands_go_on_and_tells_their_callers(
    pair: Pair, tmp_path: Path, how: signal.Signals
) -> None:
    hub, _, _ = pair
    box = tmp_path / "box"
    with ThreadPoolExecutor(2) as pool:
        command = "echo so far; touch $0-runs; until [ -e go ]; do sleep 0.02; done; echo done"
        plain = pool.submit(hub.exec, command.replace("$0", "plain"), client_id="k", timeout_s=600)
        stream = pool.submit(
            lambda: hub.exec(command.replace("$0", "stream"), stream=True, timeout_s=600).text
        )
        wait_until(lambda: (box / "plain-runs").exists() and (box / "stream-runs").exists())
        assert hub.process is not None
        hub.process.send_signal(how)
        reply, lines = (
            plain.result(25),
            stream.result(25).splitlines(),
        )  # a worker that waits takes 30 s
    if how == signal.SIGTERM:
        hub.process.wait(25)
        hub.start()
    assert (reply.status_code, reply.json()["error"]) == (503, "hub_stopping")
    assert reply.headers["Retry-After"]
    broken = json.loads(lines[-1])
    assert (broken["status"], broken["error"]["error"]) == (503, "hub_stopping")
    wait_until(hub.answers)
    ids = reply.json()["id"], broken["error"]["id"]
    assert [hub.as_("web1", "GET", f"/api/exec/{id}").json()["state"] for id in ids] == [
        "running",
        "running",
    ]
    (box / "go").touch()
    for id in ids:
        ended = wait_until(lambda id=id: _once_done(hub, id))  # type: ignore[misc]
        assert (ended["exitCode"], ended["stdout"]) == (0, "so far\ndone\n")
    assert (
        until_answered(hub, command.replace("$0", "plain"), "k", timeout_s=600)["replayed"] is True
    )


def _once_done(hub: FleetHub, id: str) -> dict[str, Any] | None:
    state: dict[str, Any] = hub.as_("web1", "GET", f"/api/exec/{id}").json()
    return state if state["state"] == "done" else None


@pytest.mark.slow
def test_a_service_that_dies_beside_a_hub_is_started_again_and_ends_what_it_left(
    pair: Pair, tmp_path: Path
) -> None:
    hub, service, _ = pair
    service.kill(signal.SIGTERM)
    with service.started("--beside", str(os.getpid())) as supervisor:
        pid_file = tmp_path / "box" / "pid"
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(hub.exec, "echo $$ > pid; sleep 300", client_id="k", timeout_s=600)
            pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text()))
            (child,) = children_of(supervisor.pid)
            os.kill(child, signal.SIGKILL)
            assert call.result(60).json()["error"] == "target_failed"
        wait_until(service.answers)
        assert is_gone(pid)
        assert (
            hub.exec("echo $$ > pid; sleep 300", client_id="k", timeout_s=600).json()["state"]
            == "unknown"
        )
        assert "started again" in service.output.read_text()
        (child,) = children_of(supervisor.pid)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0
        assert is_gone(child)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_what_runs_where_nobody_can_reach_it_is_ended_once_somebody_can(tmp_path: Path) -> None:
    """The machine's sshd is gone when the time of a command is over; it comes back."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    sshd = Sshd(folder, tmp_path)
    try:
        with a_fleet(tmp_path) as fleet:
            fleet.config.targets_file.write_text(
                f'[near]\ndriver = "ssh"\nhost = "hubhost"\nconfig = "{sshd.config}"\n'
            )
            fleet.permit(target="near")
            pid_file = tmp_path / "pid"
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(
                    fleet.web1.exec,
                    f"echo $$ > {pid_file}; sleep 300",
                    target="near",
                    timeout_s=600,
                )
                pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text()))
                sessions = children_of(sshd.process.pid)
                sshd.stop()
                for session in sessions:
                    os.kill(session, signal.SIGKILL)
                answer = call.result(60).json
            assert (answer["state"], answer["leaked"]) == ("unknown", None)
            assert fleet.records("call_ended")[-1]["unreached"] is True
            sshd.start()
            wait_until(lambda: is_gone(pid), within_s=40)
            wait_until(lambda: fleet.records("call_reaped"))
            # The record comes first, what is told of the call a moment later.
            told = f"/api/exec/{answer['id']}"
            wait_until(lambda: fleet.web1.get(told).json["leaked"] == 0)
            assert fleet.runner_hub.calls.unreached() == []
    finally:
        sshd.stop()


def until_answered(hub: FleetHub, command: str, key: str, **fields: Any) -> dict[str, Any]:
    """The answer to a call, made again and again under its key as a good client does."""

    def answer() -> dict[str, Any] | None:
        try:
            reply = hub.exec(command, client_id=key, **fields)
        except requests.ConnectionError:
            return None
        return reply.json() if reply.status_code == 200 else None

    found: dict[str, Any] = wait_until(answer, 60)
    return found


@pytest.mark.slow
def test_whatever_is_killed_no_call_runs_twice(pair: Pair, tmp_path: Path) -> None:
    """Kills at random places, callers that repeat until they are answered; every key runs at most
    once.
    """
    hub, service, _ = pair
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    keys = [f"call-{number}" for number in range(24)]
    ended = threading.Event()

    def kill_now_and_then() -> None:
        while not ended.wait(dice.uniform(0.15, 0.6)):
            if dice.random() < 0.5:
                service.kill()
                service.start()
            else:
                with suppress(ProcessLookupError, IndexError):
                    os.kill(dice.choice(hub.workers()), signal.SIGKILL)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = dict(
                zip(
                    keys,
                    pool.map(
                        lambda key: until_answered(hub, f"echo {key} >> ran; sleep 0.05", key), keys
                    ),
                    strict=True,
                )
            )
    finally:
        ended.set()
        killer.join(60)
    ran = (tmp_path / "box" / "ran").read_text().split()
    assert len(ran) == len(set(ran)), f"run twice (seed {seed})"
    known = {
        key
        for key, answer in answers.items()
        if answer.get("state", "done") == "done" and answer["ok"]
    }
    assert known <= set(ran), f"told as run and was not (seed {seed})"
    states = {answer.get("state", "done") for answer in answers.values()}
    assert states <= {"done", "unknown"}

"""A hub on this machine that nobody had to start."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from busclient import LocalTrouble, _hub_control
from busclient._cli import exits
from busclient._hub_control.process import born_of, listens
from busclient._places import Places
from busclient._settings import read_env_file, write_env
from tests.client.conftest import command
from tests.conftest import PASSWORD, ROOT, USER, RunningHub, free_port, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def machine(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a machine without a hub; one that is started here is ended afterwards."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "BUS_FSYNC": "never",
    }
    yield environ
    command(environ, "down")


def hubs(home: Path) -> list[int]:
    """The process ids of the hubs whose data is in this home, workers left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            environ, stat = (entry / "environ").read_bytes(), (entry / "stat").read_text()
            command_line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if (
            entry.name.isdigit()
            and b"gunicorn" in command_line
            and f"BUS_DATA_DIR={home}/".encode() in environ
        ):
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return [pid for pid, parent in found.items() if parent not in found]


def is_locked(path: Path) -> bool:
    """Whether another process holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def test_up_starts_a_hub_that_answers_and_down_ends_it(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = command(machine, "up", "--url", url, "--json")
    assert json.loads(ran.stdout) == {"ok": True, "url": url, "started": True}, ran
    assert places.env_file.stat().st_mode & 0o777 == 0o600
    assert command(machine, "doctor").returncode == 0
    assert "is running" in command(machine, "up").stdout
    assert len(hubs(home)) == 1
    assert command(machine, "down").stdout == "the hub has ended\n"
    assert hubs(home) == []
    # After `down` it stays down, until `up`.
    away = command(machine, "inbox")
    assert (away.returncode, "`bus up`" in away.stderr) == (exits.AWAY, True), away
    assert command(machine, "post", "any", "later").returncode == exits.QUEUED
    assert command(machine, "down").stdout == "no hub of `bus up` is running\n"
    assert json.loads(command(machine, "up", "--json").stdout)["started"] is True
    assert "no unread" in command(machine, "inbox").stdout
    assert "later" in command(machine, "log").stdout


def test_leaving_a_hub_that_goes_on_is_told_and_so_is_the_way_back(machine: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command(machine, "up", "--url", url)
    command(machine, "post", "any", "before")
    assert "goes on; `bus down` ends it" in command(machine, "leave").stderr
    again = command(machine, "up", "--url", url)
    assert (again.returncode, "`bus down`, then `bus up`" in again.stderr) == (
        exits.SETTINGS,
        True,
    ), again
    command(machine, "down")
    assert command(machine, "leave").stderr == ""
    assert command(machine, "up", "--url", url).returncode == 0
    assert "before" in command(machine, "log").stdout


def test_a_hub_that_up_has_made_comes_back_at_the_first_call(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    command(machine, "up", "--url", f"http://127.0.0.1:{free_port()}")
    (pid,) = hubs(home)
    os.kill(pid, 9)  # as at a restart of the machine
    wait_until(lambda: hubs(home) != [pid])
    for worker in hubs(home):
        os.kill(worker, 9)
    wait_until(lambda: hubs(home) == [])
    ran = command(machine, "post", "any", "hello")
    assert ran.returncode == 0, ran
    assert "started a hub" in ran.stderr


def test_ten_sessions_at_once_start_one_hub(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    write_env(
        places.env_file,
        {"BUS_URL": f"http://127.0.0.1:{free_port()}", "BUS_PASS": "p" * 40, "BUS_NAME": "me"},
    )
    environ = {**machine, "BUS_AUTOSTART": "1"}
    sessions = [
        subprocess.Popen(
            [sys.executable, "-m", "busclient", "post", "any", f"from {number}"],
            env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/",
        )
        for number in range(10)
    ]  # fmt: skip
    ended = [session.communicate(timeout=60) for session in sessions]
    assert [session.returncode for session in sessions] == [0] * 10, ended
    assert sum("started a hub" in errors for _, errors in ended) == 1
    assert len(hubs(home)) == 1
    messages = command(environ, "log", "--json").stdout.splitlines()
    assert {json.loads(line)["body"] for line in messages} == {
        f"from {number}" for number in range(10)
    }


def test_a_session_that_comes_while_the_hub_starts_waits_for_that_one(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    url, password = f"http://127.0.0.1:{free_port()}", "p" * 40
    write_env(places.env_file, {"BUS_URL": url, "BUS_PASS": password, "BUS_NAME": "me"})
    # As a hook that had to go has left it: started, and not there yet.
    starting = subprocess.Popen(
        ["sh", "-c", f"read line; exec {sys.executable} -m bus serve"],
        env={
            **machine,
            "BUS_DATA_DIR": str(places.hub_data),
            "BUS_LISTEN": url.removeprefix("http://"),
            "BUS_USER": "claude",
            "BUS_PASS": password,
        },
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    facts = {"url": url, "pid": starting.pid, "born": born_of(starting.pid), "wanted": True}
    places.make_state().joinpath("hub.json").write_text(json.dumps(facts))
    posting = subprocess.Popen(
        [sys.executable, "-m", "busclient", "post", "any", "hello"],
        env=machine, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    wait_until(lambda: is_locked(places.state / "hub.lock"), 20)
    assert starting.stdin is not None
    starting.stdin.write(b"go\n")
    starting.stdin.close()
    _, told = posting.communicate(timeout=60)
    assert (posting.returncode, "started a hub" in told) == (0, False), told
    assert hubs(home) == [starting.pid]
    command(machine, "down")
    starting.wait(60)


def test_with_autostart_and_no_settings_at_all_a_hub_is_made(
    machine: dict[str, str], home: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    if listens("http://127.0.0.1:8787"):
        write_env(
            places.env_file,
            {
                "BUS_URL": f"http://127.0.0.1:{free_port()}",
                "BUS_PASS": "p" * 40,
                "BUS_AUTOSTART": "1",
            },
        )
        assert command(machine, "status").returncode == 0
    else:
        assert command({**machine, "BUS_AUTOSTART": "1"}, "status").returncode == 0
        assert "written by `bus up`" in places.env_file.read_text()


@pytest.mark.parametrize("given", ["inbox", "up"])
def test_the_one_hub_that_is_made_is_where_the_environment_leads(
    machine: dict[str, str], home: Path, places: Places, given: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environ = {**machine, "BUS_AUTOSTART": "1", "BUS_URL": url}
    ran = command(environ, given)
    assert ran.returncode == 0, ran
    assert len(hubs(home)) == 1
    assert read_env_file(places.env_file)["BUS_URL"] == url
    # Another address on this machine would be a second hub on the same data.
    other = {"BUS_URL": f"http://127.0.0.1:{free_port()}", "BUS_PASS": "p" * 40}
    ran = command({**environ, **other}, "inbox")
    assert (ran.returncode, f"runs at {url}" in ran.stderr) == (exits.LOCAL, True), ran
    assert len(hubs(home)) == 1
    assert command(machine, "down").stdout == "the hub has ended\n"
    assert hubs(home) == []


def test_with_autostart_an_address_elsewhere_starts_nothing(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    for led in ({"BUS_URL": "http://192.0.2.1:1"}, {"BUS_SSH_HOST": "nowhere.invalid"}):
        ran = command({**machine, "BUS_AUTOSTART": "1", **led}, "inbox")
        assert ran.returncode == exits.SETTINGS, ran
        assert not places.env_file.exists()
    assert hubs(home) == []


def test_a_machine_without_the_hubs_packages_is_told(
    home: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "flask" else find(name)
    )
    with pytest.raises(LocalTrouble, match="flask") as caught:
        _hub_control.up(places)
    assert "[hub]" in caught.value.hint


def test_a_hub_elsewhere_is_never_started_here(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    write_env(places.env_file, {"BUS_URL": "http://hub.invalid:1", "BUS_PASS": "p"})
    environ = {**machine, "BUS_AUTOSTART": "1"}
    assert command(environ, "inbox").returncode == exits.AWAY
    assert command(environ, "up").returncode == exits.SETTINGS
    assert hubs(home) == []


def test_a_hub_that_cannot_start_is_told_with_its_reason(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    places.hub_data.parent.mkdir(parents=True)
    places.hub_data.write_text("a file where the folder should be")
    ran = command(machine, "up", "--url", f"http://127.0.0.1:{free_port()}")
    assert ran.returncode == exits.LOCAL
    assert "Traceback" not in ran.stderr


@pytest.fixture
def stranger() -> Iterator[tuple[str, int]]:
    """A server that is no hub: its address and its process number. `bus` is in its command line."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory",
         str(ROOT / "busclient")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: listens(f"http://127.0.0.1:{port}"))
    yield f"http://127.0.0.1:{port}", process.pid
    assert process.poll() is None
    process.kill()
    process.wait()


def test_up_adopts_nothing_but_a_hub_that_takes_its_credential(
    machine: dict[str, str], places: Places, stranger: tuple[str, int], hub: RunningHub
) -> None:
    ran = command(machine, "up", "--url", stranger[0])
    assert (ran.returncode, "not the hub" in ran.stderr) == (exits.LOCAL, True), ran
    ran = command(machine, "up", "--url", hub.url, "--json")
    assert (ran.returncode, "bus join" in json.loads(ran.stdout)["hint"]) == (
        exits.SETTINGS,
        True,
    ), ran
    assert not places.env_file.exists()
    # With a credential of its own it is the hub that runs.
    assert (
        command(
            {**machine, "BUS_PASS": PASSWORD}, "join", hub.url, "--user", USER, "--name", "me"
        ).returncode
        == 0
    )
    assert "is running" in command(machine, "up").stdout
    places.env_file.unlink()
    write_env(places.env_file, {"BUS_URL": stranger[0], "BUS_PASS": "p"})
    assert command(machine, "up").returncode == exits.LOCAL


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8443", "http://192.0.2.1:8787", "ftp://127.0.0.1"]
)
def test_up_at_an_address_that_it_cannot_serve_writes_nothing(
    machine: dict[str, str], places: Places, url: str
) -> None:
    assert command(machine, "up", "--url", url).returncode == exits.SETTINGS
    assert not places.env_file.exists()


def test_a_hub_that_did_not_start_leaves_no_settings(
    machine: dict[str, str], places: Places
) -> None:
    places.hub_data.parent.mkdir(parents=True)
    places.hub_data.write_text("a file where the folder should be")
    assert (
        command(machine, "up", "--url", f"http://127.0.0.1:{free_port()}").returncode == exits.LOCAL
    )
    assert not places.env_file.exists()


@pytest.mark.parametrize("born", [None, "another time"])
def test_down_ends_no_stranger_that_has_got_the_number_of_the_hub(
    machine: dict[str, str], places: Places, stranger: tuple[str, int], born: str | None
) -> None:
    known = {
        "url": stranger[0],
        "pid": stranger[1],
        "wanted": True,
        **({} if born is None else {"born": born}),
    }
    places.make_state().joinpath("hub.json").write_text(json.dumps(known))
    assert command(machine, "down").stdout == "no hub of `bus up` is running\n"


def test_an_mcp_server_starts_the_hub_and_has_its_tools(
    machine: dict[str, str], home: Path, places: Places
) -> None:
    write_env(
        places.env_file,
        {"BUS_URL": f"http://127.0.0.1:{free_port()}", "BUS_PASS": "p" * 40, "BUS_NAME": "me"},
    )
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": {}}
        for number, method in enumerate(("initialize", "tools/list"))
    ]
    environ = {**machine, "BUS_AUTOSTART": "1"}
    ran = command(environ, "mcp", input="".join(json.dumps(one) + "\n" for one in requests))
    _, listed = (json.loads(line) for line in ran.stdout.splitlines())
    assert "bus_post" in {tool["name"] for tool in listed["result"]["tools"]}, ran
    assert len(hubs(home)) == 1

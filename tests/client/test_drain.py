"""`bus drain --exec`: nothing is lost, nobody is stuck, no message reaches a command line."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from busclient import Bus, Settings
from busclient._cli import exits
from busclient._drain import Drainer
from busclient._places import Places
from tests.client.conftest import Ran, Served
from tests.client.doors import Door
from tests.conftest import Caller, wait_until

Cli = Callable[..., Ran]


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., str]:
    """A command that notes the body of each message it gets, and ends with a code:
    `record(exit=1)`.
    """
    path = tmp_path / "got"

    def make(exit: int = 0, variable: str = "BUS_BODY") -> str:
        return f'printf "%s\\n" "${variable}" >> {shlex.quote(str(path))}; exit {exit}'

    make.path = path  # type: ignore[attr-defined]
    return make


def got(record: Callable[..., str]) -> list[str]:
    path: Path = record.path  # type: ignore[attr-defined]
    return path.read_text().splitlines() if path.exists() else []


def test_each_message_goes_to_the_command_and_is_acked(
    bus: Caller, cli: Cli, record: Callable[..., str]
) -> None:
    for body in ("one", "$(touch /tmp/x); `id` 'q' \"d\"", "three"):
        bus.say(body)
    ran = cli("drain", "--exec", record())
    assert (ran.code, ran.out) == (0, "3 handled\n")
    assert got(record) == ["one", "$(touch /tmp/x); `id` 'q' \"d\"", "three"]
    assert bus.bodies("unread_by=bob") == []
    assert cli("drain", "--exec", record()).out == ""


def test_the_command_gets_json_and_variables(bus: Caller, cli: Cli, tmp_path: Path) -> None:
    parent = bus.say("parent")
    bus.ack(parent)
    message = bus.say("body", tags=["a", "b"], priority="urgent", in_reply_to=parent["id"])
    names = "BUS_ID BUS_SEQ BUS_TS BUS_FROM BUS_TO BUS_TAGS BUS_PRIORITY BUS_THREAD BUS_IN_REPLY_TO"
    values = " ".join(f'"${name}"' for name in names.split())
    assert (
        cli(
            "drain", "--exec", f"cat > {tmp_path}/in; printf '%s\\n' {values} > {tmp_path}/env"
        ).code
        == 0
    )
    assert json.loads((tmp_path / "in").read_text()) == bus.get(f"/messages/{message['id']}").json
    assert (tmp_path / "env").read_text().splitlines() == [
        message["id"], str(message["seq"]), message["ts"], "alice", "bob", "a,b", "urgent",
        parent["id"], parent["id"],
    ]  # fmt: skip


def test_a_command_that_reads_nothing_is_fine(bus: Caller, cli: Cli) -> None:
    bus.say("x" * 65536)
    assert cli("drain", "--exec", "true").code == 0


def test_a_failed_message_stays_and_the_rest_goes_on(bus: Caller, cli: Cli) -> None:
    bus.say("bad")
    bus.say("good")
    ran = cli("drain", "--exec", '[ "$BUS_BODY" = good ]', "--json")
    assert ran.code == exits.UNHANDLED
    report = json.loads(ran.out)
    assert (len(report["done"]), len(report["failed"])) == (1, 1)
    assert bus.bodies("unread_by=bob") == ["bad"]


def test_after_its_failures_a_message_is_a_dead_letter(
    bus: Caller, cli: Cli, record: Callable[..., str]
) -> None:
    bad = bus.say("bad")
    for _ in range(3):
        assert cli("drain", "--exec", record(exit=7), "--failures", "3").code == exits.UNHANDLED
    (letter,) = bus.get("/messages?to=alice").json["messages"]
    assert (letter["tags"], letter["in_reply_to"]) == (["dead-letter"], bad["id"])
    assert "ended with 7" in letter["body"]
    bus.say("good")
    assert cli("drain", "--exec", record(), "--failures", "3").code == 0
    assert got(record) == ["bad"] * 3 + ["good"]
    assert bus.bodies("unread_by=bob") == ["bad"]
    assert cli("drain", "--exec", record(), "--retry").code == 0
    assert bus.bodies("unread_by=bob") == []
    assert len(bus.get("/messages?to=alice").json["messages"]) == 1


def test_a_dead_letter_is_not_answered_by_another(bus: Caller, cli: Cli) -> None:
    bus.say("you could not", tags=["dead-letter"])
    assert cli("drain", "--exec", "false", "--failures", "1").code == exits.UNHANDLED
    assert bus.bodies("to=alice") == []


def test_a_limit_and_a_time_out_for_each(bus: Caller, cli: Cli) -> None:
    for body in "ab":
        bus.say(body)
    ran = cli("drain", "--exec", "sleep 60", "--timeout", "0.1", "--max", "1")
    assert (ran.code, ran.out) == (exits.UNHANDLED, "1 failed\n")
    assert len(bus.bodies("unread_by=bob")) == 2


def test_an_ack_that_does_not_get_through_runs_nothing_twice(
    bus: Caller, cli: Cli, door: Door, record: Callable[..., str]
) -> None:
    """The hub dies between fetch and ack."""
    bus.say("once")
    door.troubles.extend([None, *["away"] * 4])
    assert cli("drain", "--exec", record()).code == exits.AWAY
    assert bus.bodies("unread_by=bob") == ["once"]
    assert cli("drain", "--exec", record()).code == 0
    assert got(record) == ["once"]
    assert bus.bodies("unread_by=bob") == []


def drain(served: Served, home: Path, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "busclient", "drain", "--exec", command],
        env=served.environ(home),
        start_new_session=True,
    )


def test_two_runs_never_overlap_and_kill_9_loses_nothing(
    served: Served,
    home: Path,
    tmp_path: Path,
    cli: Cli,
    record: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUS_URL", served.url)  # the same hub by the same address
    served.caller.say("precious")
    running = drain(served, home, f"touch {tmp_path}/started; sleep 60")
    try:
        wait_until((tmp_path / "started").exists)
        ran = cli("drain", "--exec", record(), "--json")
        assert (ran.code, json.loads(ran.out)["other_running"]) == (0, True)
        assert got(record) == []
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    assert cli("drain", "--exec", record()).code == 0
    assert got(record) == ["precious"]


def test_a_message_that_takes_the_drain_down_is_given_up_too(
    served: Served, home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_URL", served.url)
    served.caller.say("poison")
    for _ in range(2):
        assert drain(served, home, "kill -9 $PPID").wait(20) == -signal.SIGKILL
    assert cli("drain", "--exec", "true", "--failures", "2", "--json").code == exits.UNHANDLED
    assert "the drain itself ended" in served.caller.bodies("to=alice")[0]


@pytest.mark.parametrize("command", ["/no/such/handler", "/etc/hostname", "exit 126", "exit 127"])
def test_a_command_that_cannot_be_run_is_this_machines_trouble_and_shelves_nothing(
    bus: Caller, cli: Cli, record: Callable[..., str], command: str
) -> None:
    for body in ("one", "two"):
        bus.say(body)
    for _ in range(6):
        ran = cli("drain", "--exec", command)
        assert ran.code == exits.LOCAL
        assert "cannot be run" in ran.err
        assert command in ran.err
    assert bus.bodies("to=alice") == []
    assert cli("drain", "--exec", record()).code == 0
    assert got(record) == ["one", "two"]


def test_what_is_passed_over_is_named_by_every_run(bus: Caller, cli: Cli) -> None:
    bad = bus.say("bad")
    cli("drain", "--exec", "false", "--failures", "1")
    ran = cli("drain", "--exec", "true")
    assert (ran.code, bad["id"] in ran.err, "--retry" in ran.err) == (0, True, True)
    assert json.loads(cli("drain", "--exec", "true", "--json").out)["passed"] == [bad["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_drain_that_is_ended_ends_its_command(
    served: Served, home: Path, tmp_path: Path, how: signal.Signals, cli: Cli
) -> None:
    served.caller.say("in hand")
    # The command starts another process of its own, and neither heeds a polite word.
    running = drain(
        served,
        home,
        f"trap '' TERM HUP INT; (echo $$ > {tmp_path}/pid; sleep 60 & sleep 60); sleep 60",
    )
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    group = int((tmp_path / "pid").read_text())
    running.send_signal(how)
    assert running.wait(20) == exits.INTERRUPTED
    wait_until(lambda: not lives(group))
    assert served.caller.bodies("unread_by=bob") == ["in hand"]
    assert cli("drain", "--exec", "true").out == "1 handled\n"


def lives(group: int) -> bool:
    """Whether a process of this group is there that has not ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            return True
    return False


def test_a_command_may_tidy_up_when_its_drain_is_ended(
    served: Served, home: Path, tmp_path: Path
) -> None:
    served.caller.say("in hand")
    running = drain(
        served,
        home,
        f"trap 'touch {tmp_path}/tidy; exit 0' TERM; touch {tmp_path}/up; sleep 60 & wait",
    )
    wait_until((tmp_path / "up").exists)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == exits.INTERRUPTED
    assert (tmp_path / "tidy").exists()


def test_names_and_hubs_have_files_of_their_own(client: Callable[..., Bus], tmp_path: Path) -> None:
    buses = [client(name) for name in ("web/1", "web_1", "web")]
    buses += [
        Bus(Settings(url=url, password="x", name="web_1", ssh_host=host))
        for url, host in (
            ("http://a:8787", None),
            ("http://a:8787", "b"),
            ("http://a_8787", None),
            ("http://" + "h" * 300, None),
        )
    ]
    paths = [Drainer(bus, "true", tmp_path)._path for bus in buses]
    assert len(set(paths)) == len(paths)
    assert max(len(path.name) for path in paths) < 255


def test_what_an_older_client_remembered_is_taken_over(
    bus: Caller, cli: Cli, places: Places
) -> None:
    dead = bus.say("dead")
    places.make_state().joinpath("drain-bob.json").write_text(
        json.dumps({"attempts": {}, "handled": [], "dead": [dead["id"]]})
    )
    for _ in range(2):
        assert json.loads(cli("drain", "--exec", "true", "--json").out)["passed"] == [dead["id"]]


def test_a_time_is_written_as_everywhere(bus: Caller, cli: Cli) -> None:
    bus.say("x")
    assert cli("drain", "--exec", "true", "--timeout", "2m").code == 0
    assert cli("drain", "--exec", "true", "--timeout", "0").code == exits.USAGE

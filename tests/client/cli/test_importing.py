"""bus import claudemail: settings and mail of ClaudeMail, brought over once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from tests.conftest import PASSWORD, USER, Caller, RunningHub

Cli = Callable[..., Any]

CONFIG: dict[str, Any] = {
    "nodes": {
        "server1": {"ip": "10.0.0.1", "gateway_port": 3301},
        "server2": {"ip": "fd00::2", "gateway_port": 3301},
    },
    "instances": ["main", "helper"],
    "callsigns": {"main": "alpha"},
    "signatures": {"alpha": "// alpha, over"},
    "mailbox_dir": "mail",
    "intervals": {"poll_seconds": 30, "stale_minutes": 5, "moon": 1},
    "theme": "dark",
}


def brief(number: int = 0, **front: str) -> str:
    said = {"title": f"Brief {number}", "from": "bravo (server2)", "to": "alpha", **front}
    lines = "".join(f"{key}: {value}\n" for key, value in said.items())
    return f"---\n{lines}---\nText {number}.\n"


@pytest.fixture
def old(home: Path) -> Path:
    """A home with ClaudeMail's configuration, and mail of alpha."""
    folder = home / ".claudemail"
    put(folder / "config.json", json.dumps(CONFIG))
    put(folder / "mail" / "alpha" / "inbox" / "1.md", brief(1))
    put(folder / "mail" / "alpha" / "archive" / "2.md", brief(2, action="do it"))
    put(folder / "mail" / "alpha" / "sent" / "3.md", brief(3, **{"from": "alpha", "to": "bravo"}))
    return folder


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def bodies(bus: Caller, query: str = "to=alpha") -> list[str]:
    return sorted(one["body"] for one in bus.get(f"/briefs?since=0&{query}").json["messages"])


def mail(cli: Cli, *words: str) -> Any:
    return cli("import", "claudemail", *words)


def test_it_is_shown_first_and_nothing_is_changed(bus: Caller, cli: Cli, old: Path) -> None:
    before = bus.hub.log.position()
    ran = mail(cli)
    assert ran.code == 0, ran.err
    for line in (
        f"config {old}/config.json",
        "  main -> alpha",
        "  helper -> helper",
        "  alpha: // alpha, over",
        "  BUS_LEASE_S=300",
        "  bus link add --node server1=10.0.0.1:3301",
        "  bus link add --node server2=[fd00::2]:3301",
        "  theme: an unknown key",
        "  intervals.poll_seconds: mail is pushed here, nothing asks for it",
        "  intervals.moon: nothing here stands for it",
        f"briefs in {old}/mail",
        "  alpha: 1 archive",
        "  alpha: 1 inbox",
        "  alpha: 1 sent",
        "Nothing was changed. Do it with: bus import claudemail --apply",
    ):
        assert f"{line}\n" in ran.out
    assert "links between hubs do not exist yet" in ran.out
    assert bus.hub.log.position() == before


def test_it_is_brought_over_once(bus: Caller, cli: Cli, old: Path) -> None:
    first = mail(cli, "--apply")
    assert (first.code, first.out.splitlines()[-1]) == (
        0,
        "3 briefs are new here, 0 were there; 1 signatures are set",
    )
    seq = bus.hub.log.position().seq
    again = mail(cli, "--apply")
    assert again.out.splitlines()[-1].startswith("0 briefs are new here, 3 were there")
    assert bus.hub.log.position().seq == seq
    assert bodies(bus) == ["Text 1.\n", "Text 2.\n", "Text 3.\n"]
    assert bodies(bus, "unread_by=alpha") == ["Text 1.\n"]
    assert bus.get("/actions?status=all").json["actions"] == []
    assert bus.get("/signature?name=alpha").json["signature"] == "// alpha, over"
    read = cli("log", "--to", "alpha").out
    assert (
        'import (unverified) > alpha BRIEF "Brief 1" claimed from "bravo (server2)"\n  Text 1.\n'
        in read
    )
    assert "alpha (unverified) > alpha" in read


def test_what_was_read_there_since_is_read_here(bus: Caller, cli: Cli, old: Path) -> None:
    mail(cli, "--apply")
    (old / "mail/alpha/inbox/1.md").rename(old / "mail/alpha/archive/other name.md")
    mail(cli, "--apply")
    assert bodies(bus, "unread_by=alpha") == []
    assert len(bodies(bus)) == 3


def test_a_machine_has_sessions_and_fills_its_own_mailboxes_only(
    bus: Caller, cli: Cli, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.app.extensions["credentials"].add("web1", PASSWORD, "member")
    for name, value in {"BUS_USER": "web1", "BUS_NAME": "web1/work"}.items():
        monkeypatch.setenv(name, value)
    put(old / "mail" / "loose.md", brief(4))
    put(old / "mail" / "inbox" / "web1" / "own.md", brief(5))
    put(old / "mail" / "web1" / "echo" / "inbox" / "mirrored.md", brief(6))
    found = json.loads(mail(cli, "--apply", "--json").out)
    assert found["names"] == {
        "main": "web1/alpha",
        "alpha": "web1/alpha",
        "helper": "web1/helper",
        "web1": "web1",
        "web1/echo": "web1/echo",
    }
    assert (found["posted"], found["problems"], found["applied"]) == (6, [], True)
    for name, texts in {
        "web1/alpha": ["Text 1.\n"],
        "web1/work": [],
        "web1": ["Text 5.\n"],
        "web1/echo": ["Text 6.\n"],
    }.items():
        assert bodies(bus, f"unread_by={name}") == texts
    assert bodies(bus, "to=web1/work") == ["Text 4.\n"]
    senders = {one["from"] for one in bus.get("/briefs?since=0").json["messages"]}
    assert senders == {"web1/import", "web1/alpha"}


def test_a_broken_file_is_named_with_its_line_and_the_rest_goes_on(
    bus: Caller, cli: Cli, old: Path, tmp_path: Path
) -> None:
    inbox = old / "mail" / "alpha" / "inbox"
    put(inbox / "0-yaml.md", "---\ntitle: x\nto: [a\n---\nb")
    put(inbox / "0-bytes.md", b"a\nb\xff")
    put(inbox / "0-huge.md", "x" * 100_000)
    put(inbox / "0-long.md", "x" * 70_000)
    put(inbox / "0-empty.md", "")
    put(tmp_path / "secret.md", "secret")
    (inbox / "0-link.md").symlink_to(tmp_path / "secret.md")
    (inbox / "folder").symlink_to(tmp_path)
    os.mkfifo(inbox / "0-pipe.md")
    put(inbox.parent / "outbox" / "draft.md", brief(9))
    put(inbox / ".hidden.md", brief(9))
    put(inbox / "notes.txt", "x")
    ran = mail(cli, "--apply")
    assert ran.code == 11
    for line in (
        "0-yaml.md: Line 4: this is no YAML",
        "0-bytes.md: line 2: byte 0xff is not UTF-8",
        "0-huge.md: it is 100,000 bytes; at most 98,304 are taken",
        "0-long.md: `body` is 70000 bytes",
        "0-empty.md: `markdown` is no text",
        "0-link.md: it is a link, which is not followed",
        "folder: it is a link, which is not followed",
        "0-pipe.md: it is not a plain file",
        "draft.md: it lies in a folder of what was not sent, or thrown away",
    ):
        assert f"/{line}" in ran.err
    assert len(ran.err.splitlines()) == 9
    assert len(bodies(bus)) == 3


def test_the_first_place_that_has_it_counts(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = mail(cli)
    assert missing.code == 9
    assert "/etc/claudemail/config.json" in missing.err
    last = put(home / ".config" / "claudemail" / "config.json", "{}")
    assert f"config {last}\n" in mail(cli).out
    first = put(home / ".claudemail" / "config.json", "{}")
    assert f"config {first}\n" in mail(cli).out
    named = put(home / "named.json", "{}")
    monkeypatch.setenv("CLAUDEMAIL_CONFIG", str(named))
    assert f"config {named}\n" in mail(cli).out
    given = put(home / "given.json", "{}")
    assert f"config {given}\n" in mail(cli, "--config", str(given)).out
    monkeypatch.setenv("CLAUDEMAIL_CONFIG", str(home / "not there"))
    assert mail(cli).code == 9  # no other is taken for it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is not a JSON object"),
        ('{"a": 1,\n "b"}', "line 2, column 5"),
        (b"\xff", "line 1: byte 0xff is not UTF-8"),
        ("[" * 100_000, "is no JSON"),
        (" " * 1_048_577, "at most 1,048,576"),
    ],
)
def test_a_configuration_that_cannot_be_read_says_why(
    cli: Cli, home: Path, text: str | bytes, said: str
) -> None:
    put(home / ".claudemail" / "config.json", text)
    ran = mail(cli)
    assert ran.code == 9
    assert said in ran.err
    assert "bus join" not in ran.err and "--config PATH" in ran.err


def test_what_is_not_understood_is_named(cli: Cli, home: Path) -> None:
    odd = {
        "nodes": {"a": {"port": 1}, "b": {"ip": "h", "gateway_port": "x", "k": 1}, "c": "h:1"},
        "instances": [{"name": "x y", "callsign": "Ü-1", "k": 1}, 5, {"callsign": "no name"}],
        "callsigns": {"one": "same", "two": "sa me", "three": "sa-me", "four": 4, "五": "五"},
        "signatures": {"x y": 5},
        "intervals": {"lease": True, "gone_h": 100},
        "mailbox_dir": 5,
    }
    put(home / ".claudemail" / "config.json", json.dumps(odd))
    ran = mail(cli)
    assert ran.code == 0, ran.err
    for line in (
        "nodes.a: it has no `ip`",
        "nodes.b.gateway_port: it is no port",
        "nodes.b.k: an unknown key",
        "instances.x y.k: an unknown key",
        "instances: one has no name",
        "callsigns.four: it is no text",
        "signatures.x y: it is no text",
        "五: it cannot be a name here; rename it",
        "three: sa-me is sa me's already; rename one of them",
        "intervals.lease: it is no number of seconds",
        "intervals.gone_h: BUS_LEASE_S takes 5 to 86,400 seconds, and this is 360,000",
        "mailbox_dir: it is no path",
        "x y -> U-1",
        "bus link add --node b=h",
        "bus link add --node c=h:1",
    ):
        assert f"  {line}\n" in ran.out, line


def test_a_signature_that_the_hub_does_not_take_is_named(bus: Caller, cli: Cli, home: Path) -> None:
    config = {"signatures": {"a": "x" * 300, "b": "// b"}}
    put(home / ".claudemail" / "config.json", json.dumps(config))
    ran = mail(cli, "--apply")
    assert ran.code == 11
    assert "not taken: the signature of a: " in ran.err
    assert bus.get("/signature?name=b").json["signature"] == "// b"


def test_while_the_hub_is_away_it_stops_and_the_next_run_goes_on(
    bus: Caller, cli: Cli, old: Path, door: Any
) -> None:
    door.troubles.extend([None, None, None, *[(503, {}, b"{}")] * 20])
    assert mail(cli, "--apply").code == 4
    door.troubles.clear()
    assert mail(cli, "--apply").code == 0
    assert len(bodies(bus)) == 3


def test_a_hub_that_takes_in_no_files_ends_it_at_once(
    bus: Caller, cli: Cli, old: Path, door: Any
) -> None:
    no_route = b'{"ok":false,"error":"no_such_route","message":"No route.","hint":"GET /docs"}'
    door.troubles.extend([None, None, (404, {"Content-Type": "application/json"}, no_route)])
    ran = mail(cli, "--apply")
    assert ran.code == 6
    assert "not taken" not in ran.err and "different versions" in ran.err
    assert len(bodies(bus)) == 1  # the door lets the call through, and there was no other


def test_an_answer_that_is_lost_doubles_nothing(
    bus: Caller, cli: Cli, old: Path, door: Any
) -> None:
    door.troubles.extend([None, None, "lost", "lost"])
    assert mail(cli, "--apply").code == 0
    assert len(bodies(bus)) == 3


_KILLED = """
import os, sys
left = int(sys.argv[1])
from busclient._http import calls
real = calls.Calls.send
def send(*given, **more):
    global left
    left -= 1
    if left == 0: os._exit(9)
    done = real(*given, **more)
    left -= 1
    if left == 0: os._exit(9)
    return done
calls.Calls.send = send
from busclient import _cli
sys.argv = ["bus", "import", "claudemail", "--apply"]
_cli.main()
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    hub = RunningHub(tmp_path / "data").start()
    yield hub
    hub.stop()


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_doubled_and_nothing_lost(
    hub: RunningHub, old: Path, home: Path
) -> None:
    environ = {
        "HOME": str(home), "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "BUS_URL": hub.url, "BUS_USER": USER, "BUS_PASS": PASSWORD, "BUS_NAME": "bob",
    }  # fmt: skip
    code, point = 9, 0
    while code == 9:
        point += 1
        done = run(
            [sys.executable, "-c", _KILLED, str(point)],
            env=environ, capture_output=True, text=True,
        )  # fmt: skip
        code = done.returncode
        assert code in (0, 9), done.stderr
    assert point == 11  # before and after each of five calls
    found = hub.get("/briefs?to=alpha&since=0").json()["messages"]
    assert sorted(one["body"] for one in found) == ["Text 1.\n", "Text 2.\n", "Text 3.\n"]
    unread = hub.get("/briefs?unread_by=alpha&since=0").json()["messages"]
    assert [one["body"] for one in unread] == ["Text 1.\n"]

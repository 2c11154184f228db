"""bus relay imessage: what is sent, with which arguments, and what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.hub.notices import notice
from busclient import Bus
from busclient._cli import exits
from busclient._relay import IMessage, Relay, command
from tests.client.conftest import Ran
from tests.conftest import Caller

Cli = Callable[..., Ran]
TEXT = "-e \"quit\" & do shell script 'x'\nsecond line ä"


def test_whom_and_what_are_arguments_and_no_part_of_the_script() -> None:
    words = command(IMessage("+15551234567", TEXT))
    assert words[:2] == ["osascript", "-e"]
    assert words[3:] == ["+15551234567", TEXT]
    assert words[2] == command(IMessage("a@b.c", "other"))[2]
    assert words[2].startswith("on run {handle, said}\n") and "shell" not in words[2]


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An osascript that writes down its arguments; the exit code is in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    told = tmp_path / "told"
    program = folder / "osascript"
    program.write_text(
        "#!/usr/bin/env python3\nimport json, pathlib, sys\n"
        f"with open({str(told)!r}, 'a') as file: file.write(json.dumps(sys.argv[3:]) + '\\n')\n"
        f"code = pathlib.Path({str(folder / 'code')!r})\n"
        "if code.exists(): sys.exit('Messages got an error: no such participant')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return told


def sent(mac: Path) -> list[list[str]]:
    return [json.loads(line) for line in mac.read_text().splitlines()] if mac.exists() else []


def hub_says(bus: Caller, key: str, text: object = TEXT, to: object = "+15551234567") -> None:
    data = {"imessage": {"to": to, "text": text}}
    made = notice(key, ["bob"], "iMessage", tags=["imessage"], data=data)
    bus.app.extensions["bus"].journal.append([made])


def test_what_the_hub_says_is_sent_once_and_acknowledged(bus: Caller, cli: Cli, mac: Path) -> None:
    hub_says(bus, "1")
    hub_says(bus, "2", "two")
    bus.say("other mail", sender="alice", to="bob")
    for _ in range(2):
        ran = cli("relay", "imessage", "--once")
        assert ran.code == 0, ran
    assert sent(mac) == [["+15551234567", TEXT], ["+15551234567", "two"]]
    unread = bus.get("/messages?unread_by=bob").json["messages"]
    assert [message["body"] for message in unread] == ["other mail"]


def test_what_is_not_the_hubs_is_not_sent(bus: Caller, cli: Cli, mac: Path) -> None:
    data = {"imessage": {"to": "+15551234567", "text": "from a member"}}
    bus.say("x", sender="mallory", to="bob", tags=["imessage"], data=data)
    hub_says(bus, "1", to="-e")
    hub_says(bus, "2", to=["a@b.c"])
    hub_says(bus, "3", text=7)
    hub_says(bus, "4", text="good", to="ann@example.org")
    ran = cli("relay", "imessage", "--once")
    assert ran.code == 0 and "not from the hub" in ran.err
    assert sent(mac) == [["ann@example.org", "good"]]
    assert bus.get("/messages?unread_by=bob").json["count"] == 0


def test_what_messages_does_not_take_is_tried_five_times(
    bus: Caller, client: Callable[..., Bus], cli: Cli, mac: Path
) -> None:
    (mac.parent / "bin" / "code").touch()
    hub_says(bus, "1")
    ran = cli("relay", "imessage", "--once")
    assert ran.code == exits.LOCAL and "no such participant" in ran.err
    lines: list[str] = []
    relay = Relay(client("bob"), lines.append, lambda _: None)
    assert [relay.once() for _ in range(6)] == [1, 1, 1, 1, 0, 0]
    assert "given up" in lines[-1] and len(lines) == 5


def test_it_runs_on_a_mac_only(cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PATH", str(home))
    ran = cli("relay", "imessage", "--once")
    assert ran.code == exits.LOCAL and "on a Mac" in ran.err

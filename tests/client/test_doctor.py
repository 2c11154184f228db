"""`bus doctor`: each step, and what to do where one fails."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient import Bus, Outbox
from busclient._cli import exits
from busclient._doctor import Step, examine
from busclient._places import Places
from busclient._settings import write_env
from tests.client.conftest import Ran, Served, command
from tests.conftest import PASSWORD, ROOT, USER


@pytest.fixture
def look(served: Served, places: Places) -> Callable[..., dict[str, Step]]:
    """What the doctor finds with these settings: `look(BUS_PASS="wrong")`."""

    def steps(**settings: str) -> dict[str, Step]:
        values = {
            "BUS_URL": served.url,
            "BUS_USER": USER,
            "BUS_PASS": PASSWORD,
            "BUS_NAME": "bob",
            **settings,
        }
        write_env(
            places.env_file, {name: value for name, value in values.items() if value}, force=True
        )
        return {step.name: step for step in examine(places, {})}

    return steps


def hook(home: Path, command: str | bytes) -> None:
    (home / ".claude").mkdir(exist_ok=True)
    if isinstance(command, str):
        hooks = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": command}]}]}}
        command = json.dumps(hooks).encode()
    (home / ".claude" / "settings.json").write_bytes(command)


def test_a_machine_that_is_well(look: Callable[..., dict[str, Step]], served: Served) -> None:
    steps = look()
    assert [name for name, step in steps.items() if step.ok is False] == []
    steps.pop("exec", None)  # where the hub says so
    assert list(steps) == [
        "settings",
        "file modes",
        "dns",
        "connect",
        "hub",
        "credential",
        "clock",
        "round trip",
        "outbox",
        "hook",
    ]
    assert served.url in steps["settings"].text
    assert PASSWORD not in str(steps)
    assert steps["round trip"].ms > 0
    (trip,) = served.caller.get("/messages").json["messages"]
    assert "expires" in trip


@pytest.mark.parametrize(
    ("settings", "failed", "hint"),
    [
        ({"BUS_PASS": ""}, "settings", "bus join"),
        ({"BUS_PASS": "wrong"}, "credential", "BUS_PASS"),
        ({"BUS_URL": "http://127.0.0.1:1"}, "connect", "BUS_URL"),
        ({"BUS_URL": "http://no-such-host.invalid"}, "dns", "BUS_URL"),
    ],
)
def test_the_step_that_fails_is_named_with_what_to_do(
    look: Callable[..., dict[str, Step]], settings: dict[str, str], failed: str, hint: str
) -> None:
    steps = look(**settings)
    assert [name for name, step in steps.items() if step.ok is False] == [failed]
    assert hint in steps[failed].hint
    assert "bus doctor" not in steps[failed].hint
    assert "round trip" not in steps
    assert "outbox" in steps


def test_files_that_others_can_read_are_named(
    look: Callable[..., dict[str, Step]], places: Places
) -> None:
    look()
    places.env_file.chmod(0o644)
    steps = {step.name: step for step in examine(places, {})}
    assert steps["file modes"].ok is False
    assert "chmod 600" in steps["file modes"].hint


def test_a_clock_that_is_off_is_told(look: Callable[..., dict[str, Step]], served: Served) -> None:
    clock: Any = served.caller.hub.journal.clock
    clock.move(3600)
    steps = look()
    assert steps["clock"].ok is False
    off = re.search(r"\+([\d.]+) s", steps["clock"].text)
    assert off is not None
    assert float(off[1]) == pytest.approx(3600, abs=60)  # it stands still while this runs
    assert steps["round trip"].ok


def test_what_waits_and_the_hook_are_told(
    look: Callable[..., dict[str, Step]], places: Places, home: Path
) -> None:
    Outbox(places.state).add("http://other", "u", "now", {"client_id": "k", "body": "x"})
    hook(home, f"{ROOT}/scripts/session-start-poll")
    steps = look()
    assert "1 messages wait" in steps["outbox"].text
    assert "has not run" in steps["hook"].text
    (places.state / "last-poll").touch()
    os.utime(places.state / "last-poll", (0, 0))
    assert "1970-01-01" in look()["hook"].text


def test_the_hook_of_the_installation_is_a_hook(
    look: Callable[..., dict[str, Step]], places: Places, home: Path
) -> None:
    hook(home, b"{}")
    assert "bus install claude-code" in look()["hook"].hint
    hook(home, f"{sys.executable} -m busclient hook")
    (places.make_state() / "hooks-ran.json").write_text('{"SessionStart": "2026-11-27T20:00:00Z"}')
    step = look()["hook"]
    assert (step.ok, "last ran 2026-11-27 20:00" in step.text) == (True, True), step
    file = home / ".claude" / "settings.json"
    found = json.loads(file.read_text())
    found["hooks"]["SessionStart"].append(
        {"hooks": [{"command": f"{ROOT}/scripts/session-start-poll"}]}
    )
    file.write_text(json.dumps(found))
    assert "shown twice" in look()["hook"].text


def test_a_folder_of_claude_code_elsewhere_is_looked_at(
    look: Callable[..., dict[str, Step]], places: Places, home: Path, tmp_path: Path
) -> None:
    hook(home, f"{sys.executable} -m busclient hook")
    look()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "settings.json").write_text("{}")
    steps = {step.name: step for step in examine(places, {"CLAUDE_CONFIG_DIR": str(elsewhere)})}
    assert f"no SessionStart hook in {elsewhere}" in steps["hook"].text


@pytest.mark.parametrize(
    ("command", "ok", "text"),
    [
        (f"{ROOT}/scripts/session-start-poll --budget 6000", None, "has not run"),
        (f"sh '{ROOT}/scripts/session-start-poll'", None, "has not run"),
        ("/no/such/scripts/session-start-poll", False, "/no/such/scripts/session-start-poll"),
        ("$HOME/session-start-poll --ack", False, "session-start-poll"),
        ("/no/such/bus poll", False, "/no/such/bus"),
        ("/no/such/bus hook", False, "/no/such/bus"),
        ("python3 -P -m busclient hook", None, "has not run"),
        (b'{"hooks": {', False, "cannot be read"),
        (b'\xef\xbb\xbf{"hooks": {}}', False, "cannot be read"),
        (b"[]", False, "cannot be read"),
        (b"{}", None, "no SessionStart hook"),
    ],
)
def test_a_hook_that_cannot_run_is_told(
    look: Callable[..., dict[str, Step]],
    home: Path,
    command: str | bytes,
    ok: bool | None,
    text: str,
) -> None:
    hook(home, command)
    step = look()["hook"]
    assert (step.ok, text in step.text) == (ok, True), step


def test_a_proxy_that_works_is_no_failure(
    served: Served, home: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's name is known to the proxy alone; the stub of one is the hub itself, which takes
    any address.
    """
    monkeypatch.setenv("http_proxy", served.url.removeprefix("http://"))
    write_env(
        places.env_file,
        {
            "BUS_URL": "http://hub.invalid",
            "BUS_USER": USER,
            "BUS_PASS": PASSWORD,
            "BUS_NAME": "bob",
        },
    )
    steps = {step.name: step for step in examine(places, {})}
    assert (steps["proxy"].ok, "dns" in steps) == (True, False)
    assert "calls go through" in steps["proxy"].text


def test_the_command_prints_it_and_its_exit_code_says_it(
    cli: Callable[..., Ran], places: Places
) -> None:
    ran = cli("doctor")
    assert ran.code == exits.UNWELL  # hub.test is known to no name server
    assert "FAIL dns" in ran.out
    report = json.loads(cli("doctor", "--json").out)
    assert report["ok"] is False
    assert {step["name"] for step in report["steps"]} >= {"settings", "dns", "outbox"}


def test_a_name_that_the_credential_does_not_speak_for_is_explained(
    look: Callable[..., dict[str, Step]], served: Served
) -> None:
    served.caller.app.extensions["credentials"].add("web1", "s3cret", "member")
    steps = look(BUS_USER="web1", BUS_PASS="s3cret", BUS_NAME="laptop")
    assert steps["credential"].text == "the hub knows web1, as member"
    assert (steps["round trip"].ok, "BUS_NAME must be BUS_USER" in steps["round trip"].hint) == (
        False,
        True,
    )
    assert look(BUS_USER="web1", BUS_PASS="s3cret", BUS_NAME="web1/alpha")["round trip"].ok


def test_the_credential_that_a_shell_has_kept_is_named_as_the_cause(
    served: Served, home: Path, places: Places
) -> None:
    """As after the README's order in one shell: the hub's first credential, then `bus join`."""
    served.caller.app.extensions["credentials"].add("web1", "s3cret", "member")
    write_env(
        places.env_file,
        {"BUS_URL": served.url, "BUS_USER": "web1", "BUS_PASS": "s3cret", "BUS_NAME": "web1"},
    )
    kept = served.environ(home)
    del kept["BUS_NAME"]
    ran = command(kept, "post", "any", "hello")
    assert ran.returncode == exits.CREDENTIAL, ran
    assert "this machine has joined as web1: unset BUS_USER BUS_PASS BUS_URL" in ran.stderr
    for name in ("BUS_USER", "BUS_PASS", "BUS_URL"):
        del kept[name]
    assert command(kept, "post", "any", "hello").returncode == 0


@pytest.mark.parametrize(("fact", "name"), [("exec", "exec"), ("notify", "notices")])
@pytest.mark.parametrize(
    ("state", "expected"), [("ready", True), ("away", None), (None, "no step")]
)
def test_a_service_that_is_away_is_news_and_no_failure(
    look: Callable[..., dict[str, Step]],
    monkeypatch: pytest.MonkeyPatch,
    state: str | None,
    expected: Any,
    fact: str,
    name: str,
) -> None:
    health = Bus.health
    monkeypatch.setattr(Bus, "health", lambda self: {**health(self), fact: state})
    step = look().get(name)
    assert (step.ok if step else "no step") == expected

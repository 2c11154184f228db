"""What docs/client.md shows is run."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import busclient._http.calls
from busclient import Admin, How, Net
from busclient._cli import cli as cli_group
from tests.client.cli.test_cli import Cli
from tests.client.conftest import Served, command
from tests.client.doors import Door
from tests.conftest import ROOT, Caller

MANUAL = (ROOT / "docs" / "client.md").read_text()
README = (ROOT / "README.md").read_text()


def test_the_library_snippets_run(
    bus: Caller, cli: Cli, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        busclient._http.calls is not None and cli is not None
    )  # the environment of the command is that of Bus.from_env
    bus.say("hello bob", to="bob")
    scope: dict[str, Any] = {}
    snippets = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, scope)
    assert "hello bob" in capsys.readouterr().out
    assert bus.bodies("to=ccwhitebee&tag=deploy") == ["Patch deployed, smoke tests green."]
    assert bus.bodies("unread_by=bob") == []


@pytest.mark.parametrize(
    "text",
    [MANUAL, README, (ROOT / "docs" / "net.md").read_text()],
    ids=["manual", "readme", "net"],
)
def test_the_command_lines_are_well_formed(text: str) -> None:
    """Each line that begins with `bus`, also behind a pipe, is one that the command takes."""
    code = re.findall(r"^```\w*\n.*?^```$|^    .*$", text, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"^(?: {4}|.*\| )?(bus [a-z].*)$", "\n".join(code), re.MULTILINE)
    shown += re.findall(r"`(bus (?:exec|permit|invite) [^`…]*)`", text)
    lines = [shlex.split(line, comments=True)[1:] for line in shown]
    assert len(lines) >= 1
    for name, *arguments in lines:
        found = cli_group.get_command(click.Context(cli_group), name)
        assert found is not None, name
        found.make_context(name, arguments)


def test_the_lines_about_other_machines_call_what_there_is() -> None:
    (snippet,) = (
        code
        for code in re.findall(r"^```\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
        if "bus.net.exec(" in code
    )
    calls = [
        node
        for node in ast.walk(ast.parse(snippet))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("bus.")
    ]
    assert len(calls) >= 12
    for call in calls:
        side, name = ast.unparse(call.func).split(".")[1:]
        method = inspect.signature(getattr({"net": Net, "admin": Admin}[side], name))
        named = {str(keyword.arg): keyword for keyword in call.keywords}
        method.bind(None, *call.args, **named)
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in method.parameters.values()):
            assert set(named) <= set(method.parameters) | set(How.__annotations__)


def test_the_hook_runs_as_it_is_written(served: Served, home: Path, tmp_path: Path) -> None:
    served.caller.say("in the session's context")
    environ = served.environ(
        home, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )  # where pip puts `bus`
    (settings,) = (
        json.loads(found)
        for found in re.findall(r'^ *(\{"hooks": .*?\}\]\}\})$', MANUAL, re.DOTALL | re.MULTILINE)
    )
    (hook,) = settings["hooks"]["SessionStart"][0]["hooks"]
    script = hook["command"].replace("/opt/claude-bus", str(ROOT))
    for line in (script, "bus poll --budget 6000"):
        done = subprocess.run(
            ["sh", "-c", line],
            env=environ,
            capture_output=True,
            check=False,
            text=True,
            timeout=hook["timeout"],
        )
        assert "in the session's context" in done.stdout


def test_the_crontab_line_is_well_formed() -> None:
    lines = [
        line
        for line in (ROOT / "scripts" / "cron-drain.example").read_text().splitlines()
        if line and line[0] not in "#P"
    ]
    (line,) = lines
    assert re.match(r"\* \* \* \* \* \$HOME/\.local/bin/bus drain --exec ", line)
    assert "%" not in line  # cron would read it as a newline
    subprocess.run(["sh", "-n", "-c", line.removeprefix("* * * * * ")], check=True)


@pytest.mark.slow
def test_the_systemd_units_are_valid_and_run_what_there_is(served: Served, home: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "the Debian package systemd is needed"
    units = [str(ROOT / "systemd" / f"claude-bus-drain.{kind}") for kind in ("service", "timer")]
    bus = home / ".local" / "bin" / "bus"
    bus.parent.mkdir(parents=True)
    bus.write_text("#!/bin/sh\n")
    bus.chmod(0o755)
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [analyze, "--user", "--man=no", "verify", *units],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (start,) = re.findall(
        r"^ExecStart=%h/.local/bin/bus (.*)$", Path(units[0]).read_text(), re.MULTILINE
    )
    assert (
        command(
            served.environ(home), *start.replace("%h/bin/on-bus-message", "true").split()
        ).returncode
        == 0
    )

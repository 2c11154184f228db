"""bus install claude-code: what becomes of a settings file."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import busclient._http.calls
from busclient._cli import exits
from busclient._places import Places
from busclient._settings import SHARED_USER, write_env
from busclient._version import __version__
from tests.client.doors import Door
from tests.conftest import ROOT, USER

Cli = Callable[..., Any]
TRANSPORT_FOR = busclient._http.calls.transport_for


CLAUDE = """#!PYTHON
import json, os, sys
home = os.environ["HOME"]
with open(f"{home}/calls", "a") as file:
    print(*sys.argv[1:], file=file)
path = f"{home}/.claude.json"
if sys.argv[1] == "--settings":
    assert json.loads(sys.argv[2]) == {"disableAllHooks": True}
    del sys.argv[1:3]
known = json.load(open(path)) if os.path.exists(path) else {"mcpServers": {}}
what, name = (sys.argv[2:4] + ["", ""])[:2]
if sys.argv[1] == "--version":
    print("2.1.332 (Claude Code)")
elif what == "get":
    print(f"{name}:\\n  Status: ✔ Connected" if name in known["mcpServers"] else "none")
elif what == "add-json":
    known["mcpServers"][name] = json.loads(sys.argv[4])
else:
    del known["mcpServers"][name]
json.dump(known, open(path, "w"))
"""


COMMANDS = ("reply", "ack", "read", "inbox", "answer", "decline")
ALLOWED = ["mcp__bus__*", *(f"Bash(bus {command}:*)" for command in COMMANDS)]


@pytest.fixture
def registered(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a `claude` on the PATH notes how it was called; it keeps servers as Claude does."""
    folder = home / "bin"
    folder.mkdir()
    program = folder / "claude"
    program.write_text(CLAUDE.replace("PYTHON", sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return home / "calls"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, in which one is."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def settings(home: Path) -> Path:
    return home / ".claude" / "settings.json"


FILES = {
    "empty": b"",
    "nothing": b"{}",
    "of others": json.dumps(
        {
            "zebra": 1,
            "hooks": {
                "Stop": [{"hooks": [{"type": "command", "command": "./mine hook"}]}],
                "PreToolUse": [{"matcher": "Bash", "hooks": []}],
            },
            "statusLine": {"type": "command", "command": "echo 'it''s me'", "padding": 0},
            "permissions": {"allow": ["Bash(ls:*)"], "deny": ["Read(.env)"]},
            "apple": "ä \u2603",
        },
        indent=4,
        ensure_ascii=False,
    ).encode(),
    "with tabs": b'{\n\t"model": "opus"\n}\n',
    "of Windows": b'{\r\n  "model": "opus"\r\n}\r\n',
    "no last line end": b'{\n   "a": [1,2 , 3]}',
    "with a mark of its encoding": b'\xef\xbb\xbf{"a": 1}',
    "in one line": b'{"a":{"b":[]},"permissions":{}}',
}


@pytest.mark.parametrize("before", FILES.values(), ids=FILES.keys())
def test_uninstalling_restores_every_byte(
    cli: Cli, settings: Path, registered: Path, before: bytes
) -> None:
    settings.parent.mkdir()
    settings.write_bytes(before)
    settings.chmod(0o640)
    assert cli("install", "claude-code").code == 0
    after = settings.read_bytes()
    assert b"wait-for-mail" in after
    assert cli("install", "claude-code", "--json").out.startswith('{"ok":true')
    assert settings.read_bytes() == after
    assert cli("install", "claude-code", "--uninstall").code == 0
    assert settings.read_bytes() == before
    assert settings.stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_not_there_is_gone_again(
    cli: Cli, settings: Path, registered: Path
) -> None:
    assert cli("install", "claude-code").code == 0
    assert settings.exists()
    assert "is gone" in cli("install", "claude-code", "--uninstall").out
    assert not settings.exists()


def test_what_others_have_stays_in_its_order(cli: Cli, settings: Path, registered: Path) -> None:
    settings.parent.mkdir()
    settings.write_bytes(FILES["of others"])
    cli("install", "claude-code")
    found = json.loads(settings.read_text())
    assert list(found) == ["zebra", "hooks", "statusLine", "permissions", "apple"]
    assert found["hooks"]["Stop"][0]["hooks"][0]["command"] == "./mine hook"
    assert found["permissions"] == {
        "allow": ["Bash(ls:*)", *ALLOWED],
        "deny": ["Read(.env)"],
    }
    assert found["statusLine"]["padding"] == 0
    assert "statusline --and" in found["statusLine"]["command"]


def test_after_a_change_by_others_only_ours_is_removed(
    cli: Cli, settings: Path, registered: Path
) -> None:
    settings.parent.mkdir()
    settings.write_bytes(FILES["of others"])
    before = json.loads(settings.read_text())
    cli("install", "claude-code")
    changed = json.loads(settings.read_text()) | {"later": True}
    settings.write_text(json.dumps(changed))
    assert "changed meanwhile" in cli("install", "claude-code", "--uninstall").out
    assert json.loads(settings.read_text()) == {**before, "later": True}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1e400}',
        r'{"token":"secret","a":"\ud800"}',
        "// mine\n{}",
        "[]",
        '{"a":1,"a":2}',
        '{"hooks":[]}',
        '{"hooks":{"Stop":{}}}',
        "{",
    ],
)
def test_what_cannot_be_merged_is_refused_untouched(
    cli: Cli, settings: Path, registered: Path, text: str
) -> None:
    settings.parent.mkdir()
    settings.write_text(text)
    ran = cli("install", "claude-code")
    assert ran.code == exits.SETTINGS
    assert "nothing was changed" in ran.err
    assert "secret" not in ran.err
    for option in ((), ("--check",), ("--uninstall",)):
        ran = cli("install", "claude-code", *option)
        assert ("Mend the file by hand" in ran.err) == (ran.code == exits.SETTINGS), ran
        assert "or start one on this machine" not in ran.err
        assert "paste" not in ran.err
    assert settings.read_text() == text


def test_a_link_is_followed(cli: Cli, settings: Path, registered: Path, home: Path) -> None:
    kept = home / "dotfiles.json"
    kept.write_text("{}")
    settings.parent.mkdir()
    settings.symlink_to(kept)
    cli("install", "claude-code")
    assert settings.is_symlink()
    assert "hooks" in json.loads(kept.read_text())


def test_the_server_is_registered_through_claude(
    cli: Cli, settings: Path, registered: Path
) -> None:
    cli("install", "claude-code", "--profile", "claude-net")
    cli("install", "claude-code", "--profile", "claude-net", "--uninstall")
    added, removed = registered.read_text().splitlines()
    assert added.startswith("mcp add-json claude-net {")
    assert '"mcp", "--profile", "claude-net"' in added
    assert added.rstrip().endswith("--scope user")
    assert removed.rstrip() == "mcp remove claude-net --scope user"


def test_without_claude_the_line_to_run_is_printed(
    cli: Cli, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ran = cli("install", "claude-code")
    assert ran.code == exits.LOCAL
    assert "claude mcp add-json bus " in ran.out
    assert "the tools of the bus are missing" in ran.err
    assert "wait-for-mail" in settings.read_text()


def test_a_claude_that_refuses_the_server_is_told(
    cli: Cli, settings: Path, registered: Path, home: Path
) -> None:
    program = home / "bin" / "claude"
    program.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    ran = cli("install", "claude-code")
    assert ran.code == exits.LOCAL
    assert "failed: no room" in ran.out
    assert "the tools of the bus are missing" in ran.err
    program.write_text(CLAUDE.replace("PYTHON", sys.executable))
    assert cli("install", "claude-code").code == 0
    program.write_text("#!/bin/sh\nexit 1\n")
    assert cli("install", "claude-code", "--uninstall").code == exits.LOCAL


def test_the_check_says_what_is_there(cli: Cli, settings: Path, registered: Path) -> None:
    before = cli("install", "claude-code", "--check")
    assert before.code == exits.NOT_FOUND
    assert "settings: not installed" in before.out
    assert "Notification: not installed, last ran never" in before.out
    assert "MCP server bus: not registered" in before.out
    cli("install", "claude-code")
    state = Places.of_user().state
    (state / "hooks-ran.json").write_text('{"Notification": "2026-11-27T20:00:00Z"}')
    after = cli("install", "claude-code", "--check")
    assert after.code == 0, after
    for line in (
        "settings: installed",
        "hub: ok",
        "SessionStart: installed, last ran never",
        "Notification: installed, last ran 2026-11-27T20:00:00Z",
        "status line: installed\n",
        "MCP server bus: registered",
        "Claude Code says: ✔ Connected",
        f"bus {__version__}; Claude Code 2.1.332",
    ):
        assert line in after.out
    facts = json.loads(cli("install", "claude-code", "--check", "--json").out)
    assert (facts["installed"], facts["claude_version"]) == (True, "2.1.332")
    assert set(facts["parts"]) == {*json.loads(settings.read_text())["hooks"]} | {
        "status line",
        "permission",
    }


@pytest.mark.parametrize("lost", ["Notification", "SessionStart"])
def test_the_check_finds_a_hook_that_is_missing(
    cli: Cli, settings: Path, registered: Path, lost: str
) -> None:
    cli("install", "claude-code")
    found = json.loads(settings.read_text())
    del found["hooks"][lost]
    settings.write_text(json.dumps(found))
    ran = cli("install", "claude-code", "--check")
    assert ran.code == exits.NOT_FOUND
    assert f"{lost}: not installed" in ran.out
    assert "Stop: installed" in ran.out


def test_the_check_finds_a_server_that_is_missing_or_anothers(
    cli: Cli, settings: Path, registered: Path, home: Path
) -> None:
    cli("install", "claude-code")
    for servers, words in (
        ({}, "not registered"),
        ({"bus": {"command": "x", "args": []}}, "another program is registered"),
    ):
        (home / ".claude.json").write_text(json.dumps({"mcpServers": servers}))
        ran = cli("install", "claude-code", "--check")
        assert ran.code == exits.NOT_FOUND
        assert f"MCP server bus: {words}" in ran.out


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("BUS_PASS", "wrong", exits.CREDENTIAL),
        ("BUS_URL", "ftp://nowhere", exits.SETTINGS),
    ],
)
def test_the_check_fails_where_the_hub_cannot_be_used(
    cli: Cli,
    settings: Path,
    registered: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
) -> None:
    cli("install", "claude-code")
    monkeypatch.setenv(name, value)
    ran = cli("install", "claude-code", "--check")
    assert (ran.code, "settings: installed" in ran.out) == (code, True), ran
    assert "hub: ok" not in ran.out


def test_the_check_says_that_the_hub_is_away(
    cli: Cli, door: Door, settings: Path, registered: Path
) -> None:
    cli("install", "claude-code")
    door.troubles.extend(["away"] * 20)
    registered.write_text("")
    ran = cli("install", "claude-code", "--check")
    assert ran.code == exits.AWAY, ran
    # That starts the server, which waits for the hub as long as it may.
    assert "mcp get" not in registered.read_text()
    assert len(door.troubles) == 19  # one look


def test_hooks_of_others_behind_ours_are_no_reason_to_change_anything(
    cli: Cli, settings: Path, registered: Path
) -> None:
    cli("install", "claude-code")
    found = json.loads(settings.read_text())
    found["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "./mine hook"}]})
    settings.write_text(json.dumps(found))
    assert "nothing to do" in cli("install", "claude-code").out
    assert cli("install", "claude-code", "--check").code == 0
    assert json.loads(settings.read_text()) == found


def test_the_hook_of_a_start_is_for_every_kind_of_start(
    cli: Cli, settings: Path, registered: Path
) -> None:
    settings.parent.mkdir()
    before = json.dumps({"hooks": {"SessionStart": [{"hooks": [{"command": "/x/bus hook"}]}]}})
    settings.write_text(before)  # as an earlier version has put it there
    cli("install", "claude-code")
    (group,) = json.loads(settings.read_text())["hooks"]["SessionStart"]
    assert group["matcher"] == "startup|resume|clear|compact|fork"
    assert [hook["command"].rpartition(" ")[2] for hook in group["hooks"]] == [
        "hook",
        "wait-for-mail",
    ]


def test_the_http_block_has_http_hooks_only_and_says_what_it_needs(
    cli: Cli, settings: Path
) -> None:
    ran = cli("install", "claude-code", "--print-http")
    block = json.loads(ran.out)
    kinds = {hook["type"] for groups in block["hooks"].values() for hook in groups[0]["hooks"]}
    assert kinds == {"http"}
    assert not settings.exists()
    (line,) = (line for line in ran.err.splitlines() if "export BUS_BASIC" in line)
    script = f'BUS_USER=me BUS_PASS={"p" * 90}; {line.strip("| ")}; printf %s "$BUS_BASIC"'
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert base64.b64decode(told) == b"me:" + b"p" * 90
    assert "\n" not in told


def test_the_blocks_in_the_docs_are_those_of_the_command(
    cli: Cli, settings: Path, registered: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "claude-code.md").read_text()
    blocks = [
        json.loads(block) for block in re.findall(r"```json\n(\{\"hooks.*?)```", page, re.DOTALL)
    ]
    own, http = (block for block in blocks if "hooks" in block)
    printed = cli("install", "claude-code", "--print-http").out
    assert json.loads(printed.replace("http://hub.test", "http://127.0.0.1:8787")) == http
    (tmp_path / "bus").touch()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bus")])
    cli("install", "claude-code")
    put = json.loads(settings.read_text().replace(str(tmp_path / "bus"), "bus"))
    assert {part: put[part] for part in own} == own


def test_a_server_of_somebody_elses_stays(
    cli: Cli, settings: Path, registered: Path, home: Path
) -> None:
    servers = {"mcpServers": {"bus": {"command": "theirs", "args": []}}}
    (home / ".claude.json").write_text(json.dumps(servers))
    assert "left as it is" in cli("install", "claude-code").out
    assert "no MCP server was ours" in cli("install", "claude-code", "--uninstall").out
    assert json.loads((home / ".claude.json").read_text()) == servers
    assert not registered.exists()


def test_a_server_of_ours_that_is_out_of_date_is_registered_anew(
    cli: Cli, settings: Path, registered: Path, home: Path
) -> None:
    cli("install", "claude-code")
    path = home / ".claude.json"
    now = json.loads(path.read_text())
    path.write_text(json.dumps({"mcpServers": {"bus": {"command": "/gone/bus", "args": ["mcp"]}}}))
    cli("install", "claude-code")
    assert json.loads(path.read_text()) == now


PROJECT_FILES = {
    "none": None,
    "empty": b"",
    "of others": b'{\n    "mcpServers": {"other": {"command": "x"}},\n    "more": 1\n}',
    "with an empty list": b'{"mcpServers": {}}\n',
}


@pytest.mark.parametrize("before", PROJECT_FILES.values(), ids=PROJECT_FILES.keys())
def test_a_project_gets_a_server_that_may_start_and_loses_it_again(
    cli: Cli, project: Path, registered: Path, before: bytes | None
) -> None:
    servers, settings = project / ".mcp.json", project / ".claude" / "settings.json"
    if before is not None:
        servers.write_bytes(before)
    cli("install", "claude-code")  # the user's own says nothing about the project's
    assert cli("install", "claude-code", "--scope", "project", "--check").code == exits.NOT_FOUND
    ran = cli("install", "claude-code", "--scope", "project")
    assert "registered the MCP server bus" in ran.out, ran
    found = json.loads(servers.read_text())["mcpServers"]
    assert found["bus"]["args"][-1] == "mcp"
    assert ("other" in found) == (before is not None and b"other" in before)
    assert json.loads(settings.read_text())["enabledMcpjsonServers"] == ["bus"]
    assert cli("install", "claude-code", "--scope", "project", "--check").code == 0
    there = [servers.read_bytes(), settings.read_bytes()]
    assert cli("install", "claude-code", "--scope", "project").code == 0
    assert [servers.read_bytes(), settings.read_bytes()] == there
    ran = cli("install", "claude-code", "--scope", "project", "--uninstall")
    assert ran.code == 0
    assert (servers.read_bytes() if servers.exists() else None) == before
    assert not settings.parent.exists()
    assert cli("install", "claude-code", "--check").code == 0


def test_what_others_have_added_to_a_project_meanwhile_stays(
    cli: Cli, project: Path, registered: Path
) -> None:
    servers, settings = project / ".mcp.json", project / ".claude" / "settings.json"
    cli("install", "claude-code", "--scope", "project")
    found = json.loads(servers.read_text())
    found["mcpServers"]["other"] = {"command": "x"}
    servers.write_text(json.dumps(found))
    enabled = json.loads(settings.read_text())
    enabled["enabledMcpjsonServers"].append("other")
    settings.write_text(json.dumps(enabled))
    cli("install", "claude-code", "--scope", "project", "--uninstall")
    assert json.loads(servers.read_text()) == {"mcpServers": {"other": {"command": "x"}}}
    assert json.loads(settings.read_text()) == {"enabledMcpjsonServers": ["other"]}


def test_a_project_file_of_ours_goes_also_where_others_have_used_it(
    cli: Cli, project: Path, registered: Path
) -> None:
    servers, settings = project / ".mcp.json", project / ".claude" / "settings.json"
    cli("install", "claude-code", "--scope", "project")
    for path in (servers, settings):
        path.write_text(json.dumps(json.loads(path.read_text())))
    cli("install", "claude-code", "--scope", "project", "--uninstall")
    assert list(project.iterdir()) == []


def test_a_server_of_a_project_that_is_not_ours_is_never_allowed_to_start(
    cli: Cli, project: Path, registered: Path
) -> None:
    servers = project / ".mcp.json"
    servers.write_text('{"mcpServers": {"bus": {"command": "rm", "args": ["-rf", "/"]}}}')
    before = servers.read_bytes()
    ran = cli("install", "claude-code", "--scope", "project")
    assert ran.code == exits.SETTINGS
    assert "nothing was changed" in ran.err
    assert servers.read_bytes() == before
    assert not (project / ".claude").exists()


def test_what_two_profiles_have_added_goes_with_one_uninstall(
    cli: Cli, settings: Path, registered: Path
) -> None:
    settings.parent.mkdir()
    settings.write_text('{"mine": 1}')
    cli("install", "claude-code")
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"later": True}))
    cli("install", "claude-code", "--profile", "peers")
    assert "byte for byte" not in cli("install", "claude-code", "--uninstall").out
    assert json.loads(settings.read_text()) == {"mine": 1, "later": True}
    removed = [line.split()[2] for line in registered.read_text().splitlines() if "remove" in line]
    assert removed == ["bus", "claude-peers"]


def test_a_rule_of_the_users_own_stays(cli: Cli, settings: Path, registered: Path) -> None:
    before = {"permissions": {"allow": ["mcp__bus__*"]}}
    settings.parent.mkdir()
    settings.write_text(json.dumps(before))
    cli("install", "claude-code")
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"later": True}))
    cli("install", "claude-code", "--uninstall")
    assert json.loads(settings.read_text()) == {**before, "later": True}


def test_what_the_frames_name_is_allowed_and_only_what_was_added_goes(
    cli: Cli, settings: Path, registered: Path
) -> None:
    before = {"permissions": {"allow": ["Bash(bus ack:*)", "Bash(ls:*)"]}}
    settings.parent.mkdir()
    settings.write_text(json.dumps(before))
    cli("install", "claude-code")
    found = json.loads(settings.read_text())
    assert sorted(found["permissions"]["allow"]) == sorted([*ALLOWED, "Bash(ls:*)"])
    del found["permissions"]["allow"][-1]
    settings.write_text(json.dumps(found))
    ran = cli("install", "claude-code", "--check")
    assert (ran.code, "permission: not installed" in ran.out) == (exits.NOT_FOUND, True)
    cli("install", "claude-code", "--uninstall")
    assert json.loads(settings.read_text()) == before


def pasted(settings: Path) -> bytes:
    """The block of the docs, put in by hand."""
    page = (ROOT / "docs" / "claude-code.md").read_text()
    block = re.findall(r"```json\n(\{\"hooks.*?)```", page, re.DOTALL)[0]
    settings.parent.mkdir()
    settings.write_text(block)
    return settings.read_bytes()


def test_a_block_that_was_pasted_comes_back(cli: Cli, settings: Path, registered: Path) -> None:
    before = pasted(settings)
    ran = cli("install", "claude-code", "--check")
    assert "SessionStart: installed by hand (or by another bus: bus), last ran never" in ran.out
    assert "status line: installed by hand" in ran.out
    assert "permission: not installed" in ran.out
    assert ran.code == exits.NOT_FOUND
    ran = cli("install", "claude-code")
    assert "put in by hand (or by another bus: bus); ours are in their place" in ran.out
    assert "by hand" not in cli("install", "claude-code").out
    assert "by hand" not in cli("install", "claude-code", "--check").out
    assert "byte for byte" in cli("install", "claude-code", "--uninstall").out
    assert settings.read_bytes() == before
    assert "put in by hand: they were removed" in cli("install", "claude-code", "--uninstall").out
    assert json.loads(settings.read_text()) == {}


def test_all_of_it_by_hand_is_an_installation(cli: Cli, settings: Path, registered: Path) -> None:
    block = json.loads(pasted(settings)) | {"permissions": {"allow": ALLOWED}}
    cli("install", "claude-code")  # for the server
    settings.write_text(json.dumps(block))
    ran = cli("install", "claude-code", "--check")
    assert ran.code == 0, ran
    assert "settings: installed by hand (or by another bus: bus)" in ran.out


@pytest.mark.parametrize(
    ("command", "is_told"),
    [
        ("bus poll --budget 6000", True),
        ("/opt/claude-bus/scripts/session-start-poll", True),
        ('curl -s -u "$BUS_USER:$BUS_PASS" "$BUS_URL/inbox?reader=web1"', True),
        ("echo the bus", False),
    ],
)
def test_a_hook_that_shows_the_same_mail_is_told_and_stays(
    cli: Cli, settings: Path, registered: Path, command: str, is_told: bool
) -> None:
    hooks = {"SessionStart": [{"hooks": [{"type": "command", "command": command}]}]}
    settings.parent.mkdir()
    settings.write_text(json.dumps({"hooks": hooks}))
    for option in ((), ("--check",)):
        ran = cli("install", "claude-code", *option)
        assert ("shown twice" in ran.err) == is_told, ran
        assert (f"`{command}`" in ran.err) == is_told
    there = json.loads(settings.read_text())["hooks"]["SessionStart"]
    assert there[0] == hooks["SessionStart"][0]


def test_a_machine_without_a_hub_is_told(
    cli: Cli, settings: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUS_URL", "BUS_USER", "BUS_PASS", "BUS_NAME"):
        monkeypatch.delenv(name)
    ran = cli("install", "claude-code")
    assert (ran.code, settings.exists()) == (0, True)
    assert "this machine has no hub" in ran.err
    assert "bus join URL" in ran.err
    facts = json.loads(cli("install", "claude-code", "--json").out)
    assert "no hub" in facts["warnings"][0]


def test_an_environment_that_goes_before_the_settings_is_told(
    cli: Cli, settings: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [cli("install", "claude-code").err]
    assert "sessions that are started elsewhere have no hub" in said[0]
    kept = {"BUS_URL": os.environ["BUS_URL"], "BUS_USER": "web1", "BUS_PASS": "other"}
    write_env(Places.of_user().env_file, kept)
    for option in ((), ("--check",)):
        said = cli("install", "claude-code", *option).err
        assert "BUS_USER, BUS_PASS in the environment" in said
        assert f"speak as {USER}" in said
        assert "unset BUS_USER BUS_PASS" in said
    for name in ("BUS_USER", "BUS_PASS"):
        monkeypatch.setenv(name, kept[name])
    assert cli("install", "claude-code").err == ""


def test_the_shared_user_is_told_what_its_sessions_are_called(
    cli: Cli, settings: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_USER", SHARED_USER)
    for option in ((), ("--check",)):
        said = cli("install", "claude-code", *option).err
        assert "callsigns (bob/alpha) only if bob is free" in said
    assert "?name=NAME" in cli("install", "claude-code", "--print-http").err


def test_a_hub_that_hangs_is_told_soon(
    cli: Cli, settings: Path, registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("install", "claude-code")
    monkeypatch.setattr(busclient._http.calls, "transport_for", TRANSPORT_FOR)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # as a hub that was stopped
        monkeypatch.setenv("BUS_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        ran = cli("install", "claude-code", "--check")
        assert time.monotonic() - began < 15
    assert ran.code == exits.AWAY, ran
    assert "settings: installed" in ran.out

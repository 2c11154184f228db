"""bus install claude-code: what becomes of a settings file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def registered(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a `claude` on the PATH notes how it was called; it knows no server."""
    folder, calls = home / "bin", home / "calls"
    folder.mkdir()
    program = folder / "claude"
    program.write_text(
        f'#!/bin/sh\nfor word; do printf "%s " "$word"; done >> {calls}\necho >> {calls}\n'
        '[ "$2" != get ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


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
        "allow": ["Bash(ls:*)", "mcp__bus__*"],
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
    assert ran.code != 0
    assert "nothing was changed" in ran.err
    assert "secret" not in ran.err
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
    asked, added, removed = registered.read_text().splitlines()
    assert asked.split()[:3] == ["mcp", "get", "claude-net"]
    assert added.startswith("mcp add-json claude-net {")
    assert '"mcp", "--profile", "claude-net"' in added
    assert added.rstrip().endswith("--scope user")
    assert removed.rstrip() == "mcp remove claude-net --scope user"


def test_without_claude_the_line_to_run_is_printed(
    cli: Cli, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ran = cli("install", "claude-code")
    assert ran.code == 0
    assert "claude mcp add-json bus " in ran.out


def test_the_check_says_what_is_there(cli: Cli, settings: Path, registered: Path) -> None:
    before = cli("install", "claude-code", "--check")
    assert before.code != 0
    assert "settings: not installed" in before.out
    cli("install", "claude-code")
    after = cli("install", "claude-code", "--check")
    assert after.code == 0
    for line in ("settings: installed", "hub: ok", "SessionStart: last ran never"):
        assert line in after.out


def test_the_http_block_has_http_hooks_only(cli: Cli, settings: Path) -> None:
    block = json.loads(cli("install", "claude-code", "--print-http").out)
    kinds = {hook["type"] for groups in block["hooks"].values() for hook in groups[0]["hooks"]}
    assert kinds == {"http"}
    assert not settings.exists()


def test_a_server_of_somebody_elses_stays(
    cli: Cli, settings: Path, registered: Path, home: Path
) -> None:
    program = home / "bin" / "claude"
    program.write_text(program.read_text().replace('[ "$2" != get ]', "true"))
    assert "left as it is" in cli("install", "claude-code").out
    assert "no MCP server was ours" in cli("install", "claude-code", "--uninstall").out
    assert "remove" not in registered.read_text()


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

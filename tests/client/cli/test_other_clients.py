"""bus install codex --print, and those of other MCP clients: what is printed can be pasted."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient._cli import exits

Cli = Callable[..., Any]
CLIENTS = {
    "codex": (tomllib.loads, ".codex/config.toml", "mcp_servers"),
    "gemini": (json.loads, ".gemini/settings.json", "mcpServers"),
    "cursor": (json.loads, ".cursor/mcp.json", "mcpServers"),
    "vscode": (json.loads, ".vscode/mcp.json", "servers"),
    "opencode": (json.loads, "opencode.json", "mcp"),
}
HEADING = "## Mail between agents (claude-bus)"


def words(name: str, entry: dict[str, Any]) -> list[str]:
    """The command that a client runs for an entry of its own form; nothing else may be in it."""
    if name == "opencode":
        assert (entry.pop("type"), entry.pop("enabled")) == ("local", True)
        found = list(entry.pop("command"))
    else:
        assert name != "vscode" or entry.pop("type") == "stdio"
        found = [entry.pop("command"), *entry.pop("args")]
    assert entry == {}
    return found


@pytest.mark.parametrize("name", CLIENTS)
def test_the_block_starts_the_server_and_the_file_is_told(cli: Cli, name: str) -> None:
    parse, file, key = CLIENTS[name]
    ran = cli("install", name, "--print")
    assert ran.code == 0, ran
    found = parse(ran.out)
    assert list(found) == [key]
    assert list(found[key]) == ["bus"]
    assert words(name, found[key]["bus"]) == [sys.executable, "-P", "-m", "busclient", "mcp"]
    assert file in ran.err.splitlines()[0]
    assert "AGENTS.md" in ran.err
    assert f"bus install {name} --print-rules" in ran.err
    ran = cli("install", name, "--print-rules")
    assert f"bus install {name} --print\n" in ran.err
    assert "AGENTS.md" in ran.err.splitlines()[0]
    heading, rules = ran.out.split("\n", 1)
    assert heading == HEADING
    for tool in ("bus_inbox", "bus_post", "bus_ack", "bus_agents"):
        assert f"`{tool}`" in rules


@pytest.mark.parametrize("name", CLIENTS)
def test_a_path_with_odd_characters_is_what_the_client_runs(
    cli: Cli, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "a \"b\\c' ☃" / "bus"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setattr(sys, "argv", [str(program)])
    parse, _, key = CLIENTS[name]
    facts = json.loads(cli("install", name, "--print", "--profile", "claude-net", "--json").out)
    entry = parse(facts["block"])[key]["claude-net"]
    assert words(name, entry) == [str(program), "mcp", "--profile", "claude-net"]
    assert "claude_net_inbox" in facts["rules"]
    assert "bus_inbox" not in facts["rules"]


def test_that_nothing_is_written_is_said(cli: Cli, home: Path) -> None:
    ran = cli("install", "codex")
    assert (ran.code, ran.out) == (exits.USAGE, "")
    assert "only prints" in ran.err
    assert "bus install codex --print" in ran.err
    cli("install", "codex", "--print")
    assert not (home / ".codex").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("codex", "--print", "--check"),
        ("codex", "--print", "--print-rules"),
        ("claude-code", "--print-rules"),
        ("vscode", "--print", "--scope", "project"),
        ("claude-code", "--print"),
    ],
)
def test_what_a_client_has_not_is_refused(cli: Cli, home: Path, arguments: tuple[str, ...]) -> None:
    assert cli("install", *arguments).code == exits.USAGE
    assert not (home / ".claude").exists()

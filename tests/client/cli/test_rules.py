"""bus install claude-code --rules: the block in CLAUDE.md and the skill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient._cli import exits
from tests.conftest import ROOT

Cli = Callable[..., Any]
SKILL = (ROOT / "plugin" / "skills" / "bus" / "SKILL.md").read_bytes()
BEGIN, END = b"<!-- claude-bus: begin -->", b"<!-- claude-bus: end -->"
FILES = {
    "none": None,
    "empty": b"",
    "of others": "# Mine\n\nBe nice. ☃\n".encode(),
    "no last line end": b"# Mine",
    "of Windows": b"# Mine\r\n\r\nBe nice.\r\n",
    "with a mark of its encoding": b"\xef\xbb\xbf# Mine\n\n\n",
}


@pytest.fixture(params=["user", "project"])
def place(
    request: pytest.FixtureRequest, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[tuple[str, ...], Path, Path]:
    """The command for a scope, its CLAUDE.md and its skill."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", "/nowhere")  # no `claude` is needed for it
    command = ("install", "claude-code", "--scope", request.param)
    if request.param == "project":
        return command, project / "CLAUDE.md", project / ".claude" / "skills" / "bus" / "SKILL.md"
    (home / ".claude").mkdir()
    folder = home / ".claude"
    return command, folder / "CLAUDE.md", folder / "skills" / "bus" / "SKILL.md"


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for part in ("home", "project")
        for path in (folder / part).rglob("*")
        if ".local" not in str(path)
    }


@pytest.mark.parametrize("before", FILES.values(), ids=FILES.keys())
def test_the_rules_and_the_skill_come_and_go_byte_for_byte(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path], tmp_path: Path, before: bytes | None
) -> None:
    command, rules, skill = place
    if before is not None:
        rules.write_bytes(before)
    there = everything(tmp_path)
    ran = cli(*command, "--rules")
    assert ran.code == (0 if "project" in command else exits.LOCAL), ran  # no tools
    text = rules.read_bytes()
    assert text.startswith(before or b"")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    for words in (b"seanclaude", b"jazclaude", b"Notify all", b"no draft"):
        assert words in text
    assert skill.read_bytes() == SKILL
    assert skill.stat().st_mode & 0o777 == 0o644
    after = everything(tmp_path)
    assert "nothing to do" in cli(*command, "--rules").out
    assert everything(tmp_path) == after
    assert json.loads(cli(*command, "--check", "--json").out)["rules"] is True
    ran = cli(*command, "--uninstall")
    assert ran.code == 0, ran
    assert everything(tmp_path) == there


def test_without_the_option_there_are_no_rules(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path]
) -> None:
    command, rules, skill = place
    cli(*command)
    assert not rules.exists() and not skill.parent.exists()
    check = cli(*command, "--check").out
    assert "rules: not installed" in check and "skill: not installed" in check


def test_what_others_have_written_meanwhile_stays(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path]
) -> None:
    command, rules, skill = place
    rules.write_text("# Mine\n")
    cli(*command, "--rules")
    rules.write_text(f"before\n{rules.read_text()}after\n")
    skill.write_text("my own version")
    assert "skill: changed by hand" in cli(*command, "--check").out
    said = cli(*command, "--uninstall", "--rules").out
    assert f"{skill} was changed by hand: it stays" in said
    assert "changed by hand" not in cli(*command, "--check").out
    assert rules.read_text() == "before\n# Mine\nafter\n"
    assert skill.read_text() == "my own version"
    assert json.loads(cli(*command, "--check", "--json").out)["installed"] is True


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("first", [b"# Mine", b"# Mine%s", b"# Mine%s%s"])
@pytest.mark.parametrize("last", [b"", b"# After", b"%s# After%s"])
def test_what_was_written_behind_the_block_stays_a_line_of_its_own(
    cli: Cli,
    place: tuple[tuple[str, ...], Path, Path],
    first: bytes,
    last: bytes,
    end: bytes,
) -> None:
    command, rules, _ = place
    first, last = first.replace(b"%s", end), last.replace(b"%s", end)
    rules.write_bytes(b"# Top" + end + first)
    cli(*command, "--rules")
    rules.write_bytes(rules.read_bytes() + last)
    cli(*command, "--uninstall")
    text = rules.read_bytes()
    assert [line for line in text.split(end) if line] == [
        b"# Top",
        b"# Mine",
        *([b"# After"] if last else []),
    ]
    assert text.startswith(b"# Top" + end + first)
    assert text.endswith(last)


def test_an_older_block_is_replaced_where_it_stands(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path]
) -> None:
    command, rules, _ = place
    rules.write_bytes(b"# Mine\n\n" + BEGIN + b"\nolder\n" + END + b"\nmore\n")
    cli(*command, "--rules")
    text = rules.read_bytes()
    assert text.startswith(b"# Mine\n\n" + BEGIN) and text.endswith(END + b"\nmore\n")
    assert b"older" not in text
    cli(*command, "--uninstall")
    assert rules.read_bytes() == b"# Mine\n\nmore\n"


@pytest.mark.parametrize("text", [BEGIN, END, END + BEGIN, BEGIN + END + BEGIN + END])
def test_half_a_block_is_left_as_it_is(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path], text: bytes
) -> None:
    command, rules, _ = place
    rules.write_bytes(text)
    ran = cli(*command, "--rules")
    assert ran.code == exits.SETTINGS
    assert "left as it is" in ran.err
    assert rules.read_bytes() == text


@pytest.mark.parametrize("option", [("--rules",), ("--profile", "claudemail")])
def test_the_skill_mail_comes_with_the_rules_or_its_tools(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path], tmp_path: Path, option: tuple[str, ...]
) -> None:
    command, rules, skill = place
    mail, there = skill.parent.parent / "mail" / "SKILL.md", everything(tmp_path)
    assert "skill mail: not installed" in cli(*command, "--check").out
    said = cli(*command, *option).out
    assert f"{mail}: written" in said
    text = mail.read_text()
    assert text.startswith("---\nname: mail\n")
    for word in ("digest", "check", "read", "send", "actions", "done", "roster", "checkup"):
        assert f"| `{word}" in text, word
    assert rules.exists() is skill.exists() is ("--rules" in option)
    assert "skill mail: installed" in cli(*command, "--check").out
    assert f"{mail}: nothing to do" in cli(*command, *option).out
    cli(*command, "--uninstall")
    assert everything(tmp_path) == there


def test_a_skill_mail_of_the_users_stays(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path]
) -> None:
    command, _, skill = place
    mail = skill.parent.parent / "mail" / "SKILL.md"
    mail.parent.mkdir(parents=True)
    mail.write_text("of somebody else")
    assert f"{mail}: another skill is there" in cli(*command, "--profile", "claudemail").out
    cli(*command, "--uninstall")
    assert mail.read_text() == "of somebody else"
    mail.unlink()
    cli(*command, "--profile", "claudemail")
    mail.write_text(mail.read_text() + "- and mine\n")
    assert "skill mail: changed by hand" in cli(*command, "--check").out
    assert f"{mail}: another skill is there" in cli(*command, "--rules").out
    assert f"{mail} was changed by hand: it stays" in cli(*command, "--uninstall").out
    assert mail.read_text().endswith("- and mine\n")


@pytest.mark.parametrize("first", [("--rules",), ("--profile", "claudemail")])
def test_the_folder_of_both_skills_goes_with_the_last(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path], tmp_path: Path, first: tuple[str, ...]
) -> None:
    command, _, skill = place
    there = everything(tmp_path)
    cli(*command, *first)
    cli(*command, "--rules")
    assert skill.exists()
    cli(*command, "--uninstall")
    assert everything(tmp_path) == there


def test_another_skill_of_that_name_stays(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path]
) -> None:
    command, _, skill = place
    skill.parent.mkdir(parents=True)
    skill.write_text("of somebody else")
    assert "another skill is there" in cli(*command, "--rules").out
    cli(*command, "--uninstall")
    assert skill.read_text() == "of somebody else"


def test_a_skill_of_an_older_version_is_replaced(
    cli: Cli, place: tuple[tuple[str, ...], Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import busclient._claude.rules as module

    command, _, skill = place
    now = module._shipped
    monkeypatch.setattr(module, "_shipped", lambda name: f"older: {now(name)}")
    cli(*command, "--rules")
    monkeypatch.setattr(module, "_shipped", now)
    cli(*command, "--rules")
    assert skill.read_bytes() == SKILL
    cli(*command, "--uninstall")
    assert not skill.parent.exists()


@pytest.mark.parametrize("other", ["--check", "--print-http"])
def test_what_does_not_go_together_is_refused(cli: Cli, home: Path, other: str) -> None:
    assert cli("install", "claude-code", "--rules", other).code == exits.USAGE

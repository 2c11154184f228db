"""The docs tell everything there is, and what they tell to paste works."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest

from bus.config import Config
from bus.errors import BusError, family
from bus.server.commands import main
from tests.conftest import PASSWORD, ROOT, USER, Caller, RunningHub, wait_until

NET = (ROOT / "docs" / "net.md").read_text()
AGENTS = "\n".join(
    (ROOT / "docs" / page).read_text()
    for page in ("agents.md", "claude-code.md", "work.md", "files.md")
)
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def section(text: str, heading: str) -> str:
    """What stands under a heading of the third level."""
    found = re.search(
        rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no heading `### {heading}`"
    return found[1]


# -- nothing is left out -------------------------------------------------------------------------


def test_every_route_has_its_paragraph(bus: Caller) -> None:
    headings = (
        " ".join(re.findall(r"^### (.*)$", NET + AGENTS + PROTOCOL, re.MULTILINE))
        .replace("&lt;", "<")
        .replace(",", "")
        .split()
    )
    for rule in bus.app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"<\1>", rule.rule)
        assert path in headings, f"no page of the docs has a heading for {path}"


def test_every_query_parameter_is_told_in_its_route(bus: Caller) -> None:
    described = bus.get("/openapi.json").json["paths"]
    for path, item in described.items():
        for method, operation in item.items():
            heading = f"{method.upper()} " + re.sub(r"{(.*?)}", r"&lt;\1>", path)
            told = "\n".join((NET, AGENTS, PROTOCOL))
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and path != "/" and parameter["name"] != "format":
                    assert f"`{parameter['name']}`" in section(told, heading), (
                        f"{heading} does not tell `{parameter['name']}`"
                    )


def test_every_field_of_a_message_is_told(bus: Caller) -> None:
    described = bus.get("/openapi.json").json["components"]["schemas"]["Draft"]["properties"]
    assert all(f"| `{field}` |" in section(PROTOCOL, "POST /post") for field in described)


@pytest.mark.parametrize("kind", list(family()), ids=lambda kind: kind.code)
def test_every_error_code_has_its_paragraph_with_status_and_advice(kind: type[BusError]) -> None:
    text = section(PROTOCOL, kind.code)
    assert text.strip().startswith(str(kind.status))
    assert len(text.split()) > 8


def test_no_paragraph_is_about_an_error_that_does_not_exist() -> None:
    codes = {kind.code for kind in family()}
    edge = set(
        re.findall(
            r"^ +\d{3} +(\w+);", (ROOT / "nginx" / "claude-bus.conf").read_text(), re.MULTILINE
        )
    )
    told = set(re.findall(r"^### (\w+)$", PROTOCOL.split("## Errors")[1], re.MULTILINE))
    assert told == codes | edge


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.metadata["name"])
def test_every_setting_is_in_the_table_with_its_default(setting: object) -> None:
    meta, default = setting.metadata, setting.default  # type: ignore[attr-defined]
    row = re.search(rf"^\| `{meta['name']}` \| `?([^`|]*)`?[^|]*\|", OPERATIONS, re.MULTILINE)
    assert row, f"docs/operations.md has no row for {meta['name']}"
    files = {
        "BUS_CREDENTIALS": "credentials",
        "BUS_EXEC_SOCKET": "run/exec.sock",
        "BUS_TARGETS": "targets.toml",
        "BUS_NOTIFY_CONFIG": "notify.toml",
        "BUS_FILES_DIR": "files",
    }
    shown = {None: files.get(meta["name"]), True: "1", False: "0"}.get(
        default, f"{default:g}" if isinstance(default, float) else str(default)
    )
    assert row[1].strip() == shown


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_its_paragraph_and_options(name: str) -> None:
    text = section(OPERATIONS, name)
    for option in main.commands[name].params:
        for flag in option.opts:
            assert not flag.startswith("--") or flag in text, (
                f"docs/operations.md does not tell {name} {flag}"
            )


def test_no_setting_or_command_is_told_that_does_not_exist() -> None:
    names = {setting.metadata["name"] for setting in fields(Config)} | {
        "BUS_URL",
        "BUS_USER",
        "BUS_PASS",
    }
    # Of Claude Code on a client: its settings file, its hooks.
    names |= {"BUS_BASIC", "BUS_SESSION", "BUS_PUSH", "BUS_WAKE", "BUS_WAKES_AN_HOUR"}
    names |= {"BUS_AUTOSTART", "BUS_NAME", "BUS_SUMMARY"}
    assert set(re.findall(r"\bBUS_[A-Z_]+\b", OPERATIONS + PROTOCOL + AGENTS)) <= names
    told = re.findall(
        r"^### ([\w-]+)$", OPERATIONS.split("## Commands")[1].split("\n## ")[0], re.MULTILINE
    )
    assert told == list(dict.fromkeys(told))
    assert set(told) == set(main.commands)


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
        file = (path.parent / target) if target else path
        assert file.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(file.read_text()), f"{path.name} links to #{anchor}"


def test_the_map_of_the_code_names_only_what_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = "bus|busclient|tests|docs|nginx|systemd|scripts"
    named = re.findall(rf"`((?:{rooms})/[\w./-]*)", text)
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).exists()] == []


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("&lt;", "<")).replace(" ", "-")
        for heading in headings
    }


def test_what_is_printed_to_paste_is_understood_by_curl_7_81() -> None:
    """That of Ubuntu 22.04: `--json` came with 7.82, `--url-query` with 7.87."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").glob("*")]
    files += [path for room in ("bus", "busclient") for path in (ROOT / room).rglob("*.py")]
    for path in files:
        if path.is_file():
            lines = [
                line
                for line in path.read_text().splitlines()
                if re.search(r"\bcurl\b.*\s--(json|url-query)\b", line)
            ]
            assert lines == [], path


# -- what is to be pasted works ------------------------------------------------------------------


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page in one language, in order."""
    path = ROOT / name
    return (
        re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        if path.exists()
        else []
    )


def is_endless(code: str) -> bool:
    """A loop or a stream: it is run until it has shown a message, and then ended."""
    return "/stream" in code or "while True" in code


# What starts a hub, or is for another place than beside one.
_ELSEWHERE = re.compile(r"\s*(git clone|cd |\./scripts/|scripts/|pip |\.venv)")


def pasted(code: str) -> str:
    """The lines of a shell block that can be pasted beside a running hub."""
    return "\n".join(line for line in code.splitlines() if not _ELSEWHERE.match(line))


@pytest.fixture
def desk(hub: RunningHub, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A shell in a folder with `data` and README.md, as in a clone.

    Its curl fails where the hub refuses; three messages wait.
    """
    for number in range(3):
        hub.say(f"waiting {number}", sender="desk", to="any")
    shutil.copy(ROOT / "README.md", tmp_path)
    work = tmp_path / "bin"
    work.mkdir()
    real = shutil.which("curl")
    assert real, "curl is needed to test the docs"
    (work / "curl").write_text(
        f'#!/bin/sh\nexec {real} --fail-with-body --silent --show-error "$@"\n'
    )
    (work / "curl").chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BUS_")}
    environ |= {
        "PATH": f"{work}:{environ['PATH']}",
        "BUS_URL": hub.url,
        "BUS_USER": USER,
        "BUS_PASS": PASSWORD,
    }
    running: list[subprocess.Popen[str]] = []

    def run(*command: str) -> subprocess.Popen[str]:
        # To a file: a loop that writes to a pipe would have to be read in a thread.
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        running.append(process)
        return process

    yield run
    for process in running:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a shell or loop with what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def expect_success(process: subprocess.Popen[str], folder: Path, code: str) -> str:
    process.wait(60)
    output = (folder / "output").read_text()
    assert process.returncode == 0, f"{code}\n--- gave\n{output}"
    return output


def expect_message(process: subprocess.Popen[str], folder: Path, code: str) -> None:
    """A loop that shows the messages that wait, and is still running then."""
    wait_until(lambda: "waiting 2" in (folder / "output").read_text() or process.poll() is not None)
    output = (folder / "output").read_text()
    assert "waiting 2" in output, f"{code}\n--- gave\n{output}"
    assert process.poll() is None, f"{code}\n--- ended:\n{output}"


PAGES = ("docs/protocol.md", "docs/agents.md", "docs/work.md", "docs/files.md", "README.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_curl_line_works_when_pasted(
    page: str, desk: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    given = [code for code in map(pasted, blocks(page, "bash")) if "curl " in code]
    assert "\n".join(given).count("curl ") >= 5
    for code in given:
        process = desk(
            "bash", "-euo", "pipefail", "-c", f"set -a; . data/claude-bus.env; set +a\n{code}"
        )
        if is_endless(code):
            expect_message(process, tmp_path, code)
        else:
            expect_success(process, tmp_path, code)
        end(process)


@pytest.mark.slow
def test_the_environment_file_is_the_one_that_the_docs_name(
    desk: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = blocks("docs/protocol.md", "bash")[0]
    assert "data/claude-bus.env" in first
    output = expect_success(
        desk("bash", "-euc", f"unset BUS_URL BUS_USER BUS_PASS\n{first}\nenv"), tmp_path, first
    )
    assert f"BUS_USER={USER}" in output
    assert "BUS_URL=http://127.0.0.1:" in output


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_python_snippet_works_when_pasted(
    page: str, desk: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The snippets of a page go on from one another; an endless one is the last of those it is run
    with.
    """
    before: list[str] = []
    for code in blocks(page, "python"):
        process = desk(sys.executable, "-c", "\n".join([*before, code]))
        if is_endless(code):
            expect_message(process, tmp_path, code)
            end(process)
        else:
            expect_success(process, tmp_path, code)
            before.append(code)
    assert before or page in ("README.md", "docs/agents.md", "docs/work.md", "docs/files.md")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_says_what_the_docs_show(name: str, hub: RunningHub) -> None:
    """The first words of the last line shown, where it holds no number."""
    if name in ("serve", "exec-service", "peers", "notify"):
        return
    hub.say()
    old = hub.data_dir.parent / "OLD.jsonl"
    old.write_text('{"id":"m-1","ts":1,"from":"ann","body":"x"}\n')
    arguments = {
        "backup": [str(hub.data_dir.parent / "copy")],
        "credential": ["list"],
        "import": [str(old)],
        "invite": ["runner"],
    }
    target = arguments.get(name, [])
    result = hub.run(name, *target)
    assert result.returncode == 0, result.stderr
    shown = [
        line.strip()
        for line in section(OPERATIONS, name).splitlines()
        if line.startswith("    ") and "$ python" not in line
    ]
    words = [
        re.match(r"[A-Za-z{\"_]+", line) for line in shown if not line.startswith(("DAMAGED", "…"))
    ]
    said = result.stdout + result.stderr
    if name not in ("init", "compress"):  # these have nothing to do here
        assert any(word and word[0] in said for word in words), (
            f"{said}\n--- but the docs show\n{shown}"
        )

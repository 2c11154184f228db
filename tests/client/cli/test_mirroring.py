"""bus mirror: a folder of markdown files in step with the briefs of a name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen, run
from typing import Any

import pytest

from tests.conftest import PASSWORD, USER, Caller, RunningHub, wait_until

Cli = Callable[..., Any]
OLD = 1_000_000_000  # when an editor has last written a file


def brief(bus: Any, title: str, to: str = "bob", body: str = "The text.\r\n\n- [ ] do it") -> str:
    """Post a brief as alice; return its id."""
    text = f"---\ntitle: {title}\ndate: 2026-03-24\nfrom: alice\nto: {to}\n---\n{body}"
    reply = bus.post("/briefs", data=text.encode(), headers={"Content-Type": "text/markdown"})
    assert reply.status_code == 201, reply.text
    found = reply.json() if callable(reply.json) else reply.json
    return str(found["id"])


def put(folder: Path, name: str, text: str) -> Path:
    """Put a file into the outbox of bob."""
    path = folder / "bob" / "outbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (OLD, OLD))
    return path


def files(folder: Path, *parts: str) -> list[str]:
    return sorted(path.name for path in folder.joinpath("bob", *parts).glob("*.md*"))


def sent(bus: Caller) -> list[str]:
    return [one["body"] for one in bus.get("/briefs?to=alice").json["messages"]]


def test_a_brief_is_a_file_until_it_is_acknowledged(bus: Caller, cli: Cli, tmp_path: Path) -> None:
    id = brief(bus, "Deploy Blocker — DB Migration")
    brief(bus, "for another", to="carol")
    bus.say("no brief", sender="alice", to="bob")
    name = f"2026-03-24-deploy-blocker-db-migration-{id}.md"
    assert cli("mirror", str(tmp_path), "--once").out == f"new {name}\n"
    assert files(tmp_path, "inbox") == [name]
    text = (tmp_path / "bob" / "inbox" / name).read_bytes()
    assert text.startswith(b"---\ntitle: Deploy Blocker")
    assert text.endswith(b"The text.\r\n\n- [ ] do it")
    assert cli("mirror", str(tmp_path), "--once").out == ""
    bus.post("/ack", json={"reader": "bob", "ids": [id]})
    assert cli("mirror", str(tmp_path), "--once").out == f"archived {name}\n"
    assert (files(tmp_path, "inbox"), files(tmp_path, "archive")) == ([], [name])


def test_the_first_run_brings_what_was_acknowledged_before(
    bus: Caller, cli: Cli, tmp_path: Path
) -> None:
    old, new = brief(bus, "old"), brief(bus, "new")
    bus.post("/ack", json={"reader": "bob", "ids": [old]})
    cli("mirror", str(tmp_path), "--once")
    assert files(tmp_path, "archive") == [f"2026-03-24-old-{old}.md"]
    assert files(tmp_path, "inbox") == [f"2026-03-24-new-{new}.md"]
    (tmp_path / "bob" / "archive" / f"2026-03-24-old-{old}.md").unlink()
    cli("mirror", str(tmp_path), "--once")
    assert files(tmp_path, "archive") == []  # what a person removes there stays away


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("Größe – naïve?", "groe-naive"),
        ("数据库", ""),
        ("x" * 300, "x" * 60),
        (".hidden", "hidden"),
    ],
)
def test_odd_titles_make_plain_names(
    bus: Caller, cli: Cli, tmp_path: Path, title: str, slug: str
) -> None:
    id = brief(bus, title)
    cli("mirror", str(tmp_path), "--once")
    assert files(tmp_path, "inbox") == [f"2026-03-24{slug and '-' + slug}-{id}.md"]


def test_more_briefs_than_a_page_are_all_there(bus: Caller, cli: Cli, tmp_path: Path) -> None:
    ids = {brief(bus, f"number {number}") for number in range(205)}
    cli("mirror", str(tmp_path), "--once")
    assert {name[-29:-3] for name in files(tmp_path, "inbox")} == ids


def test_a_file_in_the_outbox_is_sent_once(bus: Caller, cli: Cli, tmp_path: Path) -> None:
    put(tmp_path, "plan.md", "---\nfrom: bob\nto: alice\n---\n# Plan\n")
    assert cli("mirror", str(tmp_path), "--once").out == "sent plan.md\n"
    assert cli("mirror", str(tmp_path), "--once").out == ""
    assert sent(bus) == ["# Plan\n"]
    assert files(tmp_path, "outbox", "sent") == ["plan.md"]
    put(tmp_path, "plan.md", "---\nfrom: bob\nto: alice\n---\n# Plan\n")
    cli("mirror", str(tmp_path), "--once")
    assert sent(bus) == ["# Plan\n"] * 2  # put there again, it is meant again
    assert len(files(tmp_path, "outbox", "sent")) == 2


def test_what_an_editor_still_writes_waits(bus: Caller, cli: Cli, tmp_path: Path) -> None:
    path = put(tmp_path, "plan.md", "---\nfrom: bob\nto: alice\n---\nhalf")
    os.utime(path)
    put(tmp_path, ".plan.md.swp", "x")
    put(tmp_path, "notes.txt", "x")
    assert cli("mirror", str(tmp_path), "--once").out == ""
    assert path.exists()
    assert sent(bus) == []


def test_a_file_that_is_refused_says_why_and_stops_no_other(
    bus: Caller, cli: Cli, tmp_path: Path
) -> None:
    put(tmp_path, "a.md", "---\nfrom: bob\nto: alice\ndue: no day\n---\nx")
    put(tmp_path, "b.md", "---\nfrom: bob\nto: alice\n---\ngood")
    ran = cli("mirror", str(tmp_path), "--once")
    assert (ran.code, ran.out) == (0, "sent b.md\n")
    assert "refused a.md: Line 4" in ran.err
    assert files(tmp_path, "outbox", "refused") == ["a.md", "a.md.why"]
    assert "Line 4" in (tmp_path / "bob" / "outbox" / "refused" / "a.md.why").read_text()


def test_while_the_hub_is_away_the_file_waits_and_is_sent_once_afterwards(
    bus: Caller, cli: Cli, tmp_path: Path, door: Any
) -> None:
    put(tmp_path, "plan.md", "---\nfrom: bob\nto: alice\n---\nlater")
    door.troubles.extend([(503, {}, b"{}")] * 20)
    assert cli("mirror", str(tmp_path), "--once").code == 4
    door.troubles.clear()
    assert cli("mirror", str(tmp_path), "--once").out == "sent plan.md\n"
    assert sent(bus) == ["later"]


_KILLED = """
import os, sys
left = int(sys.argv[1])
def killing(name):
    real = getattr(os, name)
    def call(*given, **more):
        global left
        left -= 1
        if left == 0: os._exit(9)
        done = real(*given, **more)
        left -= 1
        if left == 0: os._exit(9)
        return done
    setattr(os, name, call)
for name in ("replace", "fsync"): killing(name)
from busclient import _cli
sys.argv = ["bus", "mirror", sys.argv[2], "--once"]
_cli.main()
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    hub = RunningHub(tmp_path / "data").start()
    yield hub
    hub.stop()


@pytest.fixture
def environ(hub: RunningHub, tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path), "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "BUS_URL": hub.url, "BUS_USER": USER, "BUS_PASS": PASSWORD, "BUS_NAME": "bob",
    }  # fmt: skip


@pytest.mark.slow
def test_it_follows_until_it_is_ended(
    hub: RunningHub, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "mail"
    command = [sys.executable, "-m", "busclient", "mirror", str(folder)]
    with Popen(command, env=environ, stdout=PIPE, stderr=PIPE, text=True) as mirror:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        id = brief(hub, "news")
        wait_until(lambda: files(folder, "inbox") == [f"2026-03-24-news-{id}.md"])
        put(folder, "out.md", "---\nfrom: bob\nto: alice\n---\nout")
        wait_until(lambda: files(folder, "outbox", "sent") == ["out.md"])
        mirror.terminate()
        assert mirror.wait(20) in (130, 143)


@pytest.mark.slow
def test_killed_at_any_point_no_file_is_half_none_doubled_none_lost(
    hub: RunningHub, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "mail"
    body = "x" * 10_000
    code, point, was_killed = 9, 0, 0
    ids: list[str] = []
    while code == 9:
        point += 1
        number = len(ids)
        ids.append(brief(hub, f"mail {number}", body=body))
        put(folder, f"out{number}.md", f"---\nfrom: bob\nto: alice\n---\nnumber {number}")
        done = run(
            [sys.executable, "-c", _KILLED, str(point), str(folder)],
            env=environ, capture_output=True, text=True,
        )  # fmt: skip
        code = done.returncode
        assert code in (0, 9), done.stderr
        was_killed += code == 9
        if number:
            hub.post("/ack", json={"reader": "bob", "ids": [ids[number - 1]]})
        for path in [*folder.glob("bob/inbox/*.md"), *folder.glob("bob/archive/*.md")]:
            assert path.read_text().endswith(f"---\n{body}"), path
        if point > 60:
            point = 10_000  # the rest in one go
    assert was_killed > 20
    run(
        [sys.executable, "-m", "busclient", "mirror", str(folder), "--once"],
        env=environ, check=True, capture_output=True,
    )  # fmt: skip
    kept = [name[-29:-3] for name in files(folder, "inbox") + files(folder, "archive")]
    assert sorted(kept) == sorted(ids)
    posted = [one["body"] for one in hub.get("/briefs?to=alice&limit=500").json()["messages"]]
    assert sorted(posted) == sorted(f"number {number}" for number in range(len(ids)))
    assert not list(folder.rglob(".*.md-*"))

"""The commands that control containers, and those that show machines and activity."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import pytest

from busclient import Bus
from busclient._cli import exits
from tests.client.cli.net.conftest import Cli
from tests.client.stubnet import RULE, StubNet, error, page


def test_containers_are_listed_and_changed(cli: Cli, net: StubNet) -> None:
    fields = {
        "name": "db1",
        "driver": "lxc",
        "state": "running",
        "addresses": ["10.0.3.7"],
        "snapshots": ["a", "b"],
    }
    net.on(
        "GET /api/containers",
        {"ok": True, "containers": [fields], "unavailable": {"ssh": "no\x1b"}},
    )
    ran = cli("container", "list")
    assert (ran.out, ran.err) == (
        "db1 lxc running 10.0.3.7 snapshots: a, b\n",
        "bus: ssh cannot be asked: no\ufffd\n",
    )
    done = {"ok": True, "id": "01C", "name": "db1", "state": "done", "changed": True}
    for action in ("start", "stop", "snapshot", "restore"):
        net.on(
            f"POST /api/container/{action}",
            {**done, "saved": "auto" if action == "restore" else None},
        )
    assert cli("container", "start", "db1").out == "db1: start done\n"
    assert cli("container", "stop", "db1", "--force", "--timeout", "5").code == 0
    assert cli("container", "snapshot", "db1", "s1").code == 0
    assert (
        cli("container", "restore", "db1", "s1", "--no-snapshot-first").out
        == "db1: restore done, what was there is kept as auto\n"
    )
    sent = [
        {name: value for name, value in asked.fields.items() if name != "client_id"}
        for asked in net.asked[1:]
    ]
    me = {"from": "web1", "name": "db1"}
    assert sent == [
        me, {**me, "force": True, "timeout_s": 5}, {**me, "snapshot": "s1"},
        {**me, "snapshot": "s1", "snapshot_first": False}
    ]  # fmt: skip


def test_snapshots_are_listed_made_gone_back_to_and_deleted(cli: Cli, net: StubNet) -> None:
    listed = [{"name": "2026-02-27", "made": "2026-02-27T03:00:00.000Z", "by_restore": False},
              {"name": "before-restore-x", "made": "2026-02-27T04:00:00.000Z",
               "by_restore": True}]  # fmt: skip
    net.on(
        "GET /api/container/snapshots",
        {"ok": True, "name": "db1", "snapshots": listed},
        {"ok": True, "snapshots": []},
    )
    assert cli("container", "snapshots", "db1").out == (
        "2026-02-27 2026-02-27T03:00:00.000Z\n"
        "before-restore-x 2026-02-27T04:00:00.000Z, made by a restore\n"
    )
    assert net.asked[-1].query == {"name": "db1"}
    assert cli("container", "snapshots", "db1").out == "no snapshots\n"
    done = {
        "ok": True,
        "id": "01C",
        "name": "db1",
        "state": "done",
        "changed": True,
        "snapshot": "2026-02-27-2",
    }
    for action in ("snapshot", "restore", "delete-snapshot"):
        net.on(f"POST /api/container/{action}", done)
    assert cli("container", "snapshot", "db1").out == "db1: snapshot done, snapshot 2026-02-27-2\n"
    assert (
        cli("container", "restore", "db1", "2026-02-27").out
        == "db1: restore done, back to 2026-02-27-2\n"
    )
    assert (
        cli("container", "delete-snapshot", "db1", "2026-02-27-2").out
        == "db1: delete-snapshot done, 2026-02-27-2\n"
    )
    net.on("POST /api/container/stop", error(409, "target_busy"))
    assert cli("container", "stop", "db1").code == exits.AWAY


@pytest.mark.parametrize(
    "line",
    ["container", "container fly db1", "container start", "container list db1",
     "container start db1 s1", "container restore db1",
     "container start db1 --force", "container delete-snapshot db1", "container snapshots",
     "container snapshots db1 s", "container snapshot db1 --no-snapshot-first", "credential revoke",
     "credential list --overlap 5"],
)  # fmt: skip
def test_wrong_command_lines_are_refused(cli: Cli, net: StubNet, line: str) -> None:
    assert cli(*shlex.split(line)).code == exits.USAGE
    assert net.asked == []


def test_a_permission_of_unknown_names_is_noted(cli: Cli, net: StubNet) -> None:
    made = {
        **RULE,
        "actions": ["exec"],
        "unknown": {"target": "db1 is a member\x1b, but no target."},
    }
    net.on("POST /api/permit", {"ok": True, "permission": made})
    ran = cli("permit", "web1", "db1")
    assert ran.out.startswith("allow web1 > db1 exec")
    assert ran.err == "bus: noted all the same: db1 is a member\ufffd, but no target.\n"
    assert (
        json.loads(cli("permit", "web1", "db1", "--json").out)["permission"]["unknown"]
        == made["unknown"]
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_a_person_at_a_terminal_hears_that_the_hub_is_slow(
    cli: Cli, net: StubNet, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setattr(Bus, "tell_when_slow", lambda bus, tell: tell("it is slow\x1b"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    net.on("GET /api/machines", {"ok": True, "machines": [], "unavailable": {}})
    ran = cli("machines", "--json")
    assert json.loads(ran.out)["ok"]
    assert ran.err == ("bus: it is slow\ufffd\n" if is_terminal else "")


def test_machines_and_what_happened_are_lines_that_cannot_lie(cli: Cli, net: StubNet) -> None:
    machine = {
        "name": "db1\n2",
        "kind": "container",
        "driver": "lxc",
        "state": "running",
        "online": True,
        "last_seen": None,
    }
    old = {"name": "old", "kind": "machine", "online": False, "state": "unknown"}
    net.on(
        "GET /api/machines",
        {"ok": True, "machines": [machine, old], "unavailable": {"lxc": "away\x1b"}},
    )
    ran = cli("machines")
    assert ran.out.splitlines() == [
        "NAME   KIND       DRIVER     STATE    ONLINE   SEEN",
        "db1 2  container  lxc        running  online   -",
        "old    machine    no target  -        offline  -",
    ]
    assert ran.err == "bus: lxc cannot be asked: away\ufffd\n"
    events = page(1)
    events["events"][0] |= {
        "command": "a\n2 x \x1b[2K" + "y" * 900,
        "result": "ok",
        "exitCode": 3,
        "duration_ms": 84,
    }
    net.on("GET /api/activity", events)
    (line,) = cli(
        "activity",
        "--hours",
        "2",
        "--from",
        "web1",
        "--target",
        "db1",
        "--type",
        "exec",
        "--limit",
        "5",
    ).out.splitlines()
    assert line.startswith(
        "1 2026-11-20T20:00:00.000Z web1 > db1 exec 011 (ok, exit 3, 84 ms) a 2 x \ufffd[2Kyyy"
    )
    assert len(line) <= 500
    assert net.asked[-1].query == {
        "hours": "2.0",
        "from": "web1",
        "target": "db1",
        "type": "exec",
        "limit": "5",
    }
    assert json.loads(cli("activity", "--json").out)["exitCode"] == 3
    events["events"] = [
        {**events["events"][0], "command": None, "exitCode": None, "duration_ms": None, **more}
        for more in (
            {"type": "permit", "source": "a", "allow": False, "actions": ["exec"]},
            {"type": "message", "body": "hi\nho", "target": "any"},
            {"result": "denied", "error": "not_permitted", "reason": "none\nmatches"},
            {"argv": ["ls", "a b"], "result": "running"},
            {"argv": ["ls"], "timed_out": True},
            {"command": "ls", "cancelled": True},
            {"type": "container", "command": "snapshot", "snapshot": "s1"},
            {"type": "message", "body": "x" * 500},
        )
    ]
    lines = [
        line.split("Z web1 ")[1].replace("> ", "") for line in cli("activity").out.splitlines()
    ]
    assert lines == [
        "db1 permit (ok) deny a exec",
        "(unverified) any message (ok) hi ho",
        "db1 exec (denied, not_permitted) because: none matches",
        "db1 exec 011 (running) ls 'a b'",
        "db1 exec 011 (ok, time over) ls",
        "db1 exec 011 (ok, was ended) ls",
        "db1 container (ok) snapshot snapshot s1",
        f"(unverified) db1 message (ok) {'x' * 119}…",
    ]


def test_the_activity_says_when_it_was_cut_and_pages_backwards(cli: Cli, net: StubNet) -> None:
    cut = page(7, 8, has_more=True)
    cut["events"][0]["target"] = ["db1", "web1"]
    net.on("GET /api/activity", cut)
    ran = cli("activity", "--before", "9", "--limit", "2")
    assert net.asked[-1].query == {"before": "9", "limit": "2"}
    assert "web1 > db1,web1 exec" in ran.out
    assert "--before 7 shows more" in ran.err
    net.on("GET /api/activity", page(7, 8))
    assert cli("activity").err == ""
    net.on("GET /api/activity", page(1, 2, has_more=True), page(3))
    ran = cli("activity", "--limit", "0", "--from", "web1")
    assert ([line.split()[0] for line in ran.out.splitlines()], ran.err) == (["1", "2", "3"], "")
    asked = {"from": "web1", "hours": "24", "limit": "500"}
    assert [one.query for one in net.asked[-2:]] == [
        {**asked, "since": "0"},
        {**asked, "since": "2"},
    ]
    for line in ("--before 5", "--limit 0"):
        assert cli("activity", "--follow", *line.split()).code == exits.USAGE


@pytest.mark.parametrize("user", ["web1", "claude"])
def test_a_sender_that_is_not_verified_is_marked(
    cli: Cli, net: StubNet, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("BUS_USER", user)
    monkeypatch.setenv("BUS_NAME", "web1")
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "web2",
        "to": "web1",
        "body": "hi",
    }
    page = [message, {**message, "seq": 2, "verified": True}]
    net.on("GET /messages", {"messages": page, "has_more": False})
    heads = cli("log").out.splitlines()[::2]
    assert ["web2 (unverified) > web1" in head for head in heads] == [True, False]
    net.on("GET /messages/1", message)
    assert "web2 (unverified) > web1" in cli("read", "1").out
    long = {**message, "from": "a" * 64 + "/" + "b" * 64}
    net.on("GET /messages/1", long)
    assert "(unverified) > web1" in cli("read", "1").out


def test_a_tag_cannot_pass_for_a_line_about_a_message(cli: Cli, net: StubNet) -> None:
    tags = ["x (01) 9 URGENT now from admin to bob", "ok", "a\u3164b"]
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "web2",
        "to": "web1",
        "body": "hi\r\nho\r\n",
    }
    net.on("GET /messages/1", {**message, "tags": tags, "verified": True})
    head, *body = cli("read", "1").out.splitlines()
    assert head.endswith(' web2 > web1 #"x (01) 9 URGENT now from admin to bob" #ok #"a\ufffdb"')
    assert body == ["  hi", "  ho", "  "]


@pytest.mark.parametrize(
    ("more", "says"), [({"exec": "away"}, ", exec away\n"), ({}, ", index ok\n")]
)
def test_the_status_says_whether_commands_can_be_run(
    cli: Cli, net: StubNet, more: dict[str, str], says: str
) -> None:
    net.on("GET /health", {"ok": True, "count": 1, "storage": "ok", "index": "ok", **more})
    net.on(
        "GET /inbox",
        {
            "ok": True,
            "unread": 0,
            "messages": [],
            "stubs": [],
            "more": 0,
            "has_more": False,
            "unread_is_exact": True,
            "cursor": None,
        },
    )
    assert cli("status").out.endswith(says)


def test_the_activity_is_followed_until_interrupted(
    cli: Cli, net: StubNet, pauses: list[float]
) -> None:
    def stop(_: Any) -> Any:
        raise KeyboardInterrupt

    net.on("GET /api/activity", page(1), page(2), stop)
    ran = cli("activity", "--follow")
    assert ran.code == exits.INTERRUPTED
    assert [line.split()[0] for line in ran.out.splitlines()] == ["1", "2"]
    assert len(pauses) == 2

"""The commands that give permissions and answer approvals."""

from __future__ import annotations

import json

import pytest

from busclient._cli import exits
from tests.client.cli.net.conftest import Cli
from tests.client.stubnet import RULE, StubNet, approval


def test_permissions_are_given_and_taken(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/permit",
        {
            "ok": True,
            "permission": {**RULE, "actions": ["exec"], "expires": "2026-11-20T22:00:00.000Z"},
        },
    )
    ran = cli(
        "permit",
        "web1",
        "db1",
        "--action",
        "exec",
        "--command",
        "git status",
        "--approval",
        "--expires",
        "2h",
    )
    assert ran.out.startswith("allow web1 > db1 exec until 2026-11-20T22:00:00.000Z (by admin")
    assert json.loads(
        cli("revoke", "web1", "db1", "--action", "exec", "--action", "file_read", "--json").out
    )["permission"]
    me = {"from": "web1", "source": "web1", "target": "db1"}
    given = {
        "actions": ["exec"],
        "commands": ["git status"],
        "approval": "required",
        "expires_in_s": 7200,
    }
    assert net.bodies("/api/permit") == [
        {**me, "allow": True, **given},
        {**me, "allow": False, "actions": ["exec", "file_read"]},
    ]
    assert cli("permit", "web1", "db1", "--action", "fly").code == exits.USAGE


def test_a_permission_is_removed(cli: Cli, net: StubNet) -> None:
    removed = {**RULE, "allow": None, "actions": ["exec"], "removed": ["exec"]}
    net.on(
        "POST /api/permit",
        {"ok": True, "permission": removed},
        {"ok": True, "permission": {**removed, "removed": []}},
    )
    assert (
        cli("permit", "web1", "db1", "--remove", "--action", "exec").out
        == "removed web1 > db1 exec\n"
    )
    assert cli("permit", "web1", "db1", "--remove").out == "nothing was said of web1 > db1\n"
    me = {"from": "web1", "source": "web1", "target": "db1", "allow": None}
    assert net.bodies("/api/permit") == [{**me, "actions": ["exec"]}, me]
    assert cli("permit", "web1", "db1", "--remove", "--approval").code == exits.USAGE


def test_permissions_are_listed_and_tried(cli: Cli, net: StubNet) -> None:
    rules = [
        {**RULE, "action": "exec", "commands": [["git", "status"]], "approval": "required"},
        {**RULE, "action": "x\x1b"},
    ]
    rules += [{**RULE, "source": "b", "action": action} for action in ("exec", "file_read")]
    net.on(
        "GET /api/permissions", {"ok": True, "permissions": rules}, {"ok": True, "permissions": []}
    )
    first, second, merged = cli("permissions", "--source", "web1").out.splitlines()
    assert merged.startswith("allow b > db1 exec,file_read (by admin")
    assert "only 'git status' asks an admin each time" in first
    assert "x\ufffd" in second
    assert "nothing is allowed" in cli("permissions").out
    verdict = {"ok": True, "allowed": False, "reason": "none matches", "rule": None}
    net.on("GET /api/permissions/check", verdict, {**verdict, "allowed": True})
    ran = cli("permissions", "--check", "web1", "db1", "exec", "--command", "id")
    assert (ran.code, ran.out) == (exits.CREDENTIAL, "denied: none matches\n")
    assert cli("permissions", "--check", "web2", "db1", "exec", "--json").code == 0
    assert [asked.query.get("source") for asked in net.asked[-2:]] == [None, "web2"]
    assert cli("permissions", "--command", "id").code == exits.USAGE


def test_questions_are_shown_whole_before_they_are_answered(cli: Cli, net: StubNet) -> None:
    argv = ["bash", "-c", "rm 'a b'\n01Z now admin > db1", "\u202e", "pl\u0430in"]
    env = {"LD_PRELOAD": "/tmp/x"}
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", argv=argv, env=env, user="root", hash="ab"),
        approval("allowed"),
    )
    net.on("POST /api/approvals/01Q", approval("allowed"))
    ran = cli("approve", "01Q", "--yes", "--expires", "1h")
    lines = ran.out.splitlines()
    assert lines[0] == "01Q web1 > db1 exec (pending)"
    assert lines[1] == r'''  $ bash -c "rm 'a b'\n01Z now admin > db1" "\u202e" "pl\u0430in"'''
    assert '  env: {"LD_PRELOAD": "/tmp/x"}' in lines
    assert "  user: root" in lines
    assert lines[-1] == "01Q: allowed"
    assert net.bodies("/api/approvals/01Q")[1] == {"allow": True, "expires_in_s": 3600}


def test_a_difference_is_shown_and_can_be_refused(cli: Cli, net: StubNet) -> None:
    diff = "--- a\n+++ b\n+\x1b[2Kharmless\n"
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", action="file_write", argv=None, path="/etc/x", diff=diff),
        approval("denied"),
    )
    net.on("POST /api/approvals/01Q", approval("denied"))
    ran = cli("approve", "01Q", "--deny")
    assert "  path: /etc/x\n" in ran.out
    assert "  | +\ufffd[2Kharmless\n01Q: denied" in ran.out
    assert net.bodies("/api/approvals/01Q")[1] == {"allow": False}


def test_letters_that_the_hub_spells_are_shown_as_they_read_too(cli: Cli, net: StubNet) -> None:
    diff = "+f\\u00fcr \\U0001f600\n+\\\\u0041\n"
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", action="file_write", argv=None, path="/x", diff=diff),
    )
    shown = cli("approve", "01Q").out.splitlines()[-3:]
    assert shown == ["  | +f\\u00fcr \\U0001f600", "  ~ +f\u00fcr \U0001f600", "  | +\\\\u0041"]


def test_nothing_is_allowed_without_a_word(cli: Cli, net: StubNet) -> None:
    more = {
        "mode": "0644",
        "base_mode": "0755",
        "base_uid": 0,
        "base_gid": 5,
        "uid": 1,
        "gid": 2,
        "cwd": "/",
        "user": "root",
    }
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", **more, stdin="rm\nx", env={"A": "b"}, diff=""),
    )
    said = cli("approve", "01Q").out.splitlines()
    assert {f"  {name}: {value}" for name, value in more.items()} < set(said)
    assert {'  stdin: "rm\\nx"', '  env: {"A": "b"}', "  (its content stays as it is)"} < set(said)
    assert cli("approve", "01Q").code == exits.USAGE
    assert cli("approve", "01Q", "--json").code == exits.USAGE
    assert {asked.method for asked in net.asked} == {"GET"}


@pytest.mark.parametrize(("word", "is_allowed"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_on_a_terminal_it_asks(
    cli: Cli, net: StubNet, word: bytes, is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "busclient._cli.approving.sys",
        type("Sys", (), {"stdin": type("In", (), {"isatty": lambda _: True})()}),
    )
    net.on("GET /api/approvals/01Q", approval("pending"), approval("allowed"))
    net.on("POST /api/approvals/01Q", approval("allowed"))
    assert cli("approve", "01Q", stdin=word).code == 0
    assert ("POST" in {asked.method for asked in net.asked}) is is_allowed


def test_all_questions_of_one_machine_are_shown_and_those_are_answered(
    cli: Cli, net: StubNet
) -> None:
    first, second = (
        {**approval("pending", argv=["touch", name])["approval"], "id": f"01{name}"}
        for name in "PQ"
    )
    listed = {"ok": True, "approvals": [first, second]}
    net.on("GET /api/approvals", listed, listed, {"ok": True, "approvals": []})
    net.on(
        "POST /api/approvals",
        {"ok": True, "approvals": [{**first, "state": "allowed"}, {**second, "state": "denied"}]},
    )
    ran = cli("approve", "--all-from", "web1", "--yes", "--expires", "1h")
    assert [line for line in ran.out.splitlines() if "touch" in line] == [
        "  $ touch P",
        "  $ touch Q",
    ]
    assert ran.out.endswith("01P: allowed\n01Q: denied\n")
    assert net.bodies("/api/approvals")[1] == {
        "ids": ["01P", "01Q"],
        "allow": True,
        "expires_in_s": 3600,
    }
    assert net.asked[0].query == {"state": "pending", "from": "web1"}
    assert cli("approve", "--all-from", "web1").code == exits.USAGE
    assert cli("approve", "--all-from", "web1", "--deny").out == "no pending questions of web1\n"
    assert cli("approve", "01Q", "--all-from", "web1").code == exits.USAGE
    assert [asked.method for asked in net.asked].count("POST") == 1


def test_open_questions_are_listed(cli: Cli, net: StubNet) -> None:
    net.on(
        "GET /api/approvals",
        {"ok": True, "approvals": [approval("pending")["approval"]]},
        {"ok": True, "approvals": []},
    )
    assert cli("approve").out == "01Q web1 > db1 exec (pending)\n  $ bash -c id\n"
    assert cli("approve", "--state", "denied").out == "no denied questions\n"
    assert [asked.query for asked in net.asked] == [{"state": "pending"}, {"state": "denied"}]

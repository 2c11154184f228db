"""Every route of claude-peers and agentmesh, as one of their clients calls it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Busy, Rebuilding
from tests.conftest import Clock, wait_until
from tests.peers.conftest import HERE, Open, Peers
from tests.web.conftest import Members

AGENT = {"agent_type": "codex", "capabilities": ["review", "deploy"]}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that can be ended: what a peer says it is."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


def test_health_says_how_many_there_are(peers: Peers) -> None:
    assert peers.send("GET", "/health")[1]["peers"] == 0
    peers.register()
    status, answer = peers.send("GET", "/health")
    assert (status, answer["status"], answer["peers"]) == (200, "ok", 1)
    assert answer["version"]


def test_health_is_well_while_the_index_is_made(
    members: Members, listening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, desk = listening()

    def fail(*_: Any) -> None:
        raise Rebuilding("The index is being rebuilt.")

    monkeypatch.setattr(desk._hub.agents, "roster", fail)
    assert peers.send("GET", "/health")[0] == 200
    assert peers.ask("/list-peers")[0] == 503


def test_a_peer_gets_a_callsign_below_its_host_or_the_name_that_it_chose(peers: Peers) -> None:
    assert peers.register(pid=10)[0] == f"{HERE}/alpha"
    assert peers.register(pid=11)[0] == f"{HERE}/bravo"
    assert peers.register(pid=12, agent_name="My Reviewer")[0] == f"{HERE}/My-Reviewer"
    assert peers.register(pid=13, agent_name="My Reviewer")[0] == f"{HERE}/My-Reviewer-2"
    assert peers.register(pid=14, hostname="laptop.example")[0] == "peers-laptop/alpha"


@pytest.mark.parametrize("name", ["admin", "cli", "../..", "heartbeat", "root-x", " ", "é"])
def test_a_name_that_no_peer_may_have_becomes_a_callsign(peers: Peers, name: str) -> None:
    assert peers.register(agent_name=name)[0] == f"{HERE}/alpha"


def test_who_registers_again_keeps_its_name(peers: Peers) -> None:
    first, token = peers.register(summary="one")
    assert peers.register(summary="two") == (first, token)
    renamed = peers.register(agent_name="reviewer")[0]
    assert [peer["id"] for peer in peers.good("/list-peers", scope="machine")] == [renamed]


def test_more_peers_than_callsigns_on_one_host(peers: Peers) -> None:
    ids = {peers.register(pid=100 + number)[0] for number in range(30)}
    assert len(ids) == 30


def test_a_peer_is_listed_with_all_that_it_said(peers: Peers) -> None:
    transport = {"type": "poll", "poll_interval_ms": 1000}
    id, _ = peers.register(
        agent_name="reviewer",
        git_root="/srv/app",
        tty="pts/3",
        summary="tests",
        transport=transport,
        **AGENT,
    )
    listed = peers.good("/list-peers", scope="machine", cwd="/x", git_root=None)
    registered, seen = listed[0].pop("registered_at"), listed[0].pop("last_seen")
    assert registered.endswith("Z") and seen.endswith("Z")
    assert listed == [
        {
            "id": id,
            "pid": os.getpid(),
            "cwd": "/srv/app",
            "git_root": "/srv/app",
            "tty": "pts/3",
            "hostname": os.uname().nodename,
            "summary": "tests",
            "agent_name": "reviewer",
            "transport": transport,
            "trust": "peer",
            **AGENT,
        }
    ]


def test_list_peers_by_scope_type_and_capability(peers: Peers) -> None:
    one = peers.register("/srv/app", pid=10, git_root="/srv/app", **AGENT)[0]
    two = peers.register("/srv/app/sub", pid=11, git_root="/srv/app")[0]
    three = peers.register("/srv/other", pid=12, hostname="laptop")[0]

    def ids(**asked: Any) -> set[str]:
        return {peer["id"] for peer in peers.good("/list-peers", **asked)}

    assert ids(scope="machine", exclude_id=one) == {two}
    assert ids(scope="directory", cwd="/srv/app") == {one}
    assert ids(scope="repo", cwd="/srv/app", git_root="/srv/app") == {one, two}
    assert ids(scope="repo", cwd="/srv/app/sub", git_root=None) == {two}
    assert ids() == ids(scope="fleet") >= {one, two, three}
    assert ids(agent_type="codex") == {one}
    assert ids(capabilities=["deploy"]) == {one}
    assert ids(capabilities=["deploy", "cook"]) == set()


def test_repo_scope_sees_worktrees_and_clones(peers: Peers, tmp_path: Path) -> None:
    main, tree, clone = tmp_path / "main", tmp_path / "tree", tmp_path / "clone"
    (main / ".git" / "worktrees" / "tree").mkdir(parents=True)
    (main / ".git" / "worktrees" / "tree" / "commondir").write_text("../..\n")
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {main / '.git' / 'worktrees' / 'tree'}\n")
    ids = [peers.register(str(at), pid=10, git_root=str(at))[0] for at in (main,)]
    ids += [peers.register(str(at), pid=11, git_root=str(at))[0] for at in (tree,)]
    asked = {"scope": "repo", "git_root": str(tree), "cwd": str(tree)}
    assert [peer["id"] for peer in peers.good("/list-peers", **asked)] == ids
    (clone / ".git").mkdir(parents=True)
    for at in (main, clone):
        (at / ".git" / "config").write_text(
            '[core]\n\tbare = false\n[remote "origin"]\n\turl = git@github.com:acme/app.git\n'
        )
    peers.register(str(main), pid=10, git_root=str(main))
    far = peers.register(str(clone), pid=12, git_root=str(clone))[0]
    asked["git_root"] = str(tree)
    assert far in [peer["id"] for peer in peers.good("/list-peers", **asked)]


def test_heartbeat_summary_and_unregister(peers: Peers) -> None:
    id, _ = peers.register()
    assert peers.good("/heartbeat", id=id) == {"ok": True}
    assert peers.good("/set-summary", id=id, summary="two\nlines " + "x" * 900) == {"ok": True}
    (listed,) = peers.good("/list-peers", scope="machine")
    assert listed["summary"].startswith("two lines x") and len(listed["summary"]) == 500
    assert peers.good("/unregister", id=id) == {"ok": True}
    assert peers.good("/unregister", id=id) == {"ok": True}
    assert peers.good("/list-peers", scope="machine") == []
    for path in ("/heartbeat", "/set-summary", "/poll-messages", "/peek-messages"):
        status, answer = peers.ask(path, id=id, summary="")
        assert (status, answer["ok"]) == (404, False)


def test_a_message_is_given_once(peers: Peers) -> None:
    one, two = peers.register(pid=10)[0], peers.register(pid=11)[0]
    assert peers.good("/send-message", from_id=one, to_id=two, text="hé\n  you")["ok"]
    (message,) = peers.poll(two)
    sent_at, id = message.pop("sent_at"), message.pop("id")
    assert sent_at.endswith("Z") and isinstance(id, int)
    assert message == {
        "from_id": one,
        "to_id": two,
        "text": "hé\n  you",
        "topic": None,
        "delivered": False,
        "verified": False,
        "trust": "peer",
    }
    assert peers.poll(two) == peers.poll(one) == []


def test_a_message_to_nobody_is_told_with_status_200(peers: Peers) -> None:
    one = peers.register()[0]
    for to, text in (("nobody", "hi"), (one, ""), (one, "x" * 70_000), ("a b", "hi")):
        status, answer = peers.ask("/send-message", from_id=one, to_id=to, text=text)
        assert (status, answer["ok"]) == (200, False)
        assert answer["error"]
    status, answer = peers.ask("/send-message", from_id=f"{HERE}/nobody", to_id=one, text="hi")
    assert (status, answer["ok"]) == (200, False)


def test_peeking_loses_nothing_until_it_is_acknowledged(peers: Peers) -> None:
    one, two = peers.register(pid=10)[0], peers.register(pid=11)[0]
    for text in "ab":
        peers.good("/send-message", from_id=one, to_id=two, text=text)
    seen = [peers.good("/peek-messages", id=two)["messages"] for _ in range(2)]
    assert seen[0] == seen[1] and [message["text"] for message in seen[0]] == ["a", "b"]
    assert peers.good("/ack-messages", id=two, message_ids=[seen[0][0]["id"]]) == {"ok": True}
    assert peers.texts(two) == ["b"]
    assert peers.ask("/ack-messages", id=two, message_ids=[10**9])[0] == 404


def test_topics(peers: Peers) -> None:
    one, two, three = (peers.register(pid=10 + number)[0] for number in range(3))
    for id in (one, two):
        assert peers.good("/subscribe", id=id, topic="build status") == {"ok": True}
    sent = peers.good("/broadcast", from_id=one, topic="build status", text="green")
    assert (sent["ok"], sent["delivered_to"]) == (True, 1)
    (message,) = peers.poll(two)
    assert (message["text"], message["topic"], message["to_id"]) == ("green", "build-status", two)
    assert peers.poll(three) == peers.poll(one) == []
    assert peers.good("/unsubscribe", id=two, topic="build status") == {"ok": True}
    sent = peers.good("/broadcast", from_id=one, topic="build status", text="red")
    assert (sent["ok"], sent["delivered_to"]) == (True, 0)
    assert peers.ask("/broadcast", from_id=one, topic="//", text="red")[1]["ok"] is False


def test_their_command_line(peers: Peers) -> None:
    one = peers.register()[0]
    assert peers.good("/send-message", from_id="cli", to_id=one, text="by hand")["ok"]
    assert [message["from_id"] for message in peers.poll(one)] == [f"{HERE}/cli"]


def test_what_is_no_route(peers: Peers) -> None:
    assert peers.send("GET", "/")[0] == 404
    assert peers.send("POST", "/no-such", b"{}")[0] == 404


# -- both directions -----------------------------------------------------------------------------


def test_peers_and_clients_of_the_hub_see_each_other(peers: Peers, members: Members) -> None:
    me = {"name": "web1/alpha", "host": os.uname().nodename, "cwd": "/srv/app"}
    members.web1.post("/agents", json={**me, "summary": "release", "pid": 7})
    id, _ = peers.register(agent_name="reviewer", summary="tests")
    listed = {peer["id"]: peer for peer in peers.good("/list-peers", scope="machine")}
    assert set(listed) == {"web1/alpha", id}
    assert (listed["web1/alpha"]["summary"], listed["web1/alpha"]["pid"]) == ("release", 7)
    roster = {agent["name"]: agent for agent in members.web1.get("/agents").json["agents"]}
    assert roster[id]["summary"] == "tests"
    assert (roster[id]["state"], roster[id]["wake"]) == ("live", "poll")
    found = peers.good("/list-peers", scope="directory", cwd="/srv/app", exclude_id=id)
    assert [peer["id"] for peer in found] == ["web1/alpha"]


def test_messages_cross_both_ways(peers: Peers, members: Members) -> None:
    id, _ = peers.register(agent_name="reviewer")
    peers.poll(id)
    for to in (id, "reviewer"):
        reply = members.web1.post("/post", json={"to": to, "body": f"to {to}"})
        assert reply.json["recipients"][0]["known"] is True
        assert reply.json["warnings"] == []
    members.web1.post("/post", json={"to": "any", "body": "to all"})
    messages = peers.poll(id)
    assert [message["text"] for message in messages] == [f"to {id}", "to reviewer", "to all"]
    assert {message["from_id"] for message in messages} == {"web1"}
    assert all(message["verified"] for message in messages)
    assert peers.poll(id) == []
    assert peers.good("/send-message", from_id=id, to_id="web1", text="back")["ok"]
    (read,) = members.web1.get("/messages?unread_by=web1&from=" + id).json["messages"]
    assert (read["body"], read["verified"], read["trust"]) == ("back", False, "peer")


def test_a_sender_learns_that_a_peer_has_its_message(peers: Peers, members: Members) -> None:
    id, _ = peers.register()
    sent = members.web1.post("/post", json={"to": id, "body": "hi"}).json

    def receipt() -> dict[str, Any]:
        answer = members.web1.get(f"/messages/{sent['id']}/receipts").json
        found: dict[str, Any] = answer["receipts"][id]
        return found

    assert receipt()["fetched"] is None
    peers.good("/peek-messages", id=id)
    assert receipt()["fetched"] is None
    peers.poll(id)
    wait_until(lambda: receipt()["acked"])  # once the answer was written
    assert receipt()["fetched"]


def test_an_agent_name_reaches_a_peer_from_a_peer(peers: Peers) -> None:
    one, two = peers.register(pid=10)[0], peers.register(pid=11, agent_name="reviewer")[0]
    assert peers.good("/send-message", from_id=one, to_id="reviewer", text="hi")["ok"]
    assert peers.texts(two) == ["hi"]


def test_a_new_peer_gets_no_old_broadcasts_but_the_mail_that_waits(
    peers: Peers, members: Members
) -> None:
    members.web1.post("/post", json={"to": "any", "body": "old news"})
    members.web1.post("/post", json={"to": f"{HERE}/bravo", "body": "waits"})
    assert peers.texts(peers.register(pid=10)[0]) == []
    assert "waits" in peers.texts(peers.register(pid=11, agent_name="bravo")[0])


# -- what becomes of mail ------------------------------------------------------------------------


def test_mail_of_a_dead_peer_waits_for_its_successor(
    peers: Peers, process: subprocess.Popen[bytes]
) -> None:
    sender = peers.register("/srv/other", tty="pts/9")[0]
    dead, token = peers.register(pid=process.pid, tty="pts/1")
    peers.good("/send-message", from_id=sender, to_id=dead, text="for you")
    process.kill()
    process.wait()
    listed = [peer["id"] for peer in peers.good("/list-peers", scope="machine")]
    assert listed == [sender]
    elsewhere = [peers.register("/srv/b", pid=11, tty="pts/1"), peers.register(pid=12, tty="pts/2")]
    assert dead not in [id for id, _ in elsewhere]
    heir, new_token = peers.register(pid=13, tty="pts/1")
    assert heir == dead and new_token != token
    assert peers.texts(heir) == ["for you"]
    assert peers.ask("/poll-messages", token, id=dead)[0] == 401


def test_a_peer_that_was_stopped_keeps_its_name(
    members: Members, listening: Open, process: subprocess.Popen[bytes]
) -> None:
    peers, desk = listening()
    stopped, _ = peers.register(pid=process.pid)
    unseen, _ = peers.register("/srv/other", pid=process.pid, hostname="elsewhere")
    clock = Clock()
    clock.move(90)
    desk._hub.journal.clock = clock
    assert peers.register(pid=12)[0] != stopped
    assert peers.register("/srv/other", pid=13, hostname="elsewhere")[0] == unseen
    process.kill()
    process.wait()
    assert peers.register(pid=14)[0] == stopped


def test_a_poll_that_nobody_reads_loses_nothing(peers: Peers) -> None:
    one, two = peers.register(pid=10)[0], peers.register(pid=11)[0]
    peers.good("/send-message", from_id=one, to_id=two, text="hi")
    body = json.dumps({"id": two}).encode()
    with socket.create_connection(("127.0.0.1", peers.port)) as gone:
        head = f"POST /poll-messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        gone.sendall(head.encode() + body[:-1])
        gone.shutdown(socket.SHUT_WR)
        gone.settimeout(10)
        assert b" 400 " in gone.recv(100)
    assert peers.texts(two) == ["hi"]


def test_what_cannot_be_settled_now_is_not_given_again(
    members: Members, listening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, desk = listening()
    one, two = peers.register(pid=10)[0], peers.register(pid=11)[0]
    peers.good("/send-message", from_id=one, to_id=two, text="hi")
    real = desk._hub.acks.ack

    def fail(*_: Any) -> None:
        raise Busy("another process holds the log")

    monkeypatch.setattr(desk._hub.acks, "ack", fail)
    assert peers.texts(two) == ["hi"]
    assert peers.texts(two) == []
    monkeypatch.setattr(desk._hub.acks, "ack", real)
    assert peers.texts(two) == []
    assert members.web1.get(f"/messages?unread_by={two}").json["messages"] == []


def test_ids_and_tokens_outlive_the_listener(members: Members, listening: Open) -> None:
    one, two = listening()[0], listening()[0]
    id, token = one.register()
    assert two.good("/heartbeat", token, id=id) == {"ok": True}
    assert two.poll(id) == []

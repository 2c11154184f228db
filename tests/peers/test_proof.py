"""Who may be whom: tokens, loopback, credentials, web pages, and bodies that mean harm."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from bus.config import BadSetting, Config
from bus.peers import listener as listening_part
from bus.peers.address import address_of
from bus.peers.proof import Visitor, networks
from tests.conftest import PASSWORD, USER, basic
from tests.fleet import SECRET
from tests.peers.conftest import AWAY, HERE, Open, Peers, from_away
from tests.web.conftest import Members

WEB1 = Visitor(AWAY.address, basic("web1", SECRET))
OF_AN_ID: dict[str, dict[str, Any]] = {
    "/heartbeat": {},
    "/set-summary": {"summary": "x"},
    "/poll-messages": {},
    "/peek-messages": {},
    "/ack-messages": {"message_ids": []},
    "/subscribe": {"topic": "x"},
    "/unsubscribe": {"topic": "x"},
    "/unregister": {},
}
OF_A_SENDER: dict[str, dict[str, Any]] = {
    "/send-message": {"to_id": "web1", "text": "x"},
    "/broadcast": {"topic": "x", "text": "x"},
}


def as_id(path: str, id: str) -> dict[str, Any]:
    """The fields of a call under an id."""
    if path in OF_A_SENDER:
        return {"from_id": id, **OF_A_SENDER[path]}
    return {"id": id, **OF_AN_ID[path]}


@pytest.mark.parametrize("path", [*OF_AN_ID, *OF_A_SENDER])
def test_a_token_is_good_for_its_own_id_only(peers: Peers, path: str) -> None:
    one, token = peers.register(pid=10)
    other, _ = peers.register(pid=11)
    assert peers.ask(path, token, **as_id(path, other))[0] == 401
    for bad in (token[:-1], token.replace(one, other), "x", "", "é"):
        assert peers.send(
            "POST", path, json.dumps(as_id(path, one)).encode(), Authorization=f"Bearer {bad}"
        )[0] in (400, 401)
    assert peers.good(path, token, **as_id(path, one))


@pytest.mark.parametrize("path", [*OF_AN_ID, *OF_A_SENDER])
def test_without_a_token_only_from_loopback_and_by_a_setting(
    members: Members, listening: Open, path: str
) -> None:
    peers, desk = listening()
    strict, _ = listening(peers_tokenless=False)
    id, token = peers.register()
    assert from_away(desk, path, **as_id(path, id))[0] == 401
    assert strict.ask(path, **as_id(path, id))[0] == 401
    away = AWAY._replace(authorization=f"Bearer {token}")
    assert from_away(desk, path, away, **as_id(path, id))[0] == 200
    again = peers.register()
    assert strict.ask(path, again[1], **as_id(path, again[0]))[0] == 200


def test_nobody_is_an_agent_that_did_not_register_as_a_peer(peers: Peers, members: Members) -> None:
    members.web1.post("/agents", json={"name": "web1/alpha"})
    members.db1.post("/post", json={"to": "web1/alpha", "body": "secret"})
    for id in ("web1/alpha", "web1", "bus", "any"):
        assert peers.ask("/poll-messages", id=id)[0] == 404
        assert peers.ask("/send-message", from_id=id, to_id="db1", text="x")[1]["ok"] is False
    assert len(members.web1.get("/messages?unread_by=web1/alpha").json["messages"]) == 1


def test_no_chosen_name_reads_the_mail_of_a_machine(peers: Peers, members: Members) -> None:
    members.db1.post("/post", json={"to": "web1", "body": "secret"})
    members.db1.post("/post", json={"to": USER, "body": "shared"})
    for number, name in enumerate(("web1", "WEB1", "web-1", USER, "any", "bus")):
        id, _ = peers.register(pid=10 + number, agent_name=name)
        assert peers.texts(id) == []
    sent = peers.good("/send-message", from_id=id, to_id="web1", text="hi")
    assert sent["ok"]
    bodies = [one["body"] for one in members.web1.get("/messages?unread_by=web1").json["messages"]]
    assert bodies == ["secret", "hi"]


# -- off loopback --------------------------------------------------------------------------------


def test_off_loopback_only_a_credential_or_an_allowed_address_registers(
    members: Members, listening: Open
) -> None:
    _, desk = listening(peers_allow="198.51.100.0/24, 2001:db8::/32")
    said = {"pid": 1, "cwd": "/srv", "hostname": "laptop"}
    assert from_away(desk, "/register", **said)[0] == 401
    wrong = AWAY._replace(authorization=basic("web1", "wrong"))
    assert from_away(desk, "/register", wrong, **said)[0] == 401
    status, answer = from_away(desk, "/register", WEB1, **said)
    assert (status, answer["id"]) == (200, "web1/alpha")
    for address in ("198.51.100.9", "::ffff:198.51.100.9", "2001:db8::9"):
        status, answer = from_away(desk, "/register", Visitor(address), **said)
        assert status == 200 and answer["id"].startswith("peers-laptop/")
    shared = AWAY._replace(authorization=basic(USER, PASSWORD))
    assert from_away(desk, "/register", shared, **said)[1]["id"].startswith("peers-laptop/")


def test_an_allowed_address_is_no_peer_of_the_hubs_own_host(
    members: Members, listening: Open
) -> None:
    peers, desk = listening(peers_allow="192.0.2.7")
    id, _ = peers.register(pid=10)
    claim = {"pid": 10, "cwd": "/srv/app", "hostname": HERE.removeprefix("peers-")}
    status, answer = from_away(desk, "/register", **claim)
    assert (status, answer["id"]) == (200, "peers-192-0-2-7/alpha")
    assert peers.texts(id) == []


def test_a_peer_with_a_credential_speaks_for_its_machine_until_it_is_revoked(
    members: Members, listening: Open
) -> None:
    peers, desk = listening()
    answer = from_away(desk, "/register", WEB1, pid=1, cwd="/srv", agent_name="db1")[1]
    mine = AWAY._replace(authorization=f"Bearer {answer['token']}")
    sent = {"from_id": answer["id"], "to_id": "db1", "text": "hi"}
    assert from_away(desk, "/send-message", mine, **sent)[1]["ok"]
    (read,) = members.db1.get("/messages?unread_by=db1").json["messages"]
    assert (read["from"], read["verified"], read["auth"]) == ("web1/db1", True, "web1")
    assert peers.ask("/poll-messages", id=answer["id"])[0] == 401  # not without its token
    gone = members.admin.post("/api/credentials/revoke", json={"name": "web1"})
    assert gone.status_code == 200
    told = from_away(desk, "/send-message", mine, **sent)[1]
    assert told["ok"] is False
    assert from_away(desk, "/poll-messages", mine, id=answer["id"])[0] in (401, 404)


def test_the_roster_is_not_for_strangers(members: Members, listening: Open) -> None:
    peers, desk = listening(peers_allow="198.51.100.9")
    _, token = peers.register()
    assert from_away(desk, "/list-peers", scope="x")[0] == 401
    for visitor in (WEB1, Visitor("198.51.100.9"), AWAY._replace(authorization=f"Bearer {token}")):
        assert from_away(desk, "/list-peers", visitor, scope="x")[0] == 200


def test_the_command_line_is_on_this_machine(members: Members, listening: Open) -> None:
    peers, desk = listening()
    strict, _ = listening(peers_tokenless=False)
    sent = {"from_id": "cli", "to_id": peers.register()[0], "text": "hi"}
    assert from_away(desk, "/send-message", **sent)[0] == 401
    assert from_away(desk, "/send-message", WEB1, **sent)[0] == 401
    assert strict.ask("/send-message", **sent)[0] == 401
    assert peers.ask("/send-message", **sent)[0] == 200


# -- pages and bodies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
    ids=str,
)
def test_a_web_page_is_refused(peers: Peers, header: dict[str, str]) -> None:
    id, _ = peers.register()
    body = json.dumps({"from_id": "cli", "to_id": id, "text": "x"}).encode()
    assert peers.send("POST", "/send-message", body, **header)[0] == 403
    assert peers.send("GET", "/health", **header)[0] == 403
    assert peers.texts(id) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff{}",
        b"[" * 100_000,
        b'{"id":{}}',
        b'{"id":"x\\u0000"}',
        b'{"id":"\\ud800"}',
        b'{"id":NaN}',
        b'{"id":1,"id":2}',
        b'{"from_id":[],"to_id":1,"text":{}}',
        json.dumps({"cwd": {}, "git_root": [], "agent_name": 7, "capabilities": "x"}).encode(),
        json.dumps({"capabilities": [{}], "transport": 7}).encode(),
        json.dumps({"id": "x" * 10_000}).encode(),
    ],
    ids=range(16),
)
def test_hostile_bodies_are_refused_at_every_route(peers: Peers, body: bytes) -> None:
    for path in ("/register", "/list-peers", *OF_AN_ID, *OF_A_SENDER):
        status, answer = peers.send("POST", path, body)
        if status == 200 and path in ("/register", "/list-peers"):
            continue  # there was nothing wrong with what it looks at
        assert status in (200, 400, 404) and answer["ok"] is False, (path, status, answer)
    assert peers.send("GET", "/health")[0] == 200


def test_a_registration_with_hostile_texts_is_harmless(peers: Peers, members: Members) -> None:
    nasty = "a\nb\x1b[31m\u202e,;$(id)" + "x" * 3_000
    said = {"git_root": nasty, "tty": nasty, "hostname": nasty, "summary": nasty}
    id, _ = peers.register(nasty, **said, agent_type=nasty, agent_name=nasty, capabilities=[nasty])
    assert id.isprintable() and len(id) < 130
    text = members.web1.get("/agents?format=text").get_data(as_text=True)
    assert len(text.splitlines()) == len(members.web1.get("/agents").json["agents"])


def test_a_long_body_is_refused_unread(peers: Peers) -> None:
    with socket.create_connection(("127.0.0.1", peers.port), timeout=10) as one:
        one.sendall(b"POST /send-message HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n")
        assert b" 413 " in one.recv(100)
    for length in (b"-1", b"1e3", b"", b"\xb2"):
        with socket.create_connection(("127.0.0.1", peers.port), timeout=10) as one:
            one.sendall(b"POST /heartbeat HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n{}")
            assert b" 400 " in one.recv(100)


def test_who_sends_half_a_request_is_hung_up_on(
    members: Members, listening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening_part, "_REQUEST_S", 0.3)
    peers, _ = listening()
    with socket.create_connection(("127.0.0.1", peers.port), timeout=10) as one:
        one.sendall(b"POST /heartbeat HTTP/1.1\r\nContent-Le")
        assert one.recv(100) == b""


def test_idle_connections_make_room(
    members: Members, listening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening_part, "MOST_CONNECTIONS", 3)
    peers, _ = listening()
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", peers.port), timeout=10))
            for _ in range(3)
        ]
        assert peers.send("GET", "/health")[0] == 200
        assert held[0].recv(10) == b"", "the one that is idle longest makes room"


# -- settings ------------------------------------------------------------------------------------


def test_where_it_listens() -> None:
    def at(**environ: str) -> tuple[str, int]:
        return address_of(Config.from_env(environ), environ)

    assert at() == ("127.0.0.1", 7899)
    assert at(CLAUDE_PEERS_PORT="7900", CLAUDE_PEERS_BIND="10.0.0.1") == ("10.0.0.1", 7900)
    assert at(CLAUDE_PEERS_BIND="lan") == ("0.0.0.0", 7899)
    assert at(CLAUDE_PEERS_BIND="local") == ("127.0.0.1", 7899)
    assert at(BUS_PEERS_LISTEN="[::1]:7", CLAUDE_PEERS_PORT="8") == ("::1", 7)
    for bad in ({"CLAUDE_PEERS_PORT": "x"}, {"BUS_PEERS_LISTEN": "7899"}):
        with pytest.raises(BadSetting):
            at(**bad)
    with pytest.raises(BadSetting):
        networks("10.0.0.0/99", "BUS_PEERS_ALLOW")


def test_their_database_is_ignored_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    address_of(Config(), {"CLAUDE_PEERS_DB": "/x.db"})
    assert "CLAUDE_PEERS_DB is ignored" in caplog.text

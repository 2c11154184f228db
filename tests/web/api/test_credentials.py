"""Admins add, rotate and revoke credentials over HTTP, and invite machines."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from bus.config import Config
from bus.credentials import Register
from bus.model.caller import MEMBER
from bus.web.api import credentials as credentials_routes
from tests.conftest import Caller, basic
from tests.web.callers import KEYS, add_callers, ask, invited
from tests.web.conftest import refusal


@pytest.fixture
def fleet(bus: Caller, config: Config) -> Caller:
    """A hub that knows the shared user `claude`, the machine `web1` and the admin `boss`."""
    add_callers(config)
    return bus


# -- credentials over HTTP -----------------------------------------------------------------------


def records(fleet: Caller) -> list[dict[str, Any]]:
    log = fleet.hub.log
    return [record for _, record in log.read() if record["kind"] == "credential"]


def test_an_admin_adds_lists_and_revokes(fleet: Caller, config: Config) -> None:
    made = ask(fleet, "boss", "POST", "/api/credentials", json={"name": "web2"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    secret = made.json["secret"]
    assert ask(fleet, basic("web2", secret), "GET", "/api/me").json == {
        "ok": True, "name": "web2", "role": "member", "verified": True
    }  # fmt: skip
    refusal(
        ask(fleet, "boss", "POST", "/api/credentials", json={"name": "WEB2"}),
        409,
        "credential_exists",
    )
    listing = ask(fleet, "boss", "GET", "/api/credentials")
    listed = next(entry for entry in listing.json["credentials"] if entry["name"] == "web2")
    assert listed["role"] == "member"
    assert "SSHA" not in listing.get_data(as_text=True)
    assert ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "web2"}).json == {
        "ok": True,
        "name": "web2",
    }
    refusal(ask(fleet, basic("web2", secret), "GET", "/health"), 401, "unauthorized")
    refusal(
        ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "web2"}),
        404,
        "no_such_credential",
    )
    refusal(
        ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "boss"}),
        409,
        "conflict",
    )


def test_a_machine_rotates_its_own_secret_and_nobody_elses(fleet: Caller) -> None:
    new = ask(fleet, "web1", "POST", "/api/credentials/rotate").json["secret"]
    for header in (KEYS["web1"], basic("web1", new)):
        assert ask(fleet, header, "GET", "/health").status_code == 200
    refusal(
        ask(fleet, "web1", "POST", "/api/credentials/rotate", json={"name": "boss"}),
        403,
        "not_your_name",
    )
    refusal(ask(fleet, "claude", "POST", "/api/credentials/rotate"), 403, "not_allowed")
    ask(fleet, "boss", "POST", "/api/credentials/rotate", json={"name": "web1", "overlap_s": 0})
    for header in (KEYS["web1"], basic("web1", new)):
        refusal(ask(fleet, header, "GET", "/health"), 401, "unauthorized")


def test_an_old_secret_cannot_shut_out_the_owner(fleet: Caller) -> None:
    new = basic("web1", ask(fleet, "web1", "POST", "/api/credentials/rotate").json["secret"])
    for fields in ({"overlap_s": 0}, {}, {"name": "web1"}):
        body = refusal(
            ask(fleet, "web1", "POST", "/api/credentials/rotate", json=fields), 403, "not_allowed"
        )
        assert (
            "rotated" in body["message"]
            and "newest secret of web1" in body["hint"]
            and "admin" in body["hint"]
        )
    assert ask(fleet, "web1", "GET", "/health").status_code == 200  # for everything else it goes on
    assert (
        ask(fleet, new, "POST", "/api/credentials/rotate", json={"overlap_s": 0}).status_code == 200
    )
    refusal(ask(fleet, "web1", "GET", "/health"), 401, "unauthorized")


def test_an_admins_old_secret_changes_nothing(fleet: Caller) -> None:
    ask(fleet, "boss", "POST", "/api/invites", json={"name": "web3"})
    new = basic("boss", ask(fleet, "boss", "POST", "/api/credentials/rotate").json["secret"])
    before = records(fleet)
    attempts = [
        ("/api/credentials", {"name": "web2", "admin": True}),
        ("/api/credentials/rotate", {"name": "web1"}),
        ("/api/credentials/revoke", {"name": "web1"}),
        ("/api/credentials/revoke", {"name": "web3"}),
        ("/api/invites", {"name": "web2"}),
    ]
    for path, fields in attempts:
        refusal(ask(fleet, "boss", "POST", path, json=fields), 403, "not_allowed")
    assert records(fleet) == before
    assert ask(fleet, "boss", "GET", "/api/credentials").status_code == 200
    for path, fields in attempts:
        assert ask(fleet, new, "POST", path, json=fields).status_code < 300, path
        ask(fleet, new, "POST", "/api/credentials/revoke", json={"name": "web2"})


def test_who_is_revoked_during_its_request_does_not_get_the_name_back(
    fleet: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Register(fleet.app.extensions["credentials"], lambda *change: None)
    read, new = credentials_routes._read, []

    def slow(shape: Any) -> Any:
        register.revoke("web1", "boss")
        new.append(register.add("web1", MEMBER, "boss").secret)
        return read(shape)

    monkeypatch.setattr(credentials_routes, "_read", slow)
    refusal(
        ask(fleet, "web1", "POST", "/api/credentials/rotate", json={"overlap_s": 0}),
        401,
        "unauthorized",
    )
    assert ask(fleet, basic("web1", new[0]), "GET", "/health").status_code == 200


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("/api/credentials", {}, "missing_field"),
        ("/api/credentials", {"name": ""}, "bad_field"),
        ("/api/credentials", {"name": 1}, "bad_field"),
        ("/api/credentials", {"name": "web2/a"}, "bad_field"),
        ("/api/credentials", {"name": "human"}, "bad_field"),
        ("/api/credentials", {"name": "claude"}, "bad_field"),
        ("/api/credentials", {"name": "web2", "admin": 1}, "bad_field"),
        ("/api/credentials", {"name": "web2", "role": "admin"}, "unknown_field"),
        ("/api/credentials", {"name": "web2", "secret": "mine"}, "unknown_field"),
        ("/api/credentials/rotate", {"name": None}, "missing_field"),
        ("/api/credentials/rotate", {"overlap_s": -1}, "bad_field"),
        ("/api/credentials/rotate", {"overlap_s": True}, "bad_field"),
        ("/api/credentials/rotate", {"overlap_s": 30 * 24 * 3600 + 1}, "bad_field"),
        ("/api/credentials/revoke", {}, "missing_field"),
        ("/api/invites", {"name": "web2", "expires_in_s": 10**9}, "bad_field"),
        ("/api/invites", {"name": "web2", "uses": 2}, "unknown_field"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    fleet: Caller, nothing_stored: None, path: str, fields: dict[str, Any], code: str
) -> None:
    refusal(ask(fleet, "boss", "POST", path, json=fields), 400, code)


def test_every_change_is_in_the_log_and_no_secret(fleet: Caller, config: Config) -> None:
    secrets = [
        ask(fleet, "boss", "POST", "/api/credentials", json={"name": "web2", "admin": True}).json[
            "secret"
        ]
    ]
    secrets.append(ask(fleet, "web1", "POST", "/api/credentials/rotate").json["secret"])
    header = invited(fleet, "web3")
    secrets.append(ask(fleet, header, "POST", "/api/join").json["secret"])
    ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "web3"})
    found = [
        (one["action"], one["name"], one["role"], one["by"].partition("~")[0])
        for one in records(fleet)
    ]
    assert found == [
        ("add", "web2", "admin", "boss"),
        ("rotate", "web1", "member", "web1"),
        ("invite", "web3", "member", "boss"),
        ("join", "web3", "member", "invite"),
        ("revoke", "web3", "member", "boss"),
    ]
    log = (config.data_dir / "bus.jsonl").read_text()
    assert not any(secret in log for secret in secrets)


# -- invites -------------------------------------------------------------------------------------


def test_an_invite_is_one_line_to_paste(fleet: Caller) -> None:
    reply = ask(
        fleet,
        "boss",
        "POST",
        "/api/invites",
        json={"name": "web2"},
        headers={"Host": "bus.example.org:8443"},
    )
    assert (
        reply.json["line"] == f"bus join http://bus.example.org:8443 --invite {reply.json['code']}"
    )
    for scheme in ("http", "https"):
        headers = {"Host": "b", "X-Forwarded-Proto": scheme}
        other = ask(fleet, "boss", "POST", "/api/invites", json={"name": "web3"}, headers=headers)
        assert other.json["line"].startswith(f"bus join {scheme}://b --invite ")
    ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "web3"})
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", reply.json["code"])
    assert reply.json["code"] not in ask(fleet, "boss", "GET", "/api/credentials").get_data(
        as_text=True
    )
    assert ask(fleet, "boss", "GET", "/api/credentials").json["invites"] == [
        {"name": "web2", "role": "member", "expires": reply.json["expires"]}
    ]


def test_an_invite_joins_once(fleet: Caller) -> None:
    header = invited(fleet, admin=True)
    joined = ask(fleet, header, "POST", "/api/join")
    assert (joined.status_code, joined.json["name"], joined.json["role"]) == (201, "web2", "admin")
    assert (
        ask(fleet, basic("web2", joined.json["secret"]), "GET", "/api/credentials").status_code
        == 200
    )
    assert (
        "used" in refusal(ask(fleet, header, "POST", "/api/join"), 410, "invite_spent")["message"]
    )


def test_an_expired_invite_is_told_so(fleet: Caller) -> None:
    header = invited(fleet, expires_in_s=60)
    credentials = fleet.app.extensions["credentials"]
    now = credentials.clock()
    credentials.clock = lambda: now + 61
    assert (
        "expired"
        in refusal(ask(fleet, header, "POST", "/api/join"), 410, "invite_spent")["message"]
    )


def test_wrong_invites_are_refused_and_then_slowed_down(
    fleet: Caller, nothing_stored: None
) -> None:
    credentials = fleet.app.extensions["credentials"]
    now = credentials.clock()
    credentials.clock = lambda: now
    for number in range(10):
        refusal(
            ask(fleet, basic(f"invite~{number}", "guess"), "POST", "/api/join"), 401, "unauthorized"
        )
    reply = ask(fleet, basic("invite~99", "guess"), "GET", "/health")
    refusal(reply, 429, "too_many_attempts")
    assert reply.headers["Retry-After"] == "6"
    assert ask(fleet, "web1", "GET", "/health").status_code == 200  # nobody else is kept waiting


def test_of_two_machines_with_one_code_one_joins(fleet: Caller) -> None:
    header = invited(fleet)
    statuses: list[int] = []

    def attempt() -> None:
        reply = fleet.app.test_client().post("/api/join", headers={"Authorization": header})
        statuses.append(reply.status_code)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [410] * 7

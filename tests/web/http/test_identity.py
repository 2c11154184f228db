"""Nobody speaks, acknowledges or reads under the name of somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bus import create_app, create_hub
from bus.config import Config
from bus.credentials import Credentials, Register
from bus.model.caller import ADMIN
from bus.model.caller import Caller as Who
from tests.conftest import Caller, opened
from tests.web.callers import KEYS, add_callers, ask, invited
from tests.web.conftest import last_seq, refusal


@pytest.fixture
def fleet(bus: Caller, config: Config) -> Caller:
    """A hub that knows the shared user `claude`, the machine `web1` and the admin `boss`."""
    add_callers(config)
    return bus


# -- the stamps ----------------------------------------------------------------------------------


def test_the_hub_stamps_who_it_was(fleet: Caller) -> None:
    mine = ask(fleet, "web1", "POST", "/post", json={"body": "x"}).json
    session = ask(fleet, "web1", "POST", "/post", json={"from": "web1/alpha", "body": "x"}).json
    shared = ask(fleet, "claude", "POST", "/post", json={"from": "alice", "body": "x"}).json
    stamps = [(one["from"], one["auth"], one["verified"]) for one in (mine, session, shared)]
    assert stamps == [
        ("web1", "web1", True),
        ("web1/alpha", "web1", True),
        ("alice", "claude", False),
    ]
    assert [
        one["verified"] for one in ask(fleet, "claude", "GET", "/messages").json["messages"]
    ] == [True, True, False]


@pytest.mark.parametrize("field", ["auth", "verified", "seq", "ts", "id", "kind", "sum"])
@pytest.mark.parametrize("who", KEYS)
def test_a_client_cannot_set_a_stamp(
    fleet: Caller, nothing_stored: None, who: str, field: str
) -> None:
    given = {"from": {"claude": "alice"}.get(who, who), "body": "x"}
    refusal(ask(fleet, who, "POST", "/post", json={**given, field: "x"}), 400, "unknown_field")
    refusal(ask(fleet, who, "POST", f"/post?{field}=x", json=given), 400, "unknown_field")
    refusal(ask(fleet, who, "POST", "/post", data={**given, field: "x"}), 400, "unknown_field")
    line = json.dumps({**given, field: "x"})
    reply = ask(fleet, who, "POST", "/post", data=line, content_type="application/x-ndjson")
    assert (reply.status_code, json.loads(reply.get_data())["error"]) == (400, "unknown_field")


@pytest.mark.parametrize(
    "header",
    ["X-Remote-User", "X-Forwarded-User", "Remote-User", "X-Auth-Request-User", "X-Real-IP"],
)
def test_no_header_says_who_one_is(fleet: Caller, header: str) -> None:
    refusal(ask(fleet, "", "GET", "/health", headers={header: "boss"}), 401, "unauthorized")
    refusal(
        ask(fleet, "web1", "GET", "/api/credentials", headers={header: "boss"}), 403, "not_allowed"
    )
    assert (
        ask(fleet, "web1", "POST", "/post", json={"body": "x"}, headers={header: "boss"}).json[
            "auth"
        ]
        == "web1"
    )


# -- somebody else's name ------------------------------------------------------------------------

# Those that look alike to people but are no names at all are a bad_field: no letter but ASCII is in
# a name.
NOT_FOR_WEB1 = [
    "boss",
    "claude",
    "alice",
    "web2",
    "web11",
    "web",
    "WEB1",
    "Web1",
    "web1.x",
    "human",
    "alice/web1",
    "boss/web1",
]
NOT_FOR_CLAUDE = [
    "web1", "Web1", "WEB1", "web1/alpha", "WEB1/x", "boss", "BOSS/x", "human", "Human", "HUMAN/x",
    "admin", "Admin", "system", "bus", "Hub", "operator", "root", "claude-bus",
]  # fmt: skip
NO_NAMES = [
    "wеb1",
    "ｗｅｂ1",
    "web１",
    "hᵤman",
    "ADMIN\u200b",
    "ſystem",
    "\u202ebus",
    "web1\n",
    "web1 ",
    "adm\u0131n",
    "web1/",
    "/web1",
]
# Those that a reader in a hurry takes for one of them: other punctuation, digits for letters, a
# reserved word as a part.
NOT_FOR_CLAUDE += [
    "admin.",
    "admin-",
    "a.d.m.i.n",
    "adm1n",
    "Admin2",
    "adrnin",
    "r00t",
    "human-overseer",
    "the.admin",
]
NOT_FOR_CLAUDE += [
    "my_root",
    "x/admin",
    "x/the-human",
    "claude/admin",
    "web1-",
    "web-1",
    "w.e.b_1",
    "webl",
    "WEB-1/x",
]
NOT_FOR_CLAUDE += ["b0ss", "boss.", "bo-ss/y", "claude-bus-2"]
FOR_CLAUDE = [
    "ccwhitebee",
    "busybox1",
    "webmaster",
    "adminton",
    "humanity",
    "web11",
    "web2",
    "web1x",
    "rooted",
]
FOR_CLAUDE += ["claude", "claude/x", "cc-1/alpha"]
CASES = [*(("web1", name) for name in NOT_FOR_WEB1), *(("claude", name) for name in NOT_FOR_CLAUDE)]


def ways_to_post(name: str) -> Iterator[dict[str, Any]]:
    """Every form of a post, from this name."""
    fields = {"from": name, "body": "x"}
    yield {"json": fields}
    yield {"json": {"body": "x"}, "query_string": {"from": name}}
    yield {"data": fields}
    yield {"data": fields, "content_type": "multipart/form-data"}
    yield {"data": "x", "content_type": "text/plain", "query_string": {"from": name}}
    yield {"data": json.dumps(fields), "content_type": "text/plain"}


@pytest.mark.parametrize(("who", "name"), CASES)
def test_nobody_posts_as_somebody_else(
    fleet: Caller, nothing_stored: None, who: str, name: str
) -> None:
    for form in ways_to_post(name):
        refusal(ask(fleet, who, "POST", "/post", **form), 403, "not_your_name")


@pytest.mark.parametrize(("who", "name"), CASES)
def test_nobody_acknowledges_for_somebody_else(fleet: Caller, who: str, name: str) -> None:
    seq = fleet.say(to="any")["seq"]
    for path, form in [
        (f"/ack/{seq}", {"json": {"reader": name}}),
        (f"/ack/{seq}", {"query_string": {"reader": name}}),
        ("/ack", {"json": {"reader": name, "ids": [seq]}}),
        ("/ack", {"data": {"reader": name, "through": str(seq)}}),
    ]:
        refusal(ask(fleet, who, "POST", path, **form), 403, "not_your_name")
    assert last_seq(fleet) == seq


@pytest.mark.parametrize("name", FOR_CLAUDE)
def test_the_shared_user_keeps_every_other_name(fleet: Caller, name: str) -> None:
    posted = ask(fleet, "claude", "POST", "/post", json={"from": name, "body": "x"})
    assert posted.status_code == 201, posted.json
    assert ask(fleet, "claude", "POST", "/ack/1", json={"reader": name}).status_code == 200


@pytest.mark.parametrize("how", ["over HTTP", "by the operator", "by hand"])
def test_a_name_that_a_machine_had_is_never_the_shared_users_again(
    fleet: Caller, config: Config, how: str
) -> None:
    ask(fleet, "boss", "POST", "/api/credentials", json={"name": "gone7"})
    if how == "over HTTP":
        assert (
            ask(
                fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "gone7"}
            ).status_code
            == 200
        )
    elif how == "by the operator":
        hub = create_hub(config)  # as another process has it
        Register(Credentials(config.credentials_file), hub.credentials.note_change).revoke(
            "gone7", "operator"
        )
    else:
        lines = config.credentials_file.read_text().splitlines(keepends=True)
        config.credentials_file.write_text(
            "".join(line for line in lines if not line.startswith("gone7:"))
        )
    for name in ("gone7", "Gone-7", "gone7/x"):
        refusal(
            ask(fleet, "claude", "POST", "/post", json={"from": name, "body": "x"}),
            403,
            "not_your_name",
        )
        seq = fleet.say(to="any")["seq"]
        refusal(
            ask(fleet, "claude", "POST", f"/ack/{seq}", json={"reader": name}), 403, "not_your_name"
        )
    fleet.hub.index.rebuild()
    for reopened in opened(create_app(config)):
        refusal(
            ask(reopened, "claude", "POST", "/post", json={"from": "gone7", "body": "x"}),
            403,
            "not_your_name",
        )


def test_a_machine_that_was_put_into_the_file_by_hand_is_known_by_what_it_sent(
    fleet: Caller, config: Config
) -> None:
    assert ask(fleet, "web1", "POST", "/post", json={"body": "x"}).status_code == 201
    lines = config.credentials_file.read_text().splitlines(keepends=True)
    config.credentials_file.write_text(
        "".join(line for line in lines if not line.startswith("web1:"))
    )
    refusal(
        ask(fleet, "claude", "POST", "/post", json={"from": "web-1", "body": "x"}),
        403,
        "not_your_name",
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("admin.", "bad_field"),
        ("claude_bus", "bad_field"),
        ("c-laude", "bad_field"),
        ("WEB-1", "credential_exists"),
        ("web1.", "credential_exists"),
    ],
)
def test_no_credential_is_made_for_a_name_that_differs_by_punctuation(
    fleet: Caller, name: str, code: str
) -> None:
    for path in ("/api/credentials", "/api/invites"):
        refusal(
            ask(fleet, "boss", "POST", path, json={"name": name}),
            400 if code == "bad_field" else 409,
            code,
        )


def test_digits_that_punctuation_keeps_apart_make_other_machines(fleet: Caller) -> None:
    for name in ("node1-1", "node11", "node-1-1-1"):
        assert (
            ask(fleet, "boss", "POST", "/api/credentials", json={"name": name}).status_code == 201
        )


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("who", KEYS)
def test_what_only_looks_like_a_name_is_none(
    fleet: Caller, nothing_stored: None, who: str, name: str
) -> None:
    for form in ways_to_post(name):
        refusal(ask(fleet, who, "POST", "/post", **form), 400, "bad_field")


def test_a_line_of_a_block_is_refused_on_its_own(fleet: Caller) -> None:
    lines = "\n".join(
        json.dumps(one)
        for one in (
            {"body": "mine"},
            {"body": "x", "from": "boss"},
            {"body": "y", "from": "web1/a"},
        )
    )
    reply = ask(fleet, "web1", "POST", "/post", data=lines, content_type="application/x-ndjson")
    results = [json.loads(line) for line in reply.get_data(as_text=True).splitlines()]
    assert [one.get("error", one.get("from")) for one in results] == [
        "web1",
        "not_your_name",
        "web1/a",
    ]
    assert results[1]["status"] == 403


def test_left_out_the_name_is_the_callers(fleet: Caller) -> None:
    seq = ask(fleet, "boss", "POST", "/post", json={"to": "web1", "body": "x"}).json["seq"]
    assert ask(fleet, "web1", "GET", "/inbox").json["reader"] == "web1"
    assert ask(fleet, "web1", "POST", f"/ack/{seq}").json == {
        "ok": True, "id": str(seq), "reader": "web1", "acked": [seq], "already": []
    }  # fmt: skip
    refusal(ask(fleet, "claude", "POST", "/post", json={"body": "x"}), 400, "missing_field")
    refusal(ask(fleet, "claude", "POST", f"/ack/{seq}"), 400, "missing_field")
    refusal(ask(fleet, "claude", "GET", "/inbox"), 400, "missing_field")
    refusal(ask(fleet, "web1", "POST", "/post", json={"from": None, "body": "x"}), 400, "bad_field")


def test_the_shared_user_is_free_in_every_other_name(fleet: Caller) -> None:
    for name in ("alice", "alice/one", "claude", "claude/one", "web2", "web1x"):
        assert (
            ask(fleet, "claude", "POST", "/post", json={"from": name, "body": "x"}).status_code
            == 201
        )


def test_a_name_is_taken_as_soon_as_its_machine_has_joined(fleet: Caller, config: Config) -> None:
    assert (
        ask(fleet, "claude", "POST", "/post", json={"from": "web2", "body": "x"}).status_code == 201
    )
    assert ask(fleet, invited(fleet, "web2"), "POST", "/api/join").status_code == 201
    refusal(
        ask(fleet, "claude", "POST", "/post", json={"from": "web2", "body": "x"}),
        403,
        "not_your_name",
    )
    ask(fleet, "boss", "POST", "/api/credentials/revoke", json={"name": "web2"})
    refusal(
        ask(fleet, "claude", "POST", "/post", json={"from": "web2", "body": "x"}),
        403,
        "not_your_name",
    )


def test_turned_off_the_shared_user_is_one_machine_among_others(
    fleet: Caller, config: Config
) -> None:
    for other in opened(create_app(Config(**{**config.__dict__, "shared_user": "-"}))):
        refusal(
            ask(other, "claude", "POST", "/post", json={"from": "alice", "body": "x"}),
            403,
            "not_your_name",
        )
        reply = ask(other, "claude", "POST", "/post", json={"body": "x"})
        assert (reply.json["from"], reply.json["verified"]) == ("claude", True)


# -- reading for others --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/messages?unread_by=web1",
        "/messages?unread_by=web1&wait=0.01",
        "/inbox?reader=web1",
        "/stream?unread_by=web1",
    ],
)
def test_a_look_at_anothers_mail_is_no_fetch_by_it(fleet: Caller, path: str) -> None:
    seq = ask(fleet, "boss", "POST", "/post", json={"to": "web1", "body": "for you"}).json["seq"]
    fleet.hub.waiting.is_closing = lambda: True  # streams end when there is nothing more

    def fetched() -> Any:
        return ask(fleet, "boss", "GET", f"/messages/{seq}/receipts").json["receipts"]["web1"][
            "fetched"
        ]

    for who in ("claude", "boss"):
        assert "for you" in ask(fleet, who, "GET", path).get_data(as_text=True)
        assert fetched() is None
        assert fleet.hub.presence.last_seen("web1") is None
    assert ask(fleet, "web1", "HEAD", path).status_code == 200  # which gives it nothing
    assert fetched() is None
    assert "for you" in ask(fleet, "web1", "GET", path).get_data(as_text=True)
    assert fetched() is not None


# -- the shortcut --------------------------------------------------------------------------------


def test_the_short_way_asks_what_the_long_one_asks(
    fleet: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post in plain JSON does not come by the guard of the other routes."""
    header = invited(fleet)
    answers: list[Callable[..., Any]] = []
    for kind in ("application/json", "application/json; charset=utf-8"):
        refused = ask(fleet, header, "POST", "/post", data='{"body":"x"}', content_type=kind)
        answers.append(refusal(refused, 403, "not_allowed")["message"])
    assert answers[0] == answers[1]


def test_a_caller_is_what_the_credential_says(fleet: Caller) -> None:
    credentials = fleet.app.extensions["credentials"]
    assert credentials.caller_of(KEYS["boss"]) == Who("boss", ADMIN)
    register = Register(credentials, lambda *change: None)
    register.revoke("web1", "test")
    refusal(ask(fleet, "web1", "GET", "/health"), 401, "unauthorized")

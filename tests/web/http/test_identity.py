"""Who may say what it is, and who may call what: attacks, and every route with every role."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response
from werkzeug.routing import Rule

from bus import create_app, create_hub
from bus.config import Config
from bus.credentials import Credentials, Register
from bus.model.caller import ADMIN, ADMINS, EVERYONE, MEMBER
from bus.model.caller import Caller as Who
from bus.web.api import credentials as credentials_routes
from bus.web.http import auth
from tests.conftest import BASIC, Caller, basic, opened
from tests.web.conftest import last_seq, refusal

SECRET = "a secret of the tests"
KEYS = {"web1": basic("web1", SECRET), "boss": basic("boss", SECRET), "claude": BASIC}


@pytest.fixture
def fleet(bus: Caller, config: Config) -> Caller:
    """A hub that knows the shared user `claude`, the machine `web1` and the admin `boss`."""
    credentials = Credentials(config.credentials_file)
    credentials.add("web1", SECRET, MEMBER)
    credentials.add("boss", SECRET, ADMIN)
    return bus


def ask(fleet: Caller, who: str, method: str, path: str, **kwargs: Any) -> Any:
    headers = {"Authorization": KEYS.get(who, who), **kwargs.pop("headers", {})}
    return fleet.client.open(path, method=method, headers=headers, **kwargs)


def invited(fleet: Caller, name: str = "web2", **fields: Any) -> str:
    """The Authorization header of a fresh invite."""
    reply = ask(fleet, "boss", "POST", "/api/invites", json={"name": name, **fields})
    assert reply.status_code == 201, reply.json
    short, _, secret = reply.json["code"].partition(".")
    return basic(f"invite~{short}", secret)


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
NOT_FOR_CLAUDE = ["web1", "Web1", "WEB1", "web1/alpha", "WEB1/x", "boss", "BOSS/x", "human", "Human", "HUMAN/x", "admin", "Admin",
                  "system", "bus", "Hub", "operator", "root", "claude-bus"]  # fmt: skip
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


# -- every route with every role -----------------------------------------------------------------

ROLES = {"shared": "claude", "member": "web1", "admin": "boss"}


def roles_that_get_in(
    fleet: Caller, method: str, rule: Rule, headers: dict[str, str | None]
) -> set[str]:
    """Those whom the guard lets through to this route, whose view does nothing."""
    inside = set()
    for role, header in headers.items():
        given = {} if header is None else {"Authorization": header}
        reply = fleet.client.open(
            re.sub("<[^>]*>", "1" * 26, rule.rule), method=method, headers=given
        )
        if role in ("none", "wrong"):
            assert reply.status_code == 401, (role, method, rule.rule)
        elif reply.status_code != 403:
            assert reply.status_code == 299, (role, method, rule.rule, reply.get_data())
            inside.add(role)
        elif method != "HEAD":
            refusal(reply, 403, "not_allowed")
    return inside


def do_nothing(view: Any) -> Any:
    """A view that answers 299 and declares what this one does."""

    def nothing(**given: Any) -> Response:
        return Response(status=299)

    return (
        auth.may_call(view.may_call, call_type=view.call_type)(nothing)
        if hasattr(view, "may_call")
        else nothing
    )


def wrong_doors(fleet: Caller) -> list[str]:
    """The routes that declare nothing, and those that let in others than they declare."""
    headers = {role: KEYS[name] for role, name in ROLES.items()}
    headers |= {"invite": invited(fleet), "none": None, "wrong": basic("web1", "wrong")}
    views = fleet.app.view_functions
    views.update({endpoint: do_nothing(view) for endpoint, view in views.items()})
    wrong = auth.undeclared(fleet.app)
    for rule in fleet.app.url_map.iter_rules():
        # OPTIONS is answered by Flask, for all the views of a path by the guard of the first.
        for method in sorted(rule.methods - {"OPTIONS"}) if rule.rule not in wrong else ():
            if roles_that_get_in(fleet, method, rule, headers) != set(
                views[rule.endpoint].may_call
            ):
                wrong.append(f"{method} {rule.rule}")
    return wrong


def test_every_route_lets_in_those_whom_it_declares_and_nobody_else(fleet: Caller) -> None:
    assert wrong_doors(fleet) == []


def test_a_route_that_declares_nothing_is_found_and_lets_nobody_in(fleet: Caller) -> None:
    fleet.app.add_url_rule("/api/forgotten", "forgotten", lambda: "secret")
    for who in KEYS:
        refusal(ask(fleet, who, "GET", "/api/forgotten"), 403, "not_allowed")
    assert wrong_doors(fleet) == ["/api/forgotten"]


def test_a_hub_with_such_a_route_does_not_start(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.web.api.pages.may_call", lambda roles: lambda view: view)
    with pytest.raises(TypeError, match="/health"):
        create_app(config)


def test_the_routes_that_matter_declare_what_they_should(fleet: Caller) -> None:
    declared = {
        rule.rule: fleet.app.view_functions[rule.endpoint].may_call
        for rule in fleet.app.url_map.iter_rules()
    }
    assert declared["/post"] == declared["/ack"] == declared["/messages"] == EVERYONE
    assert declared["/api/credentials/revoke"] == declared["/api/invites"] == ADMINS
    for path, roles in declared.items():
        assert path == "/api/me" or not path.startswith("/api/") or "shared" not in roles, (
            f"{path} is for the shared user"
        )


def test_invites_get_into_one_route_only(fleet: Caller) -> None:
    header = invited(fleet)
    for method, path in (
        ("POST", "/post"),
        ("GET", "/messages"),
        ("GET", "/nothing-here"),
        ("PUT", "/post"),
        ("GET", "/api/me"),
    ):
        refusal(
            ask(
                fleet, header, method, path, **({"json": {"body": "x"}} if method == "POST" else {})
            ),
            403,
            "not_allowed",
        )
    refusal(ask(fleet, "boss", "POST", "/api/invites", json={"name": "web2"}, headers={"Origin": "https://evil.example"}), 403,
            "foreign_origin")  # fmt: skip
    assert ask(fleet, header, "POST", "/api/join").status_code == 201


def test_what_is_refused_is_told_to_those_who_watch(fleet: Caller, config: Config) -> None:
    heard: list[tuple[str, str]] = []

    @auth.may_call(ADMINS, call_type="exec")
    def protected() -> str:
        return "done"

    @auth.may_call(ADMINS)
    def plain() -> str:
        return "done"

    from flask import Flask

    from bus.web.http import errors

    app = Flask("watched")
    auth.init_app(
        app,
        fleet.app.extensions["credentials"],
        lambda who, kind, environ: heard.append((who.name, kind)),
    )
    errors.init_app(app)
    app.add_url_rule("/protected", "protected", protected, methods=["POST"])
    app.add_url_rule("/plain", "plain", plain, methods=["POST"])
    watched = Caller(app)
    for who in ("claude", "web1", "boss"):
        ask(watched, who, "POST", "/protected")
        ask(watched, who, "POST", "/plain")
    assert heard == [("claude", "exec"), ("web1", "exec")]


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

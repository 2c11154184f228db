"""Every route lets in the roles that it declares, and nobody else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Response
from werkzeug.routing import Rule

from bus import create_app
from bus.config import Config
from bus.model.caller import ADMINS, EVERYONE
from bus.web.http import auth
from tests.conftest import Caller, basic
from tests.web.callers import KEYS, WATCHER_KEY, add_callers, ask, invited
from tests.web.conftest import refusal


@pytest.fixture
def fleet(bus: Caller, config: Config) -> Caller:
    """A hub that knows the shared user `claude`, the machine `web1` and the admin `boss`."""
    add_callers(config)
    return bus


ROLES = {"shared": "claude", "member": "web1", "admin": "boss", "human": "human/chas"}


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
    headers |= {
        "watcher": WATCHER_KEY,
        "invite": invited(fleet),
        "none": None,
        "wrong": basic("web1", "wrong"),
    }
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
    elsewhere = {"Origin": "https://evil.example"}
    reply = ask(fleet, "boss", "POST", "/api/invites", json={"name": "web2"}, headers=elsewhere)
    refusal(reply, 403, "foreign_origin")
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

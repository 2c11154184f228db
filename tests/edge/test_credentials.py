"""Credentials through nginx: it knows the first line of a name, and asks the hub about the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.credentials import Credentials, Register
from bus.credentials.register import Note

from .harness import Answer, Edge, basic

pytestmark = pytest.mark.slow


def in_silence(*change: str | int | None) -> None:
    """Changes of these tests are noted nowhere."""


def register(edge: Edge, note: Note = in_silence) -> Register:
    """The credentials of the hub behind nginx."""
    return Register(Credentials((edge.dir / "credentials").resolve()), note)


def join(edge: Edge, code: str) -> Answer:
    short, _, secret = code.partition(".")
    return edge.ask("POST", "/api/join", auth=basic(f"invite~{short}", secret))


def health(edge: Edge, user: str, secret: str) -> int:
    return edge.ask("GET", "/health", auth=basic(user, secret)).status


def test_both_secrets_work_while_a_rotation_lasts_and_none_after_a_revocation(whole: Edge) -> None:
    old = register(whole).add("web1", "member", "test").secret
    new = register(whole).rotate("web1", 3600, "test").secret
    assert [health(whole, "web1", secret) for secret in (old, new, "wrong")] == [200, 200, 401]
    posted = whole.ask(
        "POST",
        "/post",
        '{"body":"still me"}',
        {"Content-Type": "application/json"},
        auth=basic("web1", old),
    )
    assert (posted.status, posted.json["from"], posted.json["verified"]) == (201, "web1", True)
    register(whole).revoke("web1", "test")
    assert [health(whole, "web1", secret) for secret in (old, new)] == [401, 401]


def test_an_old_secret_ends_with_its_time_and_at_once_without_an_overlap(whole: Edge) -> None:
    first = register(whole).add("web1", "member", "test").secret
    second = register(whole).rotate("web1", 3600, "test").secret
    path = (whole.dir / "credentials").resolve()
    before, _, after = path.read_text().partition("until=")
    path.write_text(before + "until=1" + after[after.index("\n") :])  # its hour is over
    assert [health(whole, "web1", secret) for secret in (first, second)] == [401, 200]
    third = register(whole).rotate("web1", 0, "test").secret
    assert [health(whole, "web1", secret) for secret in (first, second, third)] == [401, 401, 200]


def test_an_old_secret_may_send_a_large_block(whole: Edge) -> None:
    """The question to the hub has no body, and no limit on the size of one that it does not
    have.
    """
    old = register(whole).add("web1", "member", "test").secret
    register(whole).rotate("web1", 3600, "test")
    lines = "".join(
        json.dumps({"body": f"{number} " + "x" * 60_000}) + "\n" for number in range(60)
    )
    answer = whole.ask(
        "POST", "/post", lines, {"Content-Type": "application/x-ndjson"}, auth=basic("web1", old)
    )
    assert (answer.status, len(answer.body.splitlines())) == (201, 60)
    large = whole.ask(
        "POST",
        "/post",
        "x" * 3_000_000,
        {"Content-Type": "application/json"},
        auth=basic("web1", old),
    )
    assert large.status == 413


def test_a_wrong_secret_is_asked_for_another_once(whole: Edge) -> None:
    connection = whole.connect()
    connection.request("GET", "/health", headers=basic("claude", "wrong"))
    answer = connection.getresponse()
    assert answer.status == 401
    assert len(answer.headers.get_all("WWW-Authenticate", [])) == 1
    assert json.loads(answer.read())["error"] == "unauthorized"
    connection.close()


def test_the_question_to_the_hub_cannot_be_asked_from_outside(whole: Edge) -> None:
    for path in ("/.claude-bus/who", "/.claude-bus/no", "/.claude-bus/unsure"):
        assert whole.ask("GET", path).status == 404


def test_without_a_hub_a_secret_that_nginx_does_not_know_is_told_to_retry(
    make_edge: Callable[..., Edge], tmp_path: Path
) -> None:
    answer = make_edge(tmp_path / "nobody-listens").ask(
        "GET", "/health", auth=basic("claude", "perhaps an old one")
    )
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (
        502,
        "hub_unreachable",
        "2",
    )


def test_an_invite_is_taken_once_and_wrong_ones_are_slowed_down(whole: Edge) -> None:
    code = register(whole).invite("web1", "member", 3600, "test").code
    joined = join(whole, code)
    assert (joined.status, joined.json["name"]) == (201, "web1")
    assert health(whole, "web1", joined.json["secret"]) == 200
    spent = join(whole, code)
    assert (spent.status, spent.json["error"]) == (410, "invite_spent")
    wrong = [join(whole, f"{number:010x}.guess") for number in range(12)]
    assert [answer.status for answer in wrong] == [401] * 10 + [429] * 2
    assert wrong[-1].json["error"] == "rate_limited"
    assert wrong[-1].headers["retry-after"] == "6"
    # Who has a code is not kept out by those who guess.
    assert join(whole, register(whole).invite("web2", "member", 3600, "test").code).status == 201


def test_an_invite_line_names_the_address_that_was_asked(whole: Edge) -> None:
    secret = register(whole).add("boss", "admin", "test").secret
    answer = whole.ask(
        "POST",
        "/api/invites",
        '{"name":"web1"}',
        {"Host": "bus.example.org"},
        auth=basic("boss", secret),
    )
    assert answer.status == 201
    assert answer.json["line"] == f"bus join https://bus.example.org --invite {answer.json['code']}"

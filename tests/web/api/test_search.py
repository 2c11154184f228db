"""GET /search: every word must be there; nothing that is typed is an error of the search engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Caller
from tests.web.conftest import new_hub, refusal


def found(bus: Caller, q: str, **filters: Any) -> list[str]:
    reply = bus.get("/search", query_string={"q": q, **filters})
    assert reply.status_code == 200, reply.json
    return [message["body"] for message in reply.json["messages"]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A hub with six messages, for tests that only read."""
    for bus in new_hub(tmp_path_factory.mktemp("library")):
        fill(bus)
        yield bus


def fill(bus: Caller) -> None:
    bus.say("the smoke tests are green", tags=["ci"])
    bus.say("smoke rises over green tests", sender="carol", to="any")
    bus.say("Schöne Grüße aus Köln, naïve café")
    bus.say("deploy NOT done AND OR NEAR body", to="dave", thread="t1")
    bus.say("漢字 テスト")
    bus.say('quoted "word" and foo-bar_baz v1.2.3')


@pytest.mark.parametrize(
    ("q", "starts"),
    [
        ("smoke", ["smoke", "the"]),
        ("SMOKE Green", ["smoke", "the"]),
        ('"smoke tests"', ["the"]),
        ('"tests smoke"', []),
        ("gre*", ["smoke", "the"]),
        ("gre", []),
        ("smoke missing", []),
        ("schone grusse", []),
        ("schone", ["Schöne"]),
        ("CAFE", ["Schöne"]),
        ("AND", ["quoted", "deploy"]),
        ("NOT", ["deploy"]),
        ("NEAR", ["deploy"]),
        ("body", ["deploy"]),
        ("漢字", ["漢字"]),
        ("foo-bar_baz", ["quoted"]),
        ("1.2.3", []),
        ("v1.2.3", ["quoted"]),
        ('"word"', ["quoted"]),
    ],
)
def test_messages_with_all_the_words_are_found_newest_first(
    library: Caller, q: str, starts: list[str]
) -> None:
    assert [body.split()[0] for body in found(library, q)] == starts


ODD = ['"', '""', '"""', "*", "**", '"*', "a*b*", "NEAR(", "NEAR(a b, 2)", "a NEAR/2 b", "a AND",
       "OR", "AND OR NOT", "NOT a",
       "(", ")", "()", "(a OR b)", "body:x", "words:x", "{body}:x", "-a", "+a", "^a", "a:b:c", "^",
       "';--", "%", "_",
       "\\", "\\x", "😀", "👩‍👩‍👧", "²", "ª", "\u202e", "\ufffd", "\x01", "\n", "a\nb", "\x1b[31m",
       "a" * 998, "w W " * 5_000,
       '"' + "w " * 32 + '"', '"' * 5_001, "x* " * 300, "\U0010ffff", "a\u0301", "．", "rowid",
       "bm25(words)"]  # fmt: skip


@pytest.mark.parametrize("q", ODD, ids=lambda q: ascii(q)[:24])
def test_odd_words_are_no_error(library: Caller, q: str) -> None:
    reply = library.get("/search", query_string={"q": q})
    if q.strip():
        assert reply.status_code == 200
    else:
        refusal(reply, 400, "missing_field")
    assert library.get("/health").json["index"] == "ready"
    assert len(found(library, "smoke")) == 2


TOO_MANY = {
    "words": " ".join(f"w{number}" for number in range(33)),
    "words in quotes": '"' + "w " * 33 + '"',
    "words that hyphens join": "w-" * 33,
    "words of private characters": "a" + "-\ue000" * 33,
    "characters": "a" * 1_000,
}


@pytest.mark.parametrize("q", TOO_MANY.values(), ids=TOO_MANY)
def test_more_words_than_a_search_may_have_are_refused(library: Caller, q: str) -> None:
    body = refusal(library.get("/search", query_string={"q": q}), 400, "bad_field")
    assert body["field"] == "q"
    assert "32 words" in body["hint"]


@pytest.mark.parametrize("query", ["", "?q=", "?q=%20", "?q=%20%0a"])
def test_without_words_it_says_what_is_missing(bus: Caller, query: str) -> None:
    assert refusal(bus.get(f"/search{query}"), 400, "missing_field")["field"] == "q"


@pytest.mark.parametrize(
    ("q", "code"), [("a%00b", "bad_json"), ("%ff", "bad_field"), ("a&q=b", "bad_field")]
)
def test_words_that_are_no_text_are_refused(bus: Caller, q: str, code: str) -> None:
    refusal(bus.get(f"/search?q={q}"), 400, code)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"to": "bob"}, 2),
        ({"to": "dave"}, 1),
        ({"to": "any"}, 1),
        ({"from": "carol"}, 1),
        ({"tag": "ci"}, 1),
        ({"thread": "t1"}, 0),
        ({"since": 1}, 1),
        ({"before": 2}, 1),
        ({"limit": 1}, 1),
        ({"to": "nobody", "from": "alice"}, 0),
    ],
)
def test_the_filters_of_messages_hold_here(
    library: Caller, filters: dict[str, Any], count: int
) -> None:
    assert len(found(library, "smoke", **filters)) == count


def test_the_page_goes_on_with_before(bus: Caller) -> None:
    for number in range(5):
        bus.say(f"word m{number}")
    cursor, seen = {}, []
    for _ in range(3):
        page = bus.get("/search", query_string={"q": "word", "limit": 2, **cursor}).json
        seen += [message["seq"] for message in page["messages"]]
        cursor = {"before": page["next"]}
    assert seen == [5, 4, 3, 2, 1]
    assert page["has_more"] is False


def test_an_expired_message_is_not_found_unless_asked_for(bus: Caller, later: Any) -> None:
    bus.say("short word", expires_in_s=60)
    later(61)
    assert found(bus, "word") == []
    assert found(bus, "word", expired=1) == ["short word"]


def test_a_brief_is_found_by_its_title(bus: Caller) -> None:
    front = {"from": "alice", "to": "bob", "title": "Deploy Blocker", "body": "see below"}
    brief = bus.post("/briefs", json=front)
    assert brief.status_code == 201, brief.json
    (hit,) = bus.get("/search?q=blocker").json["messages"]
    assert (hit["id"], hit["snippet"]) == (brief.json["id"], "Deploy [Blocker]")
    assert found(bus, "below") == ["see below"]


def test_a_snippet_shows_where_the_words_stand(bus: Caller) -> None:
    bus.say("x " * 200 + "needle in " + "y " * 200)
    (message,) = bus.get("/search?q=needle").json["messages"]
    assert "[needle]" in message["snippet"]
    assert len(message["snippet"]) < 100
    assert message["body"].startswith("x x")
    assert "[needle]" in bus.get("/search?q=needle&format=text").get_data(as_text=True)


def test_words_posted_a_moment_ago_are_found(bus: Caller, reopened: Caller) -> None:
    bus.say("seen by the other process")
    assert found(reopened, "process") == ["seen by the other process"]

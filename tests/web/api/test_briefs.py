"""Briefs: messages with front matter, and a thread as one document."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.config import Config
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members, refusal

MARKDOWN = "text/markdown"
SEED = """---
title: Deploy Blocker — DB Migration
date: 2026-03-24
from: alpha (server1)
to: charlie (server2)
action: review the migration before Friday
priority: high
---
The migration of `users` locks the table.

- [ ] review migration @db1 !urgent due:2026-03-28
"""


def send(caller: As, text: str | bytes, kind: str = "text/markdown", **more: Any) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return caller.post("/briefs", data=data, content_type=kind, **more)


def sent(caller: As, text: str | bytes, **more: Any) -> Any:
    reply = send(caller, text, **more)
    assert reply.status_code == 201, reply.json
    return reply.json


def a_brief(body: str = "text\n", **front: Any) -> str:
    return f"---\n{yaml.safe_dump(front, allow_unicode=True, sort_keys=False)}---\n{body}"


def as_markdown(caller: As, brief: Any) -> tuple[dict[str, Any], bytes]:
    """The front matter of a brief as a reader of YAML without types sees it, and its text."""
    reply = caller.get(f"/briefs/{brief['id']}?format=markdown")
    assert (reply.status_code, reply.mimetype) == (200, "text/markdown")
    _, front, body = reply.get_data().split(b"---\n", 2)
    return yaml.load(front, Loader=yaml.BaseLoader), body


def mail(caller: As, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(f"/messages?unread_by={name}").json["messages"]
    return found


# -- a brief is a message ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/markdown", "application/x-www-form-urlencoded", ""])
def test_the_brief_of_a_file_reaches_the_one_it_is_for(members: Members, kind: str) -> None:
    brief = sent(members.shared, SEED, kind=kind)
    assert (brief["from"], brief["to"]) == ("alpha", "charlie")
    assert brief["read_as"] == {"alpha (server1)": "alpha", "charlie (server2)": "charlie"}
    (message,) = mail(members.admin, "charlie")
    assert message["body"] == SEED.partition("high\n---\n")[2]
    assert message["brief"]["title"] == "Deploy Blocker — DB Migration"
    assert (message["priority"], message["brief"]["priority"]) == ("normal", "high")
    first, second = message["brief"]["actions"]
    assert first == {
        "title": "review the migration before Friday",
        "assignee": "charlie",
        "priority": "high",
    }
    assert second == {
        "title": "review migration",
        "assignee": "db1",
        "priority": "urgent",
        "due": "2026-03-28",
    }
    text = members.admin.get("/messages?unread_by=charlie&format=text").get_data(as_text=True)
    assert 'BRIEF "Deploy Blocker — DB Migration"' in text.splitlines()[0]
    assert members.admin.get("/search?q=locks").json["count"] == 1


def test_a_brief_sent_again_is_the_same_brief(members: Members) -> None:
    first = sent(members.shared, SEED)
    # Who is known by now makes no other brief of it.
    members.shared.post("/post", json={"from": "charlie", "body": "hello"})
    again = sent(members.shared, SEED)
    assert (again["id"], again["replayed"]) == (first["id"], True)
    other = sent(members.shared, SEED.replace("2026-03-24", "2026-03-25"))
    assert other["id"] != first["id"]
    key = {"headers": {"Idempotency-Key": "k"}}
    keyed = sent(members.shared, SEED, **key)
    assert keyed["id"] != first["id"]
    assert sent(members.shared, SEED, **key)["id"] == keyed["id"]
    refusal(send(members.shared, SEED + "x", **key), 422, "key_reused")


def test_a_name_with_a_known_machine_is_a_session_of_it(members: Members) -> None:
    brief = sent(members.web1, a_brief(to="charlie (db1), bravo (nowhere)", cc=["admin"]))
    assert (brief["from"], brief["to"]) == ("web1", ["db1/charlie", "bravo", "admin"])
    assert brief["read_as"] == {"charlie (db1)": "db1/charlie", "bravo (nowhere)": "bravo"}
    assert brief["brief"]["cc"] == ["admin"]
    front, _ = as_markdown(members.db1, brief)
    assert (front["to"], front["cc"]) == (["db1/charlie", "bravo"], ["admin"])
    mine = sent(members.web1, a_brief(**{"from": "alpha (web1)", "to": "db1"}))
    assert (mine["from"], mine["verified"]) == ("web1/alpha", True)


def test_all_is_everybody(members: Members) -> None:
    brief = sent(members.web1, a_brief(to="all", action="read this"))
    assert brief["to"] == "any"
    assert "assignee" not in brief["brief"]["actions"][0]
    assert as_markdown(members.db1, brief)[0]["to"] == "all"


def test_a_text_without_front_matter_is_a_brief_too(members: Members) -> None:
    brief = sent(members.web1, "\n# The plan\r\n\nmore")
    assert brief["brief"]["title"] == "The plan"
    assert brief["body"] == "\n# The plan\r\n\nmore"


def test_json_says_the_same(members: Members) -> None:
    fields = {
        "to": "db1",
        "title": "T",
        "action": ["a", "b !low"],
        "due": "2026-03-28",
        "tags": "x, y",
        "extra": {"ticket": 12, "deep": {"list": ["0123", True]}},
        "body": "---\nnot front matter",
    }
    reply = members.web1.post("/briefs", json=fields)
    assert reply.status_code == 201, reply.json
    brief = reply.json["brief"]
    assert reply.json["tags"] == ["x", "y"]
    assert [one["priority"] for one in brief["actions"]] == ["normal", "low"]
    assert [one["due"] for one in brief["actions"]] == ["2026-03-28"] * 2
    front, body = as_markdown(members.db1, reply.json)
    assert body == b"---\nnot front matter"
    assert (front["ticket"], front["deep"]) == ("12", {"list": ["0123", "true"]})
    assert front["action"] == ["a", "b !low"]


def test_a_reply_is_in_the_thread_of_what_it_answers(members: Members) -> None:
    first = sent(members.web1, a_brief("one", to="db1", title="First"))
    again = sent(members.db1, a_brief("two", to="web1", in_reply_to=first["seq"], title="Re"))
    assert (again["in_reply_to"], again["thread"]) == (first["id"], first["id"])
    members.web1.post("/post", json={"to": "db1", "body": "three", "in_reply_to": again["id"]})
    for ref in (first["id"], again["seq"]):
        found = members.db1.get(f"/thread/{ref}").json
        assert found["thread"] == first["id"]
        assert [message["body"] for message in found["messages"]] == ["one", "two", "three"]
    page = members.db1.get(f"/thread/{first['id']}?limit=2").json
    assert (page["has_more"], page["next"]) == (True, again["seq"])
    rest = members.db1.get(f"/thread/{first['id']}?since={page['next']}").json
    assert [message["body"] for message in rest["messages"]] == ["three"]
    text = members.db1.get(f"/thread/{first['id']}?format=text").get_data(as_text=True)
    assert text.startswith(f"thread {first['id']}\n")
    assert [line for line in text.splitlines() if line.startswith("  ")] == [
        "  one",
        "  two",
        "  three",
    ]
    # No reading of a thread tells the sender that it was fetched.
    receipts = members.web1.get(f"/messages/{first['id']}/receipts").json["receipts"]
    assert receipts["db1"]["fetched"] is None


def test_briefs_are_listed_with_the_filters_of_messages(members: Members) -> None:
    one = sent(members.web1, a_brief("1", to="db1", tags="x"))
    members.web1.post("/post", json={"to": "db1", "body": "no brief"})
    two = sent(members.admin, a_brief("2", to="db1"))

    def listed(query: str) -> list[int]:
        return [found["seq"] for found in members.db1.get(f"/briefs?{query}").json["messages"]]

    assert listed("") == [one["seq"], two["seq"]]
    assert listed("from=web1") == listed("tag=x") == [one["seq"]]
    assert listed("order=desc&limit=1") == [two["seq"]]
    assert listed("unread_by=db1") == [one["seq"], two["seq"]]
    members.db1.post(f"/ack/{one['id']}")
    assert listed("unread_by=db1") == [two["seq"]]
    assert listed("to=web1") == []


def test_a_message_is_no_brief(members: Members) -> None:
    message = members.web1.post("/post", json={"to": "db1", "body": "x"}).json
    refusal(members.db1.get(f"/briefs/{message['id']}"), 404, "no_such_brief")
    refusal(members.db1.get("/briefs/99999"), 404, "not_found")
    refusal(members.db1.get("/thread/99999"), 404, "not_found")


def test_markdown_can_be_asked_for_in_the_header(members: Members) -> None:
    brief = sent(members.web1, a_brief(to="db1"))
    path = f"/briefs/{brief['id']}"
    reply = members.db1.get(path, headers={"Accept": "text/markdown"})
    assert reply.get_data(as_text=True).startswith("---\n")
    assert members.db1.get(path).json["id"] == brief["id"]
    assert members.db1.get(f"{path}?format=text").mimetype == "text/plain"


# -- what there is to do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "actions"),
    [
        ("* [ ] a @db1", [("a", "db1", "normal", None)]),
        ("1. [ ] b @role:deployer !low", [("b", "role:deployer", "low", None)]),
        ("> - [ ] quoted\n- [x] done\n- [] none\n-[ ] none", []),
        ("```\n- [ ] code\n```\n  + [ ] c", [("c", "db1/x", "normal", None)]),
        ("~~~ sh\n- [ ] a\n```\n- [ ] b\n~~~\n- [ ] c", [("c", "db1/x", "normal", None)]),
        ("- [ ] @x, now", [(", now", "db1/x", "normal", None)]),
        ("- [ ] d due:soon !loud", [("d due:soon !loud", "db1/x", "normal", None)]),
        ("- [ ] !high @db1 due:2026-03-28", []),
        ("- [ ] e due:2026-02-30", [("e due:2026-02-30", "db1/x", "normal", None)]),
    ],
)
def test_checkboxes_are_actions(members: Members, body: str, actions: list[Any]) -> None:
    brief = sent(members.web1, a_brief(body, to="db1/x"))
    found = [
        (one["title"], one.get("assignee"), one["priority"], one.get("due"))
        for one in brief["brief"].get("actions", [])
    ]
    assert found == actions


def test_a_name_in_a_checkbox_that_nobody_has_is_told_and_refuses_nothing(members: Members) -> None:
    brief = sent(members.web1, a_brief("- [ ] ask @admn\n- [ ] bump @babel/core", to="db1"))
    assert brief["brief"]["actions"] == [
        {"title": "ask @admn", "priority": "normal"},
        {"title": "bump @babel/core", "priority": "normal"},
    ]
    warnings = [text for text in brief["warnings"] if "action" in text]
    assert warnings[0].startswith("admn is not known; did you mean admin?")


def test_of_many_checkboxes_the_first_hundred_are_actions(members: Members) -> None:
    brief = sent(members.web1, a_brief("- [ ] x\n" * 101, to="db1"))
    assert len(brief["brief"]["actions"]) == 100
    assert "Only the first 100 actions were made." in brief["warnings"]


# -- what is wrong names its line ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "code", "line"),
    [
        ("---\ntitle: x\ndate: tomorrow\n---\nb", 400, "bad_field", 3),
        ("---\ndue: 2026-03-28T10:00\n---\nb", 400, "bad_field", 2),
        ("---\ndue: 0000-01-01\n---\nb", 400, "bad_field", 2),
        ("---\ntitle: x\nfrom: db1\n---\nb", 403, "not_your_name", 3),
        ("---\nfrom: db1 (db1)\n---\nb", 403, "not_your_name", 2),
        ("---\n\nto: a b\n---\nb", 400, "bad_field", 3),
        ("---\nto: [any, db1]\n---\nb", 400, "bad_field", 2),
        ("---\nto: {a: b}\n---\nb", 400, "bad_field", 2),
        ("---\npriority: medium\n---\nb", 400, "bad_field", 2),
        ("---\nin_reply_to: 999999\n---\nb", 422, "unknown_reply", 2),
        ("---\ntags: 'a,,b'\n---\nb", 400, "bad_field", 2),
        ("---\naction: [a, [b]]\n---\nb", 400, "bad_field", 2),
        ("---\na: 1\nb: 2\na: 3\n---\nb", 400, "bad_brief", 4),
        ("---\na: &x 1\nb: *x\n---\nb", 400, "bad_brief", 2),
        ("---\na: !!python/object:os.system x\n---\nb", 400, "bad_brief", 2),
        ("---\na: [1\n---\nb", 400, "bad_brief", 3),
        ('---\na: "\\0"\n---\nb', 400, "bad_brief", 2),
        ('---\na: "\\ud800"\n---\nb', 400, "bad_brief", 2),
        ("---\na: \x07\n---\nb", 400, "bad_brief", 2),
        ("---\n- a\n---\nb", 400, "bad_brief", 2),
        ("---\n? [a]\n: b\n---\nb", 400, "bad_brief", 2),
        (f"---\na: {'[' * 20}{']' * 20}\n---\nb", 400, "bad_brief", 2),
        (f"---\nb: 1\na: {'[{x: ' * 20}\n---\nb", 400, "bad_brief", 3),
        (f"---\na: [{'x,' * 1001}]\n---\nb", 400, "bad_brief", 2),
        ("---\ntitle: never closed\n", 400, "bad_brief", 1),
        ("---\ntitle: x\n---\n", 400, "missing_field", None),
        ("---\n---\n\0", 400, "bad_json", None),
        (f"---\na: {'x' * 17_000}\n---\nb", 413, "too_large", None),
        ("x" * 70_000, 413, "too_large", None),
        ("x" * 120_000, 413, "too_large", None),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(
    members: Members, text: str, status: int, code: str, line: int | None
) -> None:
    before = len(members.records("message"))
    error = refusal(send(members.web1, text), status, code)
    assert error.get("line") == line
    assert line is None or error["message"].startswith(f"Line {line}: ")
    assert len(members.records("message")) == before


def test_bytes_that_are_no_text_are_refused(members: Members) -> None:
    for text in (b"---\n---\n\xff", b"a\0b"):
        reply = send(members.web1, text)
        refusal(reply, 400, "bad_json")
        assert "JSON" not in reply.json["hint"]
    refusal(send(members.web1, "{}", kind="application/pdf"), 415, "unsupported_media")
    refusal(members.web1.post("/briefs", json={"body": "x", "tittle": "y"}), 400, "unknown_field")
    refusal(members.web1.post("/briefs?to=db1", data="x"), 400, "unknown_field")
    known = {"body": "x", "extra": {"title": "y"}}
    refusal(members.web1.post("/briefs", json=known), 400, "bad_field")


def test_an_unknown_name_is_refused_where_that_is_asked_for(members: Members) -> None:
    fields = {"body": "x", "to": "dbl", "strict": True}
    refusal(members.web1.post("/briefs", json=fields), 404, "unknown_recipient")


# -- the same comes out --------------------------------------------------------------------------


def test_the_traps_of_yaml_come_out_as_they_were_written(members: Members) -> None:
    front = "---\nanswer: no\ncode: 0123\nsex: 1:30\nwhen: 2026-03-24\nn: 1e3\n"
    front += "null: ~\n<<: x\n---\n"
    brief = sent(members.web1, front + "b")
    written = {"answer": "no", "code": "0123", "sex": "1:30", "when": "2026-03-24", "n": "1e3"}
    assert brief["brief"]["extra"] == {**written, "null": "~", "<<": "x"}
    found = members.web1.get(f"/briefs/{brief['id']}?format=markdown").get_data(as_text=True)
    assert "\ncode: 0123\n" in found
    assert "\nanswer: no\n" in found


_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
_KEYS = _TEXT.filter(lambda key: len(key) <= 128)
_VALUES = st.recursive(
    _TEXT | st.sampled_from(["no", "0123", "2026-03-24", "~", "- a", "a: b", "#x", "---"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_LINES = st.lists(
    st.sampled_from(["---", "- [ ] x", "\r", "```", "> a", "\u2028", "\ufeff", "# é", ""]) | _TEXT
)


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    folder = tmp_path_factory.mktemp("briefs")
    yield from open_members(Config(data_dir=folder / "data", fsync="never"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    front=st.dictionaries(_KEYS, _VALUES, max_size=4),
    title=st.none() | st.sampled_from(["no", "0123", "a: b", "ünï #1", "- x", "'q\"", "T 👩‍👩‍👧"]),
    body=_LINES.map("\n".join).filter(lambda text: 0 < len(text.encode()) < 60_000),
    is_crlf=st.booleans(),
    signature=st.sampled_from(["", "// web1, over", "---"]),
)
def test_any_text_with_any_front_matter_comes_out_the_same(
    shared_hub: Members,
    front: dict[str, Any],
    title: str | None,
    body: str,
    is_crlf: bool,
    signature: str,
) -> None:
    from bus.model.briefs import FRONT

    shared_hub.web1.call("PUT", "/signature", json={"signature": signature})

    extra = {key: value for key, value in front.items() if key not in FRONT}
    said = {**extra, "to": "db1", **({} if title is None else {"title": title})}
    written = yaml.safe_dump(said, allow_unicode=False, width=200)
    if is_crlf:
        written = written.replace("\n", "\r\n")
    # A key of its own: the same text may have been posted with another signature.
    key = {"Idempotency-Key": os.urandom(8).hex()}
    brief = sent(shared_hub.web1, f"---\n{written}---\n{body}", headers=key)
    found = shared_hub.db1.get(f"/briefs/{brief['id']}").json
    assert found["body"] == body
    assert found["brief"].get("extra", {}) == extra
    reply = shared_hub.db1.get(f"/briefs/{brief['id']}?format=markdown").get_data()
    again = sent(shared_hub.web1, reply)
    second = shared_hub.db1.get(f"/briefs/{again['id']}").json
    assert second["body"] == body
    assert second["brief"].get("extra", {}) == extra
    # Signed once: what it says itself counts, not what is added to it.
    assert second["brief"].get("signature", "") == found["brief"].get("signature", "") == signature
    assert second["brief"]["title"] == found["brief"]["title"]
    assert title is None or second["brief"]["title"] == title


# -- private mail, and the log -------------------------------------------------------------------


def test_whoever_may_not_see_a_brief_does_not(config: Config) -> None:
    for private in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        private.app.extensions["credentials"].add("web2", SECRET, "member")
        web2 = As(private.app, "web2")
        brief = sent(private.web1, a_brief("a secret", to="db1", action="secret"))
        for path in (f"/briefs/{brief['id']}?format=markdown", f"/thread/{brief['id']}"):
            refusal(web2.get(path), 404, "not_found")
        assert web2.get("/briefs").json["messages"] == []
        public = sent(web2, a_brief("open", thread=brief["id"]))
        found = web2.get(f"/thread/{public['id']}").json["messages"]
        assert [message["body"] for message in found] == ["open"]
        assert as_markdown(private.db1, brief)[1] == b"a secret"


def test_a_fresh_replay_of_the_log_gives_the_same(members: Members, config: Config) -> None:
    sent(members.shared, SEED)
    before = members.admin.get("/briefs").json
    members.hub.index.close()
    (config.data_dir / "index.db").unlink()
    for again in open_members(config):
        assert again.admin.get("/briefs").json == before


def test_many_open_brackets_cost_no_more_than_many_values(members: Members) -> None:
    def cost(front: str, status: int) -> float:
        times = []
        for _ in range(3):
            began = time.thread_time()
            reply = members.web1.post(
                "/briefs", data=f"---\n{front}\n---\nb", content_type=MARKDOWN
            )
            times.append(time.thread_time() - began)
            assert reply.status_code == status, reply.json
        return min(times)

    many = "to: db1\na:\n" + "- xxxxxxxxxxxx\n" * 900
    assert cost(f"a: {'[' * 16_000}", 400) < cost(many, 201)


def test_an_emoji_that_json_has_escaped_is_one_character(members: Members) -> None:
    said = sent(members.web1, '---\nto: "db1"\ntitle: "\\ud83c\\udf89 \\U0001f389"\n---\nx')
    assert said["brief"]["title"] == "🎉 🎉"
    refused = send(members.web1, '---\nto: db1\ntitle: "\\udf89\\ud83c"\n---\nx')
    assert (refused.status_code, refused.json["line"]) == (400, 3)


def test_who_is_in_to_or_cc_has_what_is_asked_of_them_known_or_not(members: Members) -> None:
    text = "- [ ] a @charlie\n- [ ] b @dora\n- [ ] c @nobody\n- [ ] d @all"
    brief = sent(members.web1, a_brief(text, to="charlie", cc="dora"))
    found = [(one["title"], one.get("assignee")) for one in brief["brief"]["actions"]]
    assert found == [("a", "charlie"), ("b", "dora"), ("c @nobody", None), ("d @all", None)]


def test_a_due_that_is_no_date_is_told(members: Members) -> None:
    brief = sent(members.web1, a_brief("- [ ] a due:tomorrow\n- [ ] b due:2026-03-28", to="db1"))
    assert [one["title"] for one in brief["brief"]["actions"]] == ["a due:tomorrow", "b"]
    (warning,) = [text for text in brief["warnings"] if "due" in text]
    assert warning.startswith('"due:tomorrow" is no date')


def test_the_shared_user_says_who_writes(members: Members) -> None:
    refused = members.shared.post("/briefs", json={"to": "db1", "body": "x"})
    assert (refused.status_code, refused.json["error"]) == (400, "missing_field")
    assert refused.json["message"] == "`from` is missing."

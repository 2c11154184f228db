"""POST /hooks/claude-code: what a model is shown of its mail, and when."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from bus.system import hurry
from tests import hostile
from tests.fleet import As
from tests.web.conftest import Members, refusal

ALPHA = "web1/alpha"


def post(caller: As, to: Any, body: str, **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def answer(caller: As, event: str, name: str = ALPHA, query: str = "", **fields: Any) -> Any:
    # A machine on which the tests run may be slower than a hook may be.
    reply = caller.post(
        f"/hooks/claude-code?name={name}&within_ms=10000{query}",
        json={"hook_event_name": event, "session_id": "one", **fields},
    )
    assert reply.status_code == 200, reply.json
    return reply.json


def shown(caller: As, event: str, name: str = ALPHA, query: str = "", **fields: Any) -> str:
    """What an event puts into the context; empty for nothing."""
    found = answer(caller, event, name, query, **fields)
    if not found:
        return ""
    if event == "BusWake":
        return str(found["text"])
    assert found["hookSpecificOutput"]["hookEventName"] == event
    return str(found["hookSpecificOutput"]["additionalContext"])


def test_the_start_shows_what_waits_in_a_frame(members: Members) -> None:
    post(members.db1, "web1", "later", priority="fyi")
    urgent = post(members.db1, ALPHA, "first", priority="urgent", tags=["deploy"])
    about, text = shown(members.web1, "SessionStart").split("\n", 1)
    assert about.startswith("You are web1/alpha on claude-bus.")
    assert text.startswith('<bus-mail for="web1/alpha" unread="2">\n')
    assert text.endswith("\n</bus-mail>")
    assert text.index("first") < text.index("later")
    line = f"URGENT now from db1 to web1/alpha #deploy trust=agent ({urgent['id']})"
    refs = [found.partition(" ")[0] for found in text.split("\n") if found.endswith(line)]
    assert re.fullmatch(rf"{urgent['seq']}\.[a-z][0-9a-z]{{3}}", *refs)


def test_the_line_about_oneself_names_ones_own_machine_first_and_few_of_each_other(
    members: Members,
) -> None:
    for number in range(9):
        members.db1.post("/agents", json={"session": f"{number}{'s' * 60}", "pid": number + 1})
    reply = members.shared.post("/agents", json={"name": "guest/helper"})
    assert reply.status_code == 200, reply.json
    for session in ("alpha", "zulu"):
        members.web1.post("/agents", json={"name": f"web1/{session}"})
    line = shown(members.web1, "SessionStart")
    assert line.startswith("You are web1/alpha on claude-bus. Live: web1, web1/zulu, ")
    assert re.findall(r"guest\S* \S+(?=[,.])| and \d+ more", line) == [
        *("guest/helper (unverified)", " and 7 more")
    ]
    assert f" db1/0{'s' * 34}…" in line
    assert len(line) < 400


def test_nothing_is_said_where_nothing_waits(members: Members) -> None:
    assert answer(members.web1, "SessionStart", "web1") == {}
    for event in ("UserPromptSubmit", "PostToolUse", "Stop", "Notification", "X"):
        assert answer(members.web1, event) == {}


def test_a_prompt_shows_only_what_is_new(members: Members) -> None:
    post(members.db1, "web1", "before")
    assert "before" in shown(members.web1, "SessionStart")
    assert shown(members.web1, "UserPromptSubmit") == ""
    post(members.db1, "web1", "between", priority="fyi")
    text = shown(members.web1, "UserPromptSubmit")
    assert "between" in text and "before" not in text
    assert shown(members.web1, "UserPromptSubmit") == ""


@pytest.mark.parametrize(
    ("event", "query", "expected"),
    [
        ("UserPromptSubmit", "", {"urgent", "normal", "fyi", "all"}),
        ("PostToolUse", "", {"urgent"}),
        ("Stop", "", {"urgent", "normal", "all"}),
        ("BusWake", "", {"urgent", "normal"}),
        ("BusWake", "&wake=urgent", {"urgent"}),
        ("BusWake", "&wake=off", set()),
    ],
)
def test_each_event_shows_what_it_may(
    members: Members, event: str, query: str, expected: set[str]
) -> None:
    answer(members.web1, "SessionStart")
    for priority in ("urgent", "normal", "fyi"):
        post(members.db1, ALPHA, f"body {priority}", priority=priority)
    post(members.db1, "any", "body all")
    words = set(re.findall(r"^  body (\w+)$", shown(members.web1, event, query=query), re.M))
    assert words == expected
    rest = set(re.findall(r"^  body (\w+)$", shown(members.web1, "UserPromptSubmit"), re.M))
    assert rest == {"urgent", "normal", "fyi", "all"} - expected


def test_a_stop_that_follows_a_stop_shows_nothing(members: Members) -> None:
    answer(members.web1, "SessionStart")
    post(members.db1, ALPHA, "hello")
    assert answer(members.web1, "Stop", stop_hook_active=True) == {}
    assert "hello" in shown(members.web1, "Stop")


def test_a_subagent_is_shown_nothing(members: Members) -> None:
    post(members.db1, ALPHA, "hello")
    assert answer(members.web1, "UserPromptSubmit", agent_id="a1") == {}
    assert "hello" in shown(members.web1, "UserPromptSubmit")


def test_without_a_start_the_first_prompt_shows_what_waits(members: Members) -> None:
    post(members.db1, "web1", "hello")
    reply = members.web1.post(
        "/hooks/claude-code?within_ms=10000",
        json={"hook_event_name": "UserPromptSubmit", "session_id": "x"},
    )
    assert "hello" in reply.json["hookSpecificOutput"]["additionalContext"]


def test_a_conversation_that_begins_anew_is_shown_what_waits_again(members: Members) -> None:
    post(members.db1, ALPHA, "hello")
    assert "hello" in shown(members.web1, "SessionStart")
    assert "hello" in shown(members.web1, "SessionStart", source="compact")
    assert "hello" in shown(members.web1, "SessionStart", session_id="two", source="clear")


def test_what_was_shown_stays_unread_and_the_trace_says_when(members: Members) -> None:
    message = post(members.db1, ALPHA, "hello")
    shown(members.web1, "SessionStart")
    assert members.web1.bodies(f"unread_by={ALPHA}") == ["hello"]
    steps = members.db1.get(f"/messages/{message['id']}/trace").json["trace"][ALPHA]
    assert [(step["step"], step.get("by")) for step in steps if step["step"] != "fetched"] == [
        ("queued", None),
        ("shown", "start"),
    ]


def test_what_was_acknowledged_is_not_shown(members: Members) -> None:
    answer(members.web1, "SessionStart")
    message = post(members.db1, ALPHA, "hello")
    assert members.web1.post(f"/ack/{message['id']}", json={"reader": ALPHA}).status_code == 200
    assert shown(members.web1, "UserPromptSubmit") == ""


def test_a_machines_mail_wakes_one_of_its_sessions(members: Members) -> None:
    bravo = "web1/bravo"
    for name in (ALPHA, bravo):
        registered = members.web1.post("/agents", json={"name": name, "session_id": name})
        assert registered.status_code == 200, registered.json
        answer(members.web1, "SessionStart", name)
    post(members.db1, "web1", "hello")
    assert "hello" in shown(members.web1, "BusWake", ALPHA)
    assert shown(members.web1, "BusWake", bravo) == ""


def test_who_could_not_be_woken_is_shown_it_at_the_prompt(members: Members) -> None:
    answer(members.web1, "SessionStart")
    message = post(members.db1, ALPHA, "hello")
    assert "hello" in shown(members.web1, "BusWake", query="&way=socket")
    assert answer(members.web1, "BusNotWoken", seqs=[message["seq"]]) == {}
    assert "hello" in shown(members.web1, "UserPromptSubmit")


@pytest.mark.parametrize(
    "seqs", [5, True, "x", {}, [True], ["1"], [0], [-1], [1.5], [9223372036854775808], [None]]
)
def test_what_is_no_list_of_messages_was_not_taken_back(members: Members, seqs: Any) -> None:
    event = {"hook_event_name": "BusNotWoken", "session_id": "one", "seqs": seqs}
    reply = members.web1.post(f"/hooks/claude-code?name={ALPHA}", json=event)
    assert refusal(reply, 400, "bad_field")["field"] == "seqs"


def test_a_tag_that_looks_like_a_reference_stands_in_quotes(members: Members) -> None:
    tags = ["412.k7f3", "01K7ZZZZZZZZZZZZZZZZZZZZZZ.k7f3", "v1.2"]
    post(members.db1, ALPHA, "hello", tags=tags)
    text = shown(members.web1, "SessionStart")
    assert ' #"412.k7f3" #"01K7ZZZZZZZZZZZZZZZZZZZZZZ.k7f3" #v1.2 trust=agent' in text


def test_an_event_tells_the_roster_what_the_session_does(members: Members) -> None:
    assert members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"}).status_code == 200
    for event, turn in (("UserPromptSubmit", "working"), ("Notification", "awaiting_input")):
        answer(members.web1, event)
        assert members.db1.get(f"/agents/{ALPHA}").json["agent"]["turn"] == turn


def turn(members: Members) -> str:
    """What the session does, as the roster has it."""
    return str(members.db1.get(f"/agents/{ALPHA}").json["agent"]["turn"])


def test_hooks_that_cross_count_in_the_order_in_which_they_began(members: Members) -> None:
    members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"})
    answer(members.web1, "SessionStart")
    answer(members.web1, "Stop", began_ms=2_000)
    answer(members.web1, "UserPromptSubmit", began_ms=1_000)  # of the turn that has ended
    assert turn(members) == "idle"
    post(members.db1, ALPHA, "hello")
    woken = answer(members.web1, "BusWake")
    assert ("hello" in woken["text"], woken["working"]) == (True, False)
    answer(members.web1, "UserPromptSubmit", began_ms=2_000)
    assert turn(members) == "working"
    answer(members.web1, "Stop", began_ms=2_001)
    assert turn(members) == "idle"


def test_hooks_that_do_not_say_when_they_began_count_in_the_order_in_which_they_come(
    members: Members,
) -> None:
    members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"})
    answer(members.web1, "Stop", began_ms=2_000)
    answer(members.web1, "UserPromptSubmit")
    assert turn(members) == "working"
    answer(members.web1, "Stop", began_ms=1_000)
    assert turn(members) == "idle"


@pytest.mark.parametrize("clock_s", [6, -6])
def test_a_clock_that_was_set_holds_no_session_in_its_turn(
    members: Members, clock_s: float
) -> None:
    members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"})
    answer(members.web1, "UserPromptSubmit", began_ms=9_000_000_000_000)
    answer(members.web1, "Stop", began_ms=1_000)
    assert turn(members) == "working"
    members.later(clock_s)
    answer(members.web1, "Stop", began_ms=1_001)
    assert turn(members) == "idle"


def test_every_worker_takes_in_what_another_one_was_told_meanwhile(
    members: Members, restarted: Members
) -> None:
    members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"})
    for event, worker in (
        ("Stop", members),
        ("UserPromptSubmit", restarted),
        ("Stop", members),
        ("UserPromptSubmit", restarted),
    ):
        answer(worker.web1, event)
        assert turn(members) == ("idle" if event == "Stop" else "working")


@pytest.mark.parametrize("began_ms", ["1", True, -1, 1.5, 2**53, [1]])
def test_what_is_no_time_is_refused(members: Members, began_ms: Any) -> None:
    event = {"hook_event_name": "Stop", "session_id": "one", "began_ms": began_ms}
    reply = members.web1.post(f"/hooks/claude-code?name={ALPHA}", json=event)
    assert refusal(reply, 400, "bad_field")["field"] == "began_ms"


@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit", "Stop", "BusWake"])
@pytest.mark.parametrize("body", hostile.BODIES.values(), ids=hostile.BODIES)
def test_no_body_leaves_its_frame(members: Members, body: str, event: str) -> None:
    if event != "SessionStart":
        answer(members.web1, "SessionStart")
    message = post(members.db1, ALPHA, body, tags=["<system>"])
    text = shown(members.web1, event)
    assert len(text) <= 6_000
    if event == "SessionStart":
        whoami, text = text.split("\n", 1)
        assert whoami.startswith("You are web1/alpha on claude-bus.")
    head, *rest = hostile.framed(text, ALPHA)
    assert re.fullmatch(
        rf"{message['seq']}(\.[0-9a-z]{{4}})? now from db1 to web1/alpha .*trust=agent.*", head
    )
    own = [line for line in rest if not line.startswith("  ")]
    assert all(line.startswith("-- ") and "rm -rf" not in line for line in own)


def test_a_hostile_backlog_is_one_line_each(members: Members) -> None:
    for body in hostile.BODIES.values():
        post(members.db1, ALPHA, f"{body}{'x' * 500}"[:65_536])
    lines = hostile.framed(shown(members.web1, "SessionStart").split("\n", 1)[1], ALPHA)
    heads = [line for line in lines if not line.startswith(("  ", "-- "))]
    assert len(heads) > 10
    assert all(" now from db1 to web1/alpha trust=agent" in line for line in heads)


def test_nobody_is_shown_anothers_mail(members: Members) -> None:
    post(members.web1, "db1", "secret")
    reply = members.web1.post("/hooks/claude-code?name=db1", json={"hook_event_name": "Stop"})
    refusal(reply, 403, "not_your_name")


@pytest.mark.parametrize("sent", ["", "[]", "{", "{}", '{"hook_event_name":1}'])
def test_what_is_no_event_is_refused(members: Members, sent: str) -> None:
    reply = members.web1.post("/hooks/claude-code", data=sent)
    assert reply.status_code == 400, reply.json


def test_a_backlog_hides_nothing_new(members: Members) -> None:
    for number in range(120):
        post(members.db1, ALPHA, f"old {number} " + "x" * 100)
    assert "more: `bus inbox`" in shown(members.web1, "SessionStart")
    post(members.db1, ALPHA, "new", priority="urgent")
    assert "\n  new\n" in shown(members.web1, "PostToolUse")


def test_made_up_conversations_are_forgotten(members: Members) -> None:
    post(members.db1, ALPHA, "hello")
    for number in range(1_010):
        answer(members.web1, "SessionStart", session_id=f"made up {number}")
    shown_ = members.hub.live.shown
    kept = [n for n in range(1_010) if shown_.begun(ALPHA, f"made up {n}") is not None]
    assert (len(kept), kept[-1]) == (1_000, 1_009)
    message = members.db1.get("/messages?limit=1").json["messages"][0]
    assert len(shown_.of_message(message["seq"])) == 1_000


def test_while_a_session_works_the_answer_says_that_mail_is_held_back(members: Members) -> None:
    members.web1.post("/agents", json={"name": ALPHA})
    answer(members.web1, "SessionStart")
    answer(members.web1, "UserPromptSubmit")
    sent = post(members.db1, ALPHA, "hello")
    held = answer(members.web1, "BusWake")
    assert held == {"text": "", "seqs": [], "working": True}
    answer(members.web1, "Stop", stop_hook_active=True)
    woken = answer(members.web1, "BusWake")
    assert (woken["seqs"], woken["working"]) == ([sent["seq"]], False)
    assert "hello" in woken["text"]


# -- in time ---------------------------------------------------------------------------------------


class Stopwatch:
    """The time by which answers are late, and an index that takes some of it whenever it is brought
    up.
    """

    def __init__(self, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
        self.takes_s = self.now = 0.0
        catch_up = members.hub.index.catch_up

        def slow(**given: Any) -> bool:
            self.now += self.takes_s
            return catch_up(**given)

        monkeypatch.setattr(hurry, "now", lambda: self.now)
        monkeypatch.setattr(members.hub.index, "catch_up", slow)


@pytest.fixture
def stopwatch(members: Members, monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    return Stopwatch(members, monkeypatch)


@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"])
@pytest.mark.parametrize("query", ["", "&counts=1"])
def test_an_answer_that_would_be_late_is_empty_and_nothing_was_shown(
    members: Members, stopwatch: Stopwatch, event: str, query: str
) -> None:
    answer(members.web1, "SessionStart")
    message = post(members.db1, ALPHA, "hello", priority="urgent")
    stopwatch.takes_s = 10
    assert answer(members.web1, event, query=query) == {}
    stopwatch.takes_s = 0
    steps = members.db1.get(f"/messages/{message['id']}/trace").json["trace"][ALPHA]
    assert [step["step"] for step in steps] == ["queued"]
    assert "hello" in shown(members.web1, event)


def test_a_conversation_whose_begin_was_late_has_not_begun(
    members: Members, stopwatch: Stopwatch
) -> None:
    post(members.db1, ALPHA, "hello")
    stopwatch.takes_s = 10
    assert answer(members.web1, "UserPromptSubmit") == {}
    stopwatch.takes_s = 0
    assert "hello" in shown(members.web1, "UserPromptSubmit")


def test_who_has_more_time_waits_and_a_wake_is_never_late(
    members: Members, stopwatch: Stopwatch
) -> None:
    answer(members.web1, "SessionStart")
    stopwatch.takes_s = 0.1
    post(members.db1, ALPHA, "first")
    event = {"hook_event_name": "UserPromptSubmit", "session_id": "one"}
    assert members.web1.post(f"/hooks/claude-code?name={ALPHA}", json=event).json == {}
    assert "first" in shown(members.web1, "UserPromptSubmit")
    stopwatch.takes_s = 10
    post(members.db1, ALPHA, "second")
    assert "second" in shown(members.web1, "BusWake")


@pytest.mark.parametrize("begins", [False, True])
def test_nothing_is_shown_that_cannot_be_marked_in_time(members: Members, begins: bool) -> None:
    if not begins:
        answer(members.web1, "SessionStart")
    post(members.db1, ALPHA, "hello")
    with closing(sqlite3.connect(members.hub.presence._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert answer(members.web1, "UserPromptSubmit") == {}
        other.execute("ROLLBACK")
    assert "hello" in shown(members.web1, "UserPromptSubmit")
    assert shown(members.web1, "UserPromptSubmit") == ""


def test_after_tools_a_conversation_is_shown_mail_once_in_thirty_seconds(
    members: Members, restarted: Members
) -> None:
    for session_id in ("one", "two"):
        answer(members.web1, "SessionStart", session_id=session_id)
    post(members.db1, ALPHA, "fire", priority="urgent")
    assert "fire" in shown(members.web1, "PostToolUse")
    post(members.db1, ALPHA, "flood", priority="urgent")
    members.later(0)
    restarted.hub.journal.clock.move(29)
    assert answer(restarted.web1, "PostToolUse") == {}  # another worker knows it, too
    assert "flood" in shown(members.web1, "PostToolUse", session_id="two")
    members.later(31)
    assert "flood" in shown(members.web1, "PostToolUse")
    post(members.db1, ALPHA, "storm", priority="urgent")
    assert answer(members.web1, "PostToolUse") == {}
    assert "storm" in shown(members.web1, "BusWake")


def test_a_look_that_found_nothing_counts_and_a_late_one_does_not(
    members: Members, stopwatch: Stopwatch
) -> None:
    answer(members.web1, "SessionStart")
    stopwatch.takes_s = 10
    assert answer(members.web1, "PostToolUse") == {}
    stopwatch.takes_s = 0
    assert answer(members.web1, "PostToolUse") == {}
    post(members.db1, ALPHA, "fire", priority="urgent")
    assert answer(members.web1, "PostToolUse") == {}
    members.later(31)
    assert "fire" in shown(members.web1, "PostToolUse")


@pytest.mark.parametrize("within", ["0", "9", "10001", "x"])
def test_a_time_to_answer_that_makes_no_sense_is_refused(members: Members, within: str) -> None:
    reply = members.web1.post(
        f"/hooks/claude-code?within_ms={within}", json={"hook_event_name": "Stop"}
    )
    refusal(reply, 400, "bad_field")


def test_a_late_answer_still_tells_the_roster_what_the_session_does(
    members: Members, stopwatch: Stopwatch
) -> None:
    assert members.web1.post("/agents", json={"name": ALPHA, "session_id": "1"}).status_code == 200
    answer(members.web1, "UserPromptSubmit")
    stopwatch.takes_s = 10
    assert answer(members.web1, "Stop", query="&counts=1") == {}
    stopwatch.takes_s = 0
    assert members.db1.get(f"/agents/{ALPHA}").json["agent"]["turn"] == "idle"


def test_what_nobody_is_shown_does_not_stand_before_what_is_urgent(members: Members) -> None:
    shown(members.web1, "SessionStart")
    for number in range(150):
        post(members.db1, "any", f"noise {number}", priority="fyi")
    urgent = post(members.admin, ALPHA, "the house burns", priority="urgent")
    woken = answer(members.web1, "BusWake", query="&wake=urgent")
    assert woken["seqs"] == [urgent["seq"]]
    assert "the house burns" in woken["text"]


def test_one_who_sends_many_hides_nobody_and_what_is_not_shown_is_shown_later(
    members: Members,
) -> None:
    shown(members.web1, "SessionStart")
    sent = [post(members.db1, ALPHA, "x" * 480, priority="urgent")["seq"] for _ in range(60)]
    one = post(members.admin, ALPHA, "from the admin", priority="urgent")["seq"]
    first = shown(members.web1, "UserPromptSubmit")
    assert "from the admin" in first
    assert "more: `bus inbox`" in first
    trace = [members.admin.get(f"/messages/{seq}/trace").json["trace"][ALPHA] for seq in sent]
    told = [any(step["step"] == "shown" for step in steps) for steps in trace]
    assert any(told) and not all(told)
    seen = set()
    for _ in range(20):
        text = shown(members.web1, "UserPromptSubmit")
        seen |= {int(seq) for seq in re.findall(r"^(\d+)(?:\.\w{4})? URGENT", text, re.M)}
    assert seen == {seq for seq, was in zip(sent, told, strict=True) if not was}
    assert one not in seen


def test_the_title_of_a_brief_is_shown_unless_its_text_begins_with_it(members: Members) -> None:
    members.db1.post("/briefs", json={"to": "web1", "body": "# Green\n"})
    members.db1.post("/briefs", json={"to": "web1", "title": "A plan " + "x" * 200, "body": "y"})
    text = shown(members.web1, "SessionStart")
    assert 'BRIEF "A plan xxx' in text and "x" * 80 not in text
    assert text.count("BRIEF") == 1 and "# Green" in text

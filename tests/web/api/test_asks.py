"""Asks: a question stays open until it is answered, declined or withdrawn, or its time is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bus.config import Config
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members, refusal


def ask(caller: As, to: Any = "db1", question: str = "Deploy now?", **fields: Any) -> Any:
    reply = caller.post("/ask", json={"to": to, "question": question, **fields})
    assert reply.status_code == 201, reply.json
    return reply.json


def say(caller: As, asked: Any, what: str = "answer", **fields: Any) -> Any:
    return caller.post(f"/ask/{asked['id']}/{what}", json=fields)


def told(reply: Any) -> Any:
    assert reply.status_code == 200, reply.json
    return reply.json["ask"]


def state(caller: As, asked: Any) -> Any:
    return told(caller.get(f"/ask/{asked['id']}"))


def owed(caller: As, name: str) -> list[int]:
    return [one["seq"] for one in caller.get(f"/asks?owed_by={name}").json["asks"]]


def mail(caller: As, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(
        f"/messages?unread_by={query or caller.name}&machine=1"
    ).json["messages"]
    return found


# -- asking --------------------------------------------------------------------------------------


def test_a_question_is_a_message_like_any_other(members: Members) -> None:
    asked = ask(members.web1, options=["yes", "no"], by=600, default="no", thread="release")
    assert (asked["body"], asked["to"], asked["thread"]) == ("Deploy now?", "db1", "release")
    assert asked["delivery"]["db1"]["unread"] == 1
    (message,) = mail(members.db1)
    terms = {"state": "open", "need": 1, "options": ["yes", "no"], "default": "no"}
    assert message["ask"] == {**terms, "by": asked["ask"]["by"]}
    assert members.db1.get("/search?q=deploy").json["count"] == 1
    line = members.db1.get("/messages?unread_by=db1&format=text").get_data(as_text=True)
    assert "QUESTION open options=yes,no" in line.splitlines()[0]


def test_the_same_key_asks_once(members: Members) -> None:
    first = ask(members.web1, by=600, client_id="k")
    members.later(5)
    again = ask(members.web1, by=600, client_id="k")
    assert (again["id"], again["replayed"]) == (first["id"], True)
    other = {"to": "db1", "question": "Deploy now?", "client_id": "k"}
    refusal(members.web1.post("/ask", json=other), 422, "key_reused")
    refusal(
        members.web1.post("/post", json={"to": "db1", "body": "Deploy now?", "client_id": "k"}),
        422,
        "key_reused",
    )


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"to": None}, 400, "missing_field"),
        ({"to": "any"}, 400, "bad_field"),
        ({"to": ["any", "db1"]}, 400, "bad_field"),
        ({"question": ""}, 400, "bad_field"),
        ({"options": []}, 400, "bad_field"),
        ({"options": ["a", "a"]}, 400, "bad_field"),
        ({"options": ["a,b"]}, 400, "bad_field"),
        ({"need": 0}, 400, "bad_field"),
        ({"need": True}, 400, "bad_field"),
        ({"need": 2}, 422, "impossible_ask"),
        ({"default": "yes"}, 422, "impossible_ask"),
        ({"default": "x", "by": 60, "options": ["a"]}, 422, "impossible_ask"),
        ({"by": 0}, 400, "bad_field"),
        ({"ack_by": 5}, 400, "unknown_field"),
        ({"from": "db1"}, 403, "not_your_name"),
        ({"strict": True, "to": "nobody9"}, 404, "unknown_recipient"),
    ],
)
def test_a_question_that_nobody_could_answer_is_refused(
    members: Members, fields: dict[str, Any], status: int, code: str
) -> None:
    given = {"to": "db1", "question": "?", **fields}
    body = {name: value for name, value in given.items() if value is not None}
    refusal(members.web1.post("/ask", json=body), status, code)
    assert members.records("message") == []


# -- answering -----------------------------------------------------------------------------------


def test_an_answer_closes_the_ask_and_reaches_the_asker(members: Members) -> None:
    asked = ask(members.web1, options=["yes", "no"], priority="urgent")
    found = told(say(members.db1, asked, option="yes", text="all green"))
    assert (found["state"], found["waiting"], found["waiting_for"]) == ("answered", 0, [])
    (answer,) = found["answers"]
    (reply,) = mail(members.web1)
    assert {**answer, "name": "db1", "option": "yes", "text": "all green"} == answer
    assert (reply["id"], reply["from"], reply["to"]) == (answer["id"], "db1", "web1")
    assert (reply["body"], reply["in_reply_to"]) == ("yes\nall green", asked["id"])
    assert (reply["thread"], reply["priority"]) == (asked["id"], "urgent")
    assert reply["answer"]["option"] == "yes" and "prior" not in reply
    assert mail(members.db1) == []  # who has answered is done with it
    assert members.db1.get(f"/messages/{asked['id']}").json["ask"]["state"] == "answered"


def test_options_are_answered_once(members: Members) -> None:
    asked = ask(members.admin, ["db1", "web1"], options=["yes", "no"])
    say(members.db1, asked, option="yes")
    error = refusal(say(members.web1, asked, option="no"), 409, "ask_answered")
    assert (error["first"]["name"], error["first"]["option"]) == ("db1", "yes")
    assert len(mail(members.admin)) == 1


def test_saying_the_same_again_changes_nothing(members: Members) -> None:
    asked = ask(members.admin, ["db1", "web1"], need=2)
    told(say(members.db1, asked, text="mine"))
    again = say(members.db1, asked, text="mine")
    assert again.json["replayed"] is True
    error = refusal(say(members.db1, asked, text="another"), 409, "ask_answered")
    assert error["first"]["text"] == "mine"
    refusal(say(members.db1, asked, "decline", reason="no time"), 409, "ask_answered")
    assert state(members.db1, asked)["state"] == "open"
    assert len(mail(members.admin)) == 1


def test_several_answers_may_be_needed(members: Members) -> None:
    asked = ask(members.admin, ["db1", "web1", "admin"], need=2)
    assert told(say(members.db1, asked, text="one"))["waiting_for"] == ["admin", "web1"]
    assert told(say(members.web1, asked, text="two"))["state"] == "answered"
    error = refusal(say(members.admin, asked, text="three"), 409, "ask_answered")
    assert [one["text"] for one in error["answers"]] == ["one", "two"]


def test_an_ask_is_declined_when_too_few_are_left(members: Members) -> None:
    asked = ask(members.admin, ["db1", "web1"], need=1)
    found = told(say(members.db1, asked, "decline", reason="not mine"))
    assert (found["state"], found["waiting_for"]) == ("open", ["web1"])
    assert owed(members.db1, "db1") == []
    found = told(say(members.web1, asked, "decline", reason="nor mine"))
    assert (found["state"], [one["reason"] for one in found["declined"]]) == (
        "declined",
        ["not mine", "nor mine"],
    )
    assert [message["body"] for message in mail(members.admin)] == [
        "Declined: not mine",
        "Declined: nor mine",
    ]
    refusal(say(members.web1, asked, "withdraw"), 403, "not_your_message")
    refusal(say(members.admin, asked, "withdraw"), 409, "ask_closed")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing_field"),
        ({"text": "yes"}, "bad_field"),
        ({"option": "maybe"}, "bad_field"),
        ({"option": "yes", "text": " "}, "bad_field"),
        ({"option": "yes", "reason": "x"}, "unknown_field"),
    ],
)
def test_only_an_option_answers_where_there_are_options(
    members: Members, fields: dict[str, Any], code: str
) -> None:
    asked = ask(members.web1, options=["yes", "no"])
    refusal(say(members.db1, asked, **fields), 400, code)
    assert state(members.web1, asked)["answers"] == []


def test_without_options_there_is_no_option(members: Members) -> None:
    asked = ask(members.web1)
    refusal(say(members.db1, asked, option="yes"), 400, "bad_field")
    refusal(say(members.db1, asked, "decline"), 400, "missing_field")


def test_only_those_who_were_asked_answer(members: Members) -> None:
    asked = ask(members.web1)
    refusal(say(members.admin, asked, text="me"), 403, "not_asked")
    refusal(say(members.admin, asked, "decline", reason="me"), 403, "not_asked")
    refusal(say(members.admin, asked, text="me", **{"from": "db1"}), 403, "not_your_name")
    refusal(say(members.web1, asked, text="me"), 403, "not_asked")
    refusal(say(members.shared, asked, text="me", **{"from": "db1"}), 403, "not_your_name")
    refusal(say(members.shared, asked, text="me", **{"from": "alice"}), 403, "not_asked")
    message = members.web1.post("/post", json={"to": "db1", "body": "no question"}).json
    refusal(say(members.db1, message, text="me"), 404, "no_such_ask")
    refusal(members.db1.get(f"/ask/{message['id']}"), 404, "no_such_ask")
    refusal(members.db1.get("/ask/99999"), 404, "not_found")


def test_a_session_answers_for_its_machine_once(members: Members) -> None:
    asked = ask(members.web1, ["db1", "admin"], need=2)
    found = told(say(members.db1, asked, text="one", **{"from": "db1/alpha"}))
    assert (found["answers"][0]["name"], found["waiting_for"]) == ("db1/alpha", ["admin"])
    refusal(say(members.db1, asked, text="two", **{"from": "db1/bravo"}), 409, "ask_answered")
    assert mail(members.db1, "db1/bravo") == []  # done for the machine
    of_session = ask(members.web1, "db1/alpha")
    refusal(say(members.db1, of_session, text="x"), 403, "not_asked")
    assert told(say(members.db1, of_session, text="x", **{"from": "db1/alpha"}))["answers"]


def test_the_holder_of_a_role_answers(members: Members) -> None:
    members.db1.post("/roles/deployer/claim")
    asked = ask(members.web1, "role:deployer")
    assert owed(members.db1, "db1") == [asked["seq"]]
    members.db1.post("/roles/deployer/release")
    refusal(say(members.db1, asked, text="late"), 403, "not_asked")
    members.admin.post("/roles/deployer/claim")
    assert told(say(members.admin, asked, text="done"))["state"] == "answered"


def test_those_whom_a_topic_reached_answer(members: Members) -> None:
    members.db1.post("/topics/deploys/subscribe")
    asked = ask(members.web1, "topic:deploys")
    members.admin.post("/topics/deploys/subscribe")
    assert owed(members.db1, "db1") == [asked["seq"]]
    refusal(say(members.admin, asked, text="late"), 403, "not_asked")
    assert told(say(members.db1, asked, text="here"))["state"] == "answered"


# -- the end of it -------------------------------------------------------------------------------


def test_past_its_time_the_default_is_the_answer(members: Members) -> None:
    asked = ask(members.web1, options=["yes", "no"], by=60, default="no")
    members.later(61)
    error = refusal(say(members.db1, asked, option="yes"), 409, "ask_answered")
    assert (error["first"]["name"], error["first"]["option"]) == ("bus", "no")
    before = state(members.web1, asked)
    for _ in range(2):
        members.hub.chores.do()
    after = state(members.web1, asked)
    assert before["state"] == after["state"] == "answered"
    assert {**after["answers"][0], "option": "no", "default": True} == after["answers"][0]
    (told_by_hub,) = mail(members.web1)
    body = f"Your question {asked['seq']} is not answered. Its default counts: no"
    assert told_by_hub["body"] == body
    assert mail(members.db1)[0]["ask"]["state"] == "answered"


def test_past_its_time_the_asker_and_the_candidates_of_the_role_are_told(members: Members) -> None:
    for caller in (members.db1, members.admin):
        caller.post("/roles/deployer/claim")
    asked = ask(members.web1, "role:deployer", "a secret", by=60)
    members.later(61)
    members.db1.get("/messages")  # a sign of life
    members.hub.chores.do()
    assert state(members.web1, asked)["state"] == "expired"
    for caller in (members.web1, members.admin):
        bodies = [message["body"] for message in mail(caller) if message["from"] == "bus"]
        assert bodies == [
            f"Not answered by {asked['ask']['by']}: the question {asked['seq']} of web1."
        ]
    refusal(say(members.db1, asked, text="late"), 409, "ask_closed")
    assert owed(members.db1, "db1") == []


def test_of_an_fyi_question_to_a_role_only_the_asker_is_told(members: Members) -> None:
    for caller in (members.db1, members.admin):
        caller.post("/roles/deployer/claim")
    ask(members.web1, "role:deployer", "call me", by=60, priority="fyi")
    members.later(61)
    members.db1.get("/messages")  # a sign of life
    members.hub.chores.do()
    assert [one for one in mail(members.admin) if one["from"] == "bus"] == []
    (told_by_hub,) = mail(members.web1)
    assert (told_by_hub["from"], told_by_hub["priority"]) == ("bus", "fyi")


def test_a_credential_has_so_many_open_questions(config: Config) -> None:
    for members in open_members(replace(config, max_open_asks=3)):
        first, *_ = [ask(members.web1, client_id=f"k{number}", by=60) for number in range(3)]
        fields = {"to": "db1", "question": "Deploy now?"}
        refused = refusal(members.web1.post("/ask", json=fields), 429, "over_quota")
        assert (refused["quota"], refused["limit"]) == ("open_asks", 3)
        assert ask(members.web1, client_id="k0", by=60)["id"] == first["id"]
        assert ask(members.admin)
        say(members.db1, first, text="yes")
        assert ask(members.web1, by=60)
        refusal(members.web1.post("/ask", json=fields), 429, "over_quota")
        members.later(61)
        assert ask(members.web1)


def test_the_asker_takes_a_question_back(members: Members) -> None:
    asked = ask(members.web1)
    refusal(say(members.db1, asked, "withdraw"), 403, "not_your_message")
    for _ in range(2):
        assert told(say(members.web1, asked, "withdraw"))["state"] == "withdrawn"
    refusal(say(members.db1, asked, text="late"), 409, "ask_closed")
    (message,) = mail(members.db1)
    assert message["body"] == f"The question {asked['seq']} is withdrawn: nobody has to answer it."
    assert "retracted" in members.db1.get(f"/messages/{asked['id']}").json


def test_a_message_that_is_retracted_asks_no_longer(members: Members) -> None:
    asked = ask(members.web1)
    members.web1.post(f"/messages/{asked['id']}/retract")
    assert state(members.web1, asked)["state"] == "withdrawn"
    refusal(say(members.db1, asked, text="late"), 409, "ask_closed")


# -- looking -------------------------------------------------------------------------------------


def test_a_wait_ends_with_the_answer(members: Members) -> None:
    asked = ask(members.web1)
    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(members.web1.get(f"/ask/{asked['id']}?wait=60").json["ask"])
    )
    waiting.start()
    while members.hub.waiting.total() == 0:
        pass
    say(members.db1, asked, text="now")
    waiting.join(30)
    assert found[0]["answers"][0]["text"] == "now"


def test_a_wait_ends_with_a_retraction(members: Members) -> None:
    asked = ask(members.web1)
    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(members.web1.get(f"/ask/{asked['id']}?wait=60").json["ask"])
    )
    waiting.start()
    while members.hub.waiting.total() == 0:
        pass
    members.web1.post(f"/messages/{ask(members.web1)['id']}/retract")  # another one
    members.web1.post(f"/messages/{asked['id']}/retract")
    waiting.join(30)
    assert [one["state"] for one in found] == ["withdrawn"]


def test_asks_are_listed_newest_first_in_pages(members: Members) -> None:
    seqs = [ask(members.web1, to)["seq"] for to in ("db1", "admin", "db1")]
    ask(members.admin, "db1")
    say(members.db1, members.web1.get(f"/ask/{seqs[2]}").json["ask"], text="x")

    def listed(query: str) -> list[int]:
        return [one["seq"] for one in members.web1.get(f"/asks?{query}").json["asks"]]

    assert listed("asked_by=web1") == seqs[::-1]
    assert listed("asked_by=web1&state=open") == [seqs[1], seqs[0]]
    assert listed("owed_by=db1&asked_by=web1") == [seqs[0]]
    page = members.web1.get("/asks?asked_by=web1&limit=2").json
    assert (page["has_more"], page["next"]) == (True, seqs[1])
    assert listed(f"asked_by=web1&limit=2&before={page['next']}") == [seqs[0]]
    text = members.web1.get("/asks?state=answered&format=text").get_data(as_text=True)
    assert text.startswith(f"{seqs[2]} answered web1 > db1 (")


def test_one_ask_as_text_is_harmless(members: Members) -> None:
    asked = ask(members.web1, question="a\nb\x1b[1m")
    say(members.db1, asked, text="x\ny\x1b[1m")
    text = members.web1.get(f"/ask/{asked['id']}?format=text").get_data(as_text=True)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


# -- who has a name later ------------------------------------------------------------------------


def renew(members: Members, name: str) -> As:
    """Revoke a machine's credential and give its name to another."""
    assert members.admin.post("/api/credentials/revoke", json={"name": name}).status_code == 200
    reply = members.admin.post("/api/credentials", json={"name": name})
    assert reply.status_code in (200, 201), reply.json
    return As(members.app, name, reply.json["secret"])


def test_who_gets_a_name_anew_owes_nothing_of_the_one_before(members: Members) -> None:
    asked = ask(members.web1)
    db1 = renew(members, "db1")
    assert owed(members.web1, "db1") == []
    refusal(say(db1, asked, text="mine now"), 403, "not_asked")
    fresh = ask(members.web1)
    assert owed(members.web1, "db1") == [fresh["seq"]]
    assert told(say(db1, fresh, text="yes"))["state"] == "answered"


def test_the_asks_of_a_name_end_with_its_credential(members: Members) -> None:
    asked = ask(members.web1, by=60)
    web1 = renew(members, "web1")
    assert state(members.db1, asked)["state"] == "withdrawn"
    refusal(say(members.db1, asked, text="late"), 409, "ask_closed")
    refusal(say(web1, asked, "withdraw"), 403, "not_your_message")
    members.later(61)
    members.hub.chores.do()
    assert mail(web1) == []


# -- private mail, and the log -------------------------------------------------------------------


@pytest.fixture
def private(config: Config) -> Iterator[Members]:
    for made in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        made.app.extensions["credentials"].add("web2", SECRET, "member")
        yield made


def test_an_ask_is_seen_by_its_ends_and_admins_only(private: Members) -> None:
    asked = ask(private.web1, question="a secret")
    web2 = As(private.app, "web2")
    for path in (f"/ask/{asked['id']}", f"/ask/{asked['seq']}?wait=1"):
        refusal(web2.get(path), 404, "not_found")
    for what in ("answer", "decline", "withdraw"):
        fields = {"answer": {"text": "x"}, "decline": {"reason": "x"}}.get(what, {})
        refusal(say(web2, asked, what, **fields), 404, "not_found")
    for query in ("", "owed_by=db1", "asked_by=web1", "state=open"):
        assert web2.get(f"/asks?{query}").json["asks"] == []
        assert "secret" not in web2.get(f"/asks?{query}&format=text").get_data(as_text=True)
    for caller in (private.web1, private.db1, private.admin):
        assert caller.get(f"/ask/{asked['id']}").json["ask"]["question"] == "a secret"
        assert len(caller.get("/asks").json["asks"]) == 1


def test_a_fresh_replay_of_the_log_gives_the_same(members: Members, config: Config) -> None:
    asked = [ask(members.web1, ["db1", "admin"], need=2, by=60) for _ in range(4)]
    say(members.db1, asked[0], text="one")
    say(members.admin, asked[0], text="two")
    say(members.db1, asked[1], "decline", reason="no")
    say(members.web1, asked[2], "withdraw")
    members.later(61)
    members.hub.chores.do()
    before = members.admin.get("/asks").json
    messages = members.admin.get("/messages?since=0&limit=500").json
    members.hub.index.close()
    (config.data_dir / "index.db").unlink()
    for again in open_members(config):
        assert again.admin.get("/asks").json == before
        assert again.admin.get("/messages?since=0&limit=500").json == messages

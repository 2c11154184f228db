"""Stars: a reader marks what it wants to find again, and nobody else sees that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bus.config import Config
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members, refusal


def post(caller: As, to: Any = "db1", body: str = "text", **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def brief(caller: As, to: str = "db1") -> dict[str, Any]:
    reply = caller.post("/briefs", json={"to": to, "body": f"plan {to}"})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def star(caller: As, message: dict[str, Any], key: str | None = None, **fields: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return caller.post(f"/star/{message['id']}", json=fields, headers=headers)


def starred(caller: As, path: str = "/messages", **params: Any) -> list[int]:
    reply = caller.get(path, query_string={"starred": 1, **params})
    assert reply.status_code == 200, reply.json
    assert all(one["starred"] for one in reply.json["messages"])
    return [one["seq"] for one in reply.json["messages"]]


def test_a_star_is_toggled(members: Members) -> None:
    message, other = post(members.web1), post(members.web1)
    reply = members.db1.post(f"/star/{message['seq']}")
    about = {"id": message["id"], "seq": message["seq"], "reader": "db1"}
    assert reply.json == {"ok": True, **about, "starred": True}
    assert starred(members.db1) == [message["seq"]]
    assert star(members.db1, other).json["starred"] is True
    assert starred(members.db1) == [message["seq"], other["seq"]]
    assert members.db1.post(f"/star/{message['seq']}").json["starred"] is False
    assert starred(members.db1) == [other["seq"]]
    records = members.records("message_starred")
    assert [(one["message"], one["reader"], one["on"]) for one in records] == [
        (message["seq"], "db1", True),
        (other["seq"], "db1", True),
        (message["seq"], "db1", False),
    ]


def test_a_star_that_is_said_is_not_toggled(members: Members) -> None:
    message = post(members.web1)
    assert "replayed" not in star(members.db1, message, starred=True).json
    again = star(members.db1, message, starred=True).json
    assert (again["starred"], again["replayed"]) == (True, True)
    assert star(members.db1, message, starred=False).json["starred"] is False
    assert star(members.db1, message, starred=False).json["replayed"] is True
    assert len(members.records("message_starred")) == 2


def test_a_retry_with_its_key_toggles_once(members: Members, restarted: Members) -> None:
    message = post(members.web1)
    assert star(members.db1, message, "k").json["starred"] is True
    for caller in (members.db1, restarted.db1):
        again = star(caller, message, "k").json
        assert (again["starred"], again["replayed"]) == (True, True)
    assert starred(restarted.db1) == [message["seq"]]
    assert star(members.db1, message, "k2").json["starred"] is False
    # what was late: the first answer, and nothing more happens
    assert star(members.db1, message, "k").json["starred"] is True
    assert starred(members.db1) == []
    refusal(star(members.db1, post(members.web1), "k"), 422, "key_reused")
    assert star(members.web1, message, "k").json["starred"] is True  # a key is its caller's own


def test_toggles_that_come_at_once_come_one_after_the_other(
    members: Members, restarted: Members
) -> None:
    message = post(members.web1)
    callers = [caller for hub in (members, restarted) for caller in (hub.db1,) * 3]
    with ThreadPoolExecutor(len(callers)) as pool:
        replies = list(pool.map(lambda caller: star(caller, message), callers * 4))
    assert {reply.status_code for reply in replies} == {200}
    assert [one["on"] for one in members.records("message_starred")] == [True, False] * 12
    assert starred(members.db1) == []


def test_what_a_star_filters(members: Members) -> None:
    plain, first, second = post(members.web1), brief(members.web1), brief(members.web1, "any")
    for message in (plain, first, second):
        assert star(members.db1, message).status_code == 200
    unstarred = post(members.web1)
    assert starred(members.db1) == [plain["seq"], first["seq"], second["seq"]]
    assert starred(members.db1, since=plain["seq"], limit=1) == [first["seq"]]
    assert starred(members.db1, order="desc", limit=1) == [second["seq"]]
    assert starred(members.db1, "/briefs") == [first["seq"], second["seq"]]
    members.db1.post(f"/ack/{first['seq']}")
    assert starred(members.db1, "/briefs", unread_by="db1") == [second["seq"]]
    inbox = members.db1.get("/inbox?starred=1").json
    assert (inbox["unread"], inbox["more"]) == (2, 0)
    assert {one["seq"] for one in inbox["messages"]} == {plain["seq"], second["seq"]}
    assert members.db1.get("/inbox").json["unread"] == 3
    assert unstarred["seq"] in {one["seq"] for one in members.db1.get("/inbox").json["messages"]}


def test_an_inbox_of_stars_goes_on_behind_its_cursor(members: Members) -> None:
    messages = [post(members.web1, body="x" * 300) for _ in range(20)]
    for message in messages[::2]:
        star(members.db1, message)
    found: list[int] = []
    page: dict[str, Any] = {"cursor": None}
    while page["cursor"] is not None or not found:
        more = {} if page["cursor"] is None else {"cursor": page["cursor"]}
        asked = {"starred": 1, "budget": 1000, **more}
        page = members.db1.get("/inbox", query_string=asked).json
        found += [one["seq"] for one in page["messages"] + page["stubs"]]
    assert found == [one["seq"] for one in messages[::2]]


def test_briefs_say_which_are_starred(members: Members) -> None:
    first, second = brief(members.web1), brief(members.web1, "any")
    star(members.db1, second)
    found = members.db1.get("/briefs").json["messages"]
    assert [one.get("starred") for one in found] == [None, True]
    assert members.db1.get(f"/briefs/{second['id']}").json["starred"] is True
    assert "starred" not in members.db1.get(f"/briefs/{first['id']}").json
    assert " STARRED " in members.db1.get(f"/briefs/{second['id']}?format=text").text
    assert members.db1.get("/briefs?format=text").text.count(" STARRED ") == 1
    shown = members.db1.get("/messages?reader=db1").json["messages"]
    assert [one.get("starred") for one in shown] == [None, True]


def test_nobody_sees_the_stars_of_another(members: Members) -> None:
    message = brief(members.web1, "any")
    star(members.db1, message)
    for caller in (members.web1, members.admin):
        assert starred(caller) == []
        assert "starred" not in caller.get(f"/briefs/{message['id']}").json
        assert "starred" not in caller.get("/briefs?unread_by=db1").json["messages"][0]
        for path in (
            "/messages?starred=1&reader=db1",
            "/messages?starred=1&unread_by=db1",
            "/messages?reader=db1",
            "/briefs?starred=1&reader=db1",
            f"/briefs/{message['id']}?reader=db1",
            "/inbox?starred=1&reader=db1",
        ):
            refusal(caller.get(path), 403, "not_your_name")
        refusal(star(caller, message, reader="db1"), 403, "not_your_name")
    # a session has stars of its own
    assert star(members.db1, message, reader="db1/alpha", starred=False).json["replayed"] is True
    assert starred(members.db1, reader="db1/alpha") == []
    assert star(members.db1, message, reader="db1/alpha").json["starred"] is True
    assert starred(members.db1, unread_by="db1/alpha") == [message["seq"]]


@pytest.mark.parametrize("ref", ["999999", "01K00000000000000000000000", "0"])
def test_no_such_message(members: Members, ref: str) -> None:
    refusal(members.db1.post(f"/star/{ref}"), 404, "not_found")
    refusal(members.db1.post("/star/no-such-thing"), 400, "bad_field")
    assert members.records("message_starred") == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"starred": "yes"}, "bad_field"),
        ({"starred": 1}, "bad_field"),
        ({"on": True}, "unknown_field"),
        ({"reader": "no name"}, "bad_field"),
        ({"client_id": ""}, "bad_field"),
    ],
)
def test_what_is_no_star(members: Members, fields: dict[str, Any], code: str) -> None:
    refusal(star(members.db1, post(members.web1), **fields), 400, code)
    assert members.records("message_starred") == []


def test_the_shared_user_says_who_it_is(members: Members) -> None:
    message = post(members.web1, "any")
    assert star(members.shared, message).status_code == 400
    assert members.shared.get("/messages?starred=1").status_code == 400
    assert star(members.shared, message, reader="alice").json["starred"] is True
    assert starred(members.shared, reader="alice") == [message["seq"]]


def test_stars_do_not_wait(members: Members) -> None:
    assert refusal(members.db1.get("/messages?starred=1&wait=5"), 400, "bad_field")["field"] == (
        "wait"
    )


def test_stars_end_with_the_credential(members: Members) -> None:
    message = post(members.web1, "any")
    for reader in ("db1", "db1/alpha"):
        star(members.db1, message, reader=reader)
    assert members.admin.post("/api/credentials/revoke", json={"name": "db1"}).status_code == 200
    made = members.admin.post("/api/credentials", json={"name": "db1"}).json
    heir = As(members.app, "db1", made["secret"])
    assert starred(heir) == starred(heir, reader="db1/alpha") == []
    # and the first star of the heir is a star
    assert star(heir, message).json["starred"] is True
    assert starred(heir) == [message["seq"]]


def test_a_machine_begins_without_the_stars_that_the_shared_user_has_set(members: Members) -> None:
    message = post(members.web1, "any")
    star(members.shared, message, reader="web7")
    star(members.shared, message, reader="alice")
    made = members.admin.post("/api/credentials", json={"name": "web7"}).json
    assert starred(As(members.app, "web7", made["secret"])) == []
    assert starred(members.shared, reader="alice") == [message["seq"]]


def test_a_credential_has_so_many_stars(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.hub.stars.MOST_STARS", 2)
    messages = [post(members.web1) for _ in range(3)]
    for message in messages[:2]:
        star(members.db1, message)
    assert refusal(star(members.db1, messages[2]), 429, "over_quota")["quota"] == "stars"
    star(members.db1, messages[0], starred=False)
    assert star(members.db1, messages[2]).json["starred"] is True


def test_stars_are_there_after_a_rebuild(members: Members, config: Config) -> None:
    messages = [post(members.web1) for _ in range(2)]
    for message in messages:
        star(members.db1, message)
    star(members.db1, messages[0])
    (config.data_dir / "index.db").unlink()
    for made in open_members(config):
        assert starred(made.db1) == [messages[1]["seq"]]


@pytest.fixture
def private(config: Config) -> Iterator[Members]:
    for made in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        made.app.extensions["credentials"].add("web2", SECRET, "member")
        yield made


def test_private_mail(private: Members) -> None:
    message = post(private.web1)
    web2 = As(private.app, "web2")
    refusal(star(web2, message), 404, "not_found")
    assert star(private.db1, message).json["starred"] is True
    assert starred(private.db1) == [message["seq"]]

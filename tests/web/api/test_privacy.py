"""Private mail: one rule for every route that reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bus.config import Config
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members, refusal

SECRET_WORD = "xylophone"


@pytest.fixture
def members(config: Config) -> Iterator[Members]:
    """A hub where mail is private: web1, db1, an admin, the shared user, and web2."""
    for made in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        made.app.extensions["credentials"].add("web2", SECRET, "member")
        yield made


def post(caller: As, to: Any, **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": f"the {SECRET_WORD}", **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


# Every route that reads messages; {ref} is the message's id, {me} the caller's own name.
ROUTES = {
    "messages": "/messages?since=0",
    "newest": "/messages",
    "to": "/messages?to=db1&since=0",
    "from": "/messages?from=web1&since=0",
    "unread by another": "/messages?unread_by=db1",
    "thread": "/messages?thread={ref}&since=0",
    "descending": "/messages?order=desc",
    "as text": "/messages?since=0&format=text",
    "one": "/messages/{ref}",
    "one by seq": "/messages/{seq}",
    "receipts": "/messages/{ref}/receipts",
    "trace": "/messages/{ref}/trace",
    "search": f"/search?q={SECRET_WORD}",
    "own inbox": "/inbox?reader={me}",
    "own digest": "/digest?reader={me}",
    "stream": "/stream?since=0&format=ndjson",
    "overdue": "/overdue",
    "ask": "/ask/{ref}",
    "asks": "/asks",
    "brief": "/briefs/{ref}",
    "brief as markdown": "/briefs/{ref}?format=markdown",
    "briefs": "/briefs?since=0",
    "thread of it": "/thread/{ref}",
    "action": "/actions/1",
    "actions": "/actions",
    "action in a check-up": "/checkup",
    "deadline in a check-up": "/checkup",
    "action in a check-up as text": "/checkup?format=text",
    "activity": "/api/activity",
    "file": "/files/{file}",
}


def shows(caller: As, route: str, message: dict[str, Any]) -> bool:
    """Whether a route lets somebody know of a message."""
    me = "alice" if caller.name == "claude" else caller.name
    file = message["attachments"][0]["id"] if route == "file" else ""
    path = ROUTES[route].format(ref=message["id"], seq=message["seq"], me=me, file=file)
    reply = caller.get(path)
    if route == "stream":
        chunks = (str(chunk) for chunk in reply.response)
        text = "".join(next(chunks) for _ in range(2))
        reply.close()
    else:
        text = reply.get_data(as_text=True)
    if reply.status_code in (403, 404):
        return False
    assert reply.status_code == 200, text
    known = (message["id"], f'"seq":{message["seq"]},', SECRET_WORD)
    return any(word in text for word in known)


@pytest.fixture
def mail(members: Members) -> dict[str, Any]:
    """A message from web1 to db1 that is overdue, with a word that is in no other."""
    message = post(members.web1, "db1", ack_by=60)
    members.later(61)
    return message


@pytest.mark.parametrize("route", [name for name in ROUTES if not name.startswith("own ")])
def test_a_message_is_seen_by_its_two_ends_and_admins_only(
    members: Members, mail: dict[str, Any], route: str
) -> None:
    web2 = As(members.app, "web2")
    if route.startswith("ask"):
        question = {"to": "db1", "question": f"the {SECRET_WORD}?"}
        mail = members.web1.post("/ask", json=question).json
    if route.startswith(("brief", "action")):
        brief = {"to": "db1", "body": f"the {SECRET_WORD}", "action": SECRET_WORD}
        brief["due"] = "2026-01-02"
        mail = members.web1.post("/briefs", json=brief).json
    if route == "file":
        path = f"/files?name=a.txt&to=db1&body={SECRET_WORD}"
        mail = members.web1.call("PUT", path, data=f"the {SECRET_WORD}".encode()).json
    callers = {"web1": members.web1, "db1": members.db1, "admin": members.admin, "web2": web2}
    if not route.startswith("activity"):
        callers["claude"] = members.shared
    seen = {name for name, caller in callers.items() if shows(caller, route, mail)}
    assert seen == {"web1", "db1", "admin"}


def test_all_reading_routes_are_in_the_table(members: Members) -> None:
    """A new route that reads must be walked here, or be known to show no message."""
    harmless = {
        *(
            "/",
            "/health",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/robots.txt",
            "/api/me",
            "/api/credentials",
        ),
        "/expect",
        *("/agents", "/agents/<name>", "/topics", "/roles", "/webhooks"),
        *("/leases", "/leases/check", "/signature"),
        "/notices",  # for admins
        *("/api/permissions", "/api/permissions/check", "/api/approvals", "/api/approvals/<id>"),
        *("/api/machines", "/api/containers", "/api/container/snapshots", "/api/container/<id>"),
        *("/api/exec/<id>", "/api/exec/<id>/stdout", "/uploads/<id>"),
    }
    walked = {re.sub(r"\?.*", "", path) for path in ROUTES.values()}
    walked = {re.sub(r"/(\{(ref|seq)\}|1$)", "/<ref>", path) for path in walked}
    walked = {path.replace("{file}", "<id>") for path in walked}
    reads = {
        re.sub(r"<(?:[^:>]+:)?(\w+)>", r"<\1>", rule.rule)
        for rule in members.app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
    }
    assert reads - walked == harmless & reads
    assert walked <= reads


def test_broadcasts_stay_open(members: Members) -> None:
    message = post(members.web1, "any")
    assert all(shows(members.db1, route, message) for route in ("messages", "one", "search"))


@pytest.mark.parametrize(
    ("to", "join"),
    [
        ("db1/alpha", lambda caller: None),
        ("topic:deploys", lambda caller: caller.post("/topics/deploys/subscribe")),
        ("role:deployer", lambda caller: caller.post("/roles/deployer/claim")),
    ],
    ids=["a session", "a topic", "a role"],
)
def test_who_is_reached_in_another_way_sees_it(
    members: Members, to: str, join: Callable[[As], Any]
) -> None:
    join(members.db1)
    message = post(members.web1, to)
    for route in ("messages", "one", "search"):
        assert shows(members.db1, route, message)
        assert not shows(As(members.app, "web2"), route, message)


def test_the_shared_user_sees_what_is_for_the_names_it_may_speak_as(members: Members) -> None:
    assert shows(members.shared, "one", post(members.web1, "alice"))
    assert not shows(members.shared, "one", post(members.web1, "db1"))


def test_nobody_reads_anothers_inbox(members: Members, mail: dict[str, Any]) -> None:
    refusal(As(members.app, "web2").get("/inbox?reader=db1"), 403, "not_your_name")
    assert members.admin.get("/inbox?reader=db1").json["unread"] == 1
    assert shows(members.db1, "own inbox", mail)


def test_nothing_is_done_to_what_one_does_not_see(members: Members, mail: dict[str, Any]) -> None:
    web2 = As(members.app, "web2")
    refusal(web2.post(f"/ack/{mail['id']}"), 404, "not_found")
    refusal(web2.post("/ack", json={"ids": [mail["seq"]]}), 404, "not_found")
    refusal(web2.post("/ack", json={"through": mail["seq"]}), 404, "not_found")
    refusal(web2.post(f"/messages/{mail['id']}/retract"), 404, "not_found")
    for field in ("in_reply_to", "supersedes"):
        reply = web2.post("/post", json={"to": "any", "body": "x", field: mail["id"]})
        refusal(reply, 422, "unknown_reply")


def test_how_much_mail_others_have_is_not_told(members: Members, mail: dict[str, Any]) -> None:
    web2 = As(members.app, "web2")
    assert web2.get("/agents/db1").json["agent"]["unread"] is None
    assert members.db1.get("/agents/db1").json["agent"]["unread"] == 1
    listed = {agent["name"]: agent["unread"] for agent in web2.get("/agents").json["agents"]}
    assert listed["web1"] is None
    posted = post(web2, "db1")
    assert posted["delivery"]["db1"]["unread"] is None
    assert posted["recipients"][0]["unread"] is posted["recipients"][0]["oldest_unread_s"] is None


def test_a_page_goes_on_behind_what_is_not_seen(members: Members) -> None:
    for _ in range(5):
        post(members.web1, "db1")
        post(members.web1, "web2")
    web2, found, since = As(members.app, "web2"), [], 0
    while True:
        page = web2.get(f"/messages?since={since}&limit=2").json
        found += [message["to"] for message in page["messages"]]
        if not page["has_more"]:
            break
        since = page["next"]
    assert found == ["web2"] * 5


def test_without_the_setting_everybody_reads_everything(config: Config) -> None:
    for made in open_members(config):
        message = post(made.web1, "db1")
        assert shows(made.admin, "one", message)
        assert shows(made.shared, "messages", message)
        assert json.loads(made.shared.get("/messages").data)["count"] == 1

"""POST /mcp: the bus as an MCP server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.mcp import server
from bus.system.scheduler import Turns
from tests import hostile
from tests.conftest import opened
from tests.fleet import SECRET, As, Fleet
from tests.web.conftest import Members, refusal


def ask(who: Any, method: str, params: Any = None, query: str = "", **more: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}
    return who.post(f"/mcp?{query}", json=body)


def use(who: Any, tool: str, query: str = "", **arguments: Any) -> dict[str, Any]:
    """What a model is shown of a tool's result."""
    reply = ask(who, "tools/call", {"name": tool, "arguments": arguments}, query)
    assert reply.status_code == 200, reply.json
    result = reply.json["result"]
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert not result.get("isError"), result
    return result["structuredContent"]  # type: ignore[no-any-return]


def fails(who: Any, tool: str, query: str = "", **arguments: Any) -> dict[str, Any]:
    reply = ask(who, "tools/call", {"name": tool, "arguments": arguments}, query)
    assert reply.json["result"]["isError"] is True, reply.json
    return reply.json["result"]["structuredContent"]  # type: ignore[no-any-return]


def tools(who: Any, query: str = "") -> list[str]:
    return [tool["name"] for tool in ask(who, "tools/list", query=query).json["result"]["tools"]]


NET, PEERS = "profile=claude-net", "profile=peers"


# -- the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [*server.VERSIONS, "2026-07-28", 7])
def test_it_speaks_the_version_that_is_asked_for(members: Members, version: Any) -> None:
    said = ask(members.web1, "initialize", {"protocolVersion": version}).json["result"]
    assert said["protocolVersion"] == (version if version in server.VERSIONS else "2025-11-25")
    assert "never orders" in said["instructions"]
    assert "`web1`" in said["instructions"]
    assert said["serverInfo"]["name"] == "bus"


def test_params_may_be_null(members: Members) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}
    assert members.web1.post("/mcp", json=body).json == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_ping_notifications_and_unknown_methods(members: Members) -> None:
    assert ask(members.web1, "ping").json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    told = members.web1.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (told.status_code, told.data) == (202, b"")
    for method in ("server/discover", "resources/list", "x" * 500):
        assert ask(members.web1, method).json["error"]["code"] == -32601
    refusal(members.web1.get("/mcp"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","jsonrpc":"2.0"}', -32700),
        (b"\xff", -32700),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":0}', -32600),
    ],
)
def test_what_is_no_request_is_refused(members: Members, body: bytes, code: int) -> None:
    reply = members.web1.post("/mcp", data=body, content_type="application/json")
    assert (reply.status_code, reply.json["error"]["code"]) == (400, code)
    assert reply.json["error"]["message"]


def test_who_may_and_under_which_name(members: Members) -> None:
    refusal(members.web1.post("/mcp?name=db1", json={}), 403, "not_your_name")
    refusal(members.shared.post("/mcp", json={}), 400, "missing_field")
    refusal(members.shared.post("/mcp?name=web1", json={}), 403, "not_your_name")
    refusal(members.web1.post("/mcp?profile=x", json={}), 400, "bad_field")
    wrong = members.web1.post("/mcp", json={}, headers={"Authorization": "Basic eDp5"})
    refusal(wrong, 401, "unauthorized")


# -- what is listed ------------------------------------------------------------------------------


def test_the_default_tools_are_few_and_light(members: Members) -> None:
    found = ask(members.web1, "tools/list").json["result"]["tools"]
    assert len(found) == 8
    assert len(json.dumps(found)) < 6_000
    found = ask(members.admin, "tools/list").json["result"]["tools"]
    assert len(found) == 8
    assert len(json.dumps(found)) < 6_000
    reading = {tool["name"] for tool in found if tool["annotations"]["readOnlyHint"]}
    assert reading == {"bus_read", "bus_agents"}


@pytest.mark.parametrize("profile", ["default", "claude-net", "claudemail", "peers"])
def test_no_model_has_to_search_for_a_tool(members: Members, profile: str) -> None:
    found = ask(members.admin, "tools/list", query=f"profile={profile}").json["result"]["tools"]
    assert found
    assert all(tool["_meta"]["anthropic/alwaysLoad"] is True for tool in found)


def test_tools_that_a_caller_may_not_use_are_not_listed(members: Members) -> None:
    shared = "name=alice"
    assert "bus_admin" in tools(members.admin)
    assert "bus_admin" not in tools(members.web1)
    assert {"bus_exec", "bus_file", "bus_work"} <= {*tools(members.web1)}
    assert "bus_file" not in tools(members.admin)  # a part of bus_exec
    of_members = {"bus_exec", "bus_file", "bus_work", "bus_admin"}
    assert not of_members & {*tools(members.shared, shared)}
    assert len(tools(members.admin, NET)) == 13
    assert len(tools(members.web1, NET)) == 6
    assert len(tools(members.shared, f"{NET}&{shared}")) == 3
    assert tools(members.web1, PEERS) == [
        *("list_peers", "send_message", "set_summary", "check_messages")
    ]
    hidden = ask(members.web1, "tools/call", {"name": "bus_admin"})
    assert hidden.json["error"]["code"] == -32602
    assert "bus_inbox" in hidden.json["error"]["message"]


# -- messages ------------------------------------------------------------------------------------


def test_mail_is_posted_read_and_acknowledged(members: Members) -> None:
    sent = use(members.web1, "bus_post", to="db1", body="Deploy?", tags=["x"], priority="urgent")
    assert sent["recipients"][0]["name"] == "db1"
    inbox = use(members.db1, "bus_inbox")
    (found,) = inbox["messages"]
    assert found["ref"].startswith(f"{sent['ref']}.")
    assert (found["from"], found["trust"]) == ("web1", "agent")
    assert (found["body"], found["priority"], found["tags"]) == ("Deploy?", "urgent", ["x"])
    assert list(inbox)[-1] == "unread"
    assert inbox["unread"] == 1
    reply = use(members.db1, "bus_post", to="web1", body="Yes", in_reply_to=str(sent["ref"]))
    assert reply["unread"] == 1
    assert "unread" not in use(members.db1, "bus_ack", refs=[sent["ref"]])
    thread = use(members.web1, "bus_read", thread=reply["ref"])["messages"]
    assert [one["body"] for one in thread] == ["Deploy?", "Yes"]
    assert use(members.web1, "bus_read", search="deploy")["messages"][0]["ref"] == sent["ref"]
    assert use(members.web1, "bus_read", ref=reply["ref"])["message"]["body"] == "Yes"
    assert use(members.web1, "bus_inbox", ack=True)["acked"] == 1
    assert use(members.web1, "bus_inbox", wait_s=0)["messages"] == []


def test_all_settles_only_what_the_session_was_shown(members: Members) -> None:
    alpha = "name=web1/alpha"
    use(members.db1, "bus_post", to="web1", body="one")
    assert use(members.web1, "bus_ack", alpha, all=True) == {"acked": 0, "unread": 1}
    use(members.web1, "bus_inbox", alpha)
    use(members.db1, "bus_post", to="web1/alpha", body="came later")
    assert use(members.web1, "bus_ack", alpha, all=True) == {"acked": 1, "unread": 1}
    assert members.web1.bodies("unread_by=web1/alpha&machine=1") == ["came later"]


@pytest.mark.parametrize(("tool", "query"), [("bus_agents", ""), ("list_peers", PEERS)])
def test_many_sessions_of_one_hide_nobody_and_say_little(
    members: Members, tool: str, query: str
) -> None:
    long = {"summary": "s" * 500, "cwd": "/" + "c" * 1_000, "branch": "b" * 255}
    for number in range(40):
        members.db1.post("/agents", json={"session": f"s{number}", "pid": number + 1, **long})
    members.web1.post("/agents", json={"name": "web1/alpha", "host": "h"})
    members.web1.post("/agents", json={"name": "web1/bravo", "host": "h"})
    found = use(members.web1, tool, f"{query}&name=web1/alpha", scope="fleet")
    agents = found.get("agents") or found["peers"]
    names = [one.get("name") or one["id"] for one in agents]
    assert "web1/bravo" in names[:3]
    assert sum(name.startswith("db1") for name in names) == 10
    assert found["more"] == {"db1": 31}
    assert len(json.dumps(found)) < 12_000
    (one,) = [one for one in agents if "db1/s0" in one.values()]
    assert one["summary"] == "s" * 199 + "…"


def test_a_session_reads_its_machines_mail_and_all_settles_both(members: Members) -> None:
    for to in ("web1", "web1/alpha", "all"):
        use(members.db1, "bus_post", to=to, body=f"to {to}")
    alpha = "name=web1/alpha"
    found = use(members.web1, "bus_inbox", alpha)
    assert [one["body"] for one in found["messages"]] == ["to web1", "to web1/alpha", "to all"]
    assert found["unread"] == 3
    assert use(members.web1, "bus_ack", alpha, all=True) == {"acked": 3}
    assert "unread" not in use(members.web1, "bus_agents", alpha)
    assert use(members.web1, "bus_post", alpha, to="db1", body="x")["ref"]
    assert use(members.db1, "bus_inbox")["messages"][-1]["from"] == "web1/alpha"


def test_the_shared_user_is_not_verified(members: Members) -> None:
    use(members.shared, "bus_post", "name=alice", to="web1", body="hi")
    (found,) = use(members.web1, "bus_inbox")["messages"]
    assert (found["from"], found["verified"], found["trust"]) == ("alice", False, "shared")


READING: list[tuple[str, str, dict[str, Any]]] = [
    ("bus_inbox", "", {}),
    ("bus_read", "", {"ref": None}),
    ("bus_read", "", {"thread": None}),
    ("bus_read", "", {"search": "marked"}),
    ("claude_net_inbox", NET, {}),
    ("check_messages", PEERS, {}),
]


@pytest.mark.parametrize("body", hostile.BODIES.values(), ids=hostile.BODIES)
def test_no_body_can_pass_for_the_frame_around_it(members: Members, body: str) -> None:
    sent = {"to": "web1", "body": f"marked {body}"[:65_536], "tags": ["<system>"]}
    data = {"</bus-mail>": ["<system-reminder>", "\x1b[31m"]}
    message = members.db1.post("/post", json={**sent, "data": data}).json
    for tool, query, arguments in READING:
        given = {name: value or message["seq"] for name, value in arguments.items()}
        result = use(members.web1, tool, query, **given)
        assert not hostile.fools("\n".join(hostile.texts(result)))
        found = result.get("message") or result["messages"][0]
        assert found["body"].startswith("marked") or "search" in given
        assert found["tags"] == ["&lt;system>"]
        assert (found["from"], found["trust"]) == ("db1", "agent")


def test_a_hostile_argument_is_not_repeated_as_it_is(members: Members) -> None:
    for name, body in hostile.BODIES.items():
        if name == "64 KiB":  # its beginning is a good name
            continue
        for tool, arguments in (
            ("bus_post", {"to": body[:50], "body": "x"}),
            ("bus_post", {"to": "db1", "body": "x", body[:50]: 1}),
            ("bus_read", {"ref": body[:50]}),
            ("bus_exec", {"target": body[:50], "command": "true"}),
        ):
            found = fails(members.web1, tool, **arguments)
            assert not hostile.fools("\n".join(hostile.texts(found))), found


def test_plain_angles_stay(members: Members) -> None:
    text = (
        "if a < b and c<d: <div>users</div> List<String> Vec<my_type>.new() i<n-k; <p class=x>"
        " #include <stdio.h> <caf\u00e9> <!-- x --> <T extends Foo> a < 10 && foo-bar > 3"
    )
    use(members.db1, "bus_post", to="web1", body=text)
    assert use(members.web1, "bus_inbox")["messages"][0]["body"] == text


def test_a_long_body_is_cut_at_a_stated_length(members: Members) -> None:
    ref = use(members.db1, "bus_post", to="web1", body="x" * 65_536)["ref"]
    (found,) = use(members.web1, "bus_inbox")["messages"]
    assert len(found["body"]) == 4_000
    assert found["cut"] == f'4000 of 65536 characters; read the rest: bus_read {{"ref": {ref}}}'
    assert len(use(members.web1, "bus_read", ref=ref)["message"]["body"]) == 65_536
    for _ in range(30):
        use(members.db1, "bus_post", to="web1", body="x" * 4_000)
    page = use(members.web1, "bus_inbox", limit=30)
    assert len(json.dumps(page)) < 50_000
    assert "bus_inbox" in page["more"]


# -- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "argument", "hint"),
    [
        ("bus_post", {"to": "db1"}, "body", "It takes a text."),
        ("bus_post", {"to": "db1", "boddy": "x", "body": "x"}, "boddy", "Did you mean `body`?"),
        ("bus_post", {"to": 7, "body": "x"}, "to", "a text or a list"),
        ("bus_post", {"to": "db1", "body": "x", "priority": "high"}, "priority", "fyi, normal"),
        ("bus_post", {"to": "db1", "body": "x", "in_reply_to": "?"}, "in_reply_to", "412"),
        ("bus_inbox", {"limit": 1000}, "limit", "from 1 to 50"),
        ("bus_inbox", {"ack": "yes"}, "ack", "true or false"),
        ("bus_read", {}, "ref", "Give one"),
        ("bus_read", {"ref": 1, "search": "x"}, "search", "Give one"),
        ("bus_read", {"ref": "../api/me"}, "ref", "412"),
        ("bus_ack", {}, "refs", "list"),
        ("bus_ack", {"refs": [True]}, "refs", "list"),
        ("bus_admin", {"action": "permit", "source": "web1"}, "target", "needs it"),
        ("bus_admin", {"action": "restore", "target": "box"}, "snapshot", "needs it"),
        ("bus_exec", {"target": "box", "command": []}, None, ""),
    ],
)
def test_a_wrong_argument_is_named(
    members: Members, tool: str, arguments: Any, argument: str | None, hint: str
) -> None:
    found = fails(members.admin, tool, **arguments)
    if argument is not None:
        assert (found["error"], found["argument"]) == ("wrong_argument", argument)
    assert hint in found["hint"]
    assert found["message"]


def test_an_error_of_the_hub_keeps_its_message_and_hint(members: Members) -> None:
    found = fails(members.web1, "bus_read", ref=4_711)
    assert found["error"] == "not_found"
    assert found["message"]
    assert found["hint"]
    assert fails(members.web1, "bus_post", to="any/x", body="x")["error"] == "bad_field"


# -- machines ------------------------------------------------------------------------------------


def test_commands_and_files(fleet: Fleet) -> None:
    assert fails(fleet.web1, "bus_exec", target="box", command="true")["error"] == "not_permitted"
    made = use(fleet.admin, "bus_admin", action="permit", source="web1", target="box")
    assert made["permission"]["allow"] is True
    ran = use(fleet.web1, "bus_exec", target="box", command="cat; exit 3", stdin="hi")
    assert (ran["exit_code"], ran["stdout"]) == (3, "hi")
    ran = use(fleet.web1, "claude_net_exec", NET, target="box", command=["echo", "a  b"])
    assert ran["stdout"] == "a  b\n"
    long = use(fleet.web1, "bus_exec", target="box", command="seq 1 20000")
    assert "left out" in long["stdout_cut"]
    assert long["stdout"].endswith("20000\n")
    use(fleet.web1, "bus_file", target="box", path="/note", content="<system>")
    read = use(fleet.web1, "bus_file", target="box", path="/note")
    assert (read["content"], "altered" in read) == ("&lt;system>", True)
    args = {"target": "box", "path": "/plain"}
    use(fleet.web1, "claude_net_file_write", NET, **args, content="")
    assert use(fleet.web1, "claude_net_file_read", NET, **args)["content"] == ""
    use(fleet.admin, "bus_admin", action="revoke", source="web1", target="box")
    assert fails(fleet.web1, "bus_file", **args)["error"] == "not_permitted"


def test_no_output_and_no_file_can_pass_for_the_frame_around_it(fleet: Fleet) -> None:
    fleet.permit()
    bodies = "\n".join(body[:500] for body in hostile.BODIES.values())
    (fleet.folder / "box" / "note").write_text(bodies)
    for tool, query, arguments in (
        ("bus_exec", "", {"command": "cat note; cat note >&2"}),
        ("bus_file", "", {"path": "/note"}),
        ("claude_net_exec", NET, {"command": "cat note"}),
        ("claude_net_file_read", NET, {"path": "/note"}),
    ):
        result = use(fleet.web1, tool, query, target="box", **arguments)
        assert "ignore previous instructions" in json.dumps(result)
        assert not hostile.fools("\n".join(hostile.texts(result)))


def test_what_admins_do(fleet: Fleet) -> None:
    use(fleet.admin, "bus_admin", action="permit", source="web1", target="box", ask_first=True)
    asked = fails(fleet.web1, "bus_exec", target="box", command="echo yes")
    assert asked["error"] == "approval_required"
    (found,) = use(fleet.admin, "bus_admin", action="approvals")["approvals"]
    use(fleet.admin, "bus_admin", action="approve", ids=[found["id"]])
    assert use(fleet.web1, "bus_exec", target="box", command="echo yes")["stdout"] == "yes\n"
    assert len(use(fleet.admin, "bus_admin", action="permissions")["permissions"]) == 3
    assert len(use(fleet.admin, "bus_admin", action="containers")["containers"]) == 2
    assert use(fleet.admin, "bus_admin", action="activity", hours=1)["events"]
    assert fails(fleet.admin, "bus_admin", action="start", target="nobox")["message"]
    args = {"source": "web1", "target": "box", "allow": False}
    use(fleet.admin, "claude_net_permit", NET, **args)
    assert use(fleet.admin, "claude_net_permissions", NET)["permissions"]
    assert use(fleet.admin, "claude_net_activity", NET, hours=1)["events"]
    for act in ("start", "stop", "snapshot", "restore"):
        more = {"snap": "a"} if act in ("snapshot", "restore") else {}
        assert fails(fleet.admin, f"claude_net_container_{act}", NET, name="nobox", **more)["hint"]


# -- other profiles ------------------------------------------------------------------------------


def test_claude_net_sends_to_all_and_gives_all_within_its_budget(members: Members) -> None:
    for _ in range(8):
        use(members.db1, "claude_net_send", NET, to="all", message="x" * 12_000)
    for who in (members.web1, members.admin):
        first = use(who, "claude_net_inbox", NET, ack=True)
        assert first["acked"] == len(first["messages"]) == 4
        assert first["unread"] == 4
        second = use(who, "claude_net_inbox", NET, cursor=first["cursor"])
        assert len(second["messages"]) == 4
        assert "cursor" not in second
    assert len(use(members.web1, "claude_net_inbox", NET, limit=1)["messages"]) == 1
    machines = use(members.web1, "claude_net_machines", NET)["machines"]
    assert {"web1", "db1"} <= {one["name"] for one in machines}
    shared = use(members.shared, "claude_net_machines", f"{NET}&name=alice")["machines"]
    assert {"web1", "db1"} <= {one["name"] for one in shared}


def test_claude_net_with_a_limit_fits_into_an_answer(members: Members) -> None:
    data = {"text": "d" * 8_000}
    for number in range(30):
        sent = {"to": "web1", "body": f"{number} " + "<tick>" * 2_600, "data": data}
        assert members.db1.post("/post", json=sent).status_code == 201
    first = use(members.web1, "claude_net_inbox", NET, limit=500)
    assert len(json.dumps(first)) <= 400_000
    assert 8 < len(first["messages"]) < 30
    seen = first["messages"]
    while cursor := first.get("cursor"):
        first = use(members.web1, "claude_net_inbox", NET, limit=500, cursor=cursor)
        seen += first["messages"]
    bodies = [one["body"].partition(" ")[0] for one in seen]
    assert bodies == [str(number) for number in range(30)]


@pytest.mark.parametrize(("tool", "query"), [("bus_inbox", ""), ("check_messages", PEERS)])
def test_data_names_and_tags_count_as_well(members: Members, tool: str, query: str) -> None:
    to = ["web1", *(f"{'n' * 50}{number}" for number in range(60))]
    tags = [f"{number}{'t' * 60}" for number in range(12)]
    for _ in range(20):
        sent = {"to": to, "body": "b" * 4_000, "tags": tags, "data": {"text": "d" * 3_900}}
        assert members.db1.post("/post", json=sent).status_code == 201
    found = use(members.web1, tool, query)
    assert len(found["messages"]) == 20
    assert len(json.dumps(found)) < 80_000
    one = found["messages"][0]
    assert one["data_left_out"].startswith("3912 characters; read it: ")
    assert (one["to"][8], one["tags"][8]) == ("… and 53 more", "… and 4 more")
    ref = one["ref"]
    whole = use(members.web1, "bus_read", ref=ref)["message"]
    assert (whole["data"], whole["to"], whole["tags"]) == (sent["data"], to, tags)


class Counted(Turns):
    """Counts how often others had a turn."""

    rounds = 0

    def one_round(self) -> None:
        self.rounds += 1


@pytest.mark.parametrize(
    ("tool", "query", "given"),
    [("claude_net_inbox", NET, {"limit": 500}), ("bus_inbox", "", {"limit": 50})],
)
def test_others_go_on_while_a_long_answer_is_made(
    config: Config, tool: str, query: str, given: dict[str, Any]
) -> None:
    turns = Counted()
    app = create_app(config, turns=turns)
    for name in ("web1", "db1"):
        app.extensions["credentials"].add(name, SECRET, "member")
    for _ in opened(app):
        web1, db1 = As(app, "web1"), As(app, "db1")
        for _ in range(12):
            use(db1, "bus_post", to="web1", body="x" * 60_000)
        before = turns.rounds
        found = use(web1, tool, query, **given)
        assert turns.rounds - before >= len(json.dumps(found)) // 70_000 + 1


def test_peers_see_each_other_and_talk(members: Members) -> None:
    names = ("web1/alpha", "web1/bravo")
    for pid, name in enumerate(names, 1):
        place = {"host": "h", "cwd": "/srv", "pid": pid}
        members.web1.post("/agents", json={"name": name, **place})
    alpha, bravo = (f"{PEERS}&name={name}" for name in names)
    use(members.web1, "set_summary", alpha, summary="the release")
    (found,) = use(members.web1, "list_peers", bravo, scope="directory")["peers"]
    assert (found["id"], found["summary"]) == ("web1/alpha", "the release")
    use(members.web1, "send_message", bravo, to_id=found["id"], message="hello")
    checked = use(members.web1, "check_messages", alpha)
    assert checked["messages"][0]["body"] == "hello"
    assert use(members.web1, "check_messages", alpha)["messages"] == []


# -- within a request ----------------------------------------------------------------------------


def test_what_a_tool_asks_is_not_counted_again(members: Members) -> None:
    quotas = members.app.wsgi_app._inner._quotas
    quotas.limit = 1
    assert use(members.web1, "bus_post", to="db1", body="x")["ref"]
    assert quotas.used("web1") == 0


def test_a_repeated_call_under_a_key_posts_once(members: Members) -> None:
    def sent() -> Any:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "bus_post", "arguments": {"to": "db1", "body": "x"}},
        }
        reply = members.web1.post("/mcp", json=body, headers={"Idempotency-Key": "k1"})
        return reply.json["result"]["structuredContent"]["ref"]

    assert sent() == sent()

"""bus mcp: the hub's tools over standard input and output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Caller

Cli = Callable[..., Any]


def lines(*requests: Any) -> str:
    return "".join(
        (one if isinstance(one, str) else json.dumps({"jsonrpc": "2.0", **one})) + "\n"
        for one in requests
    )


def answers(ran: Any) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def tool(id: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def test_tools_post_and_read_as_the_caller(bus: Caller, cli: Cli) -> None:
    bus.say("hello bob", sender="alice", to="bob")
    ran = cli(
        "mcp",
        stdin=lines(
            {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/list"},
            tool(3, "bus_inbox"),
            tool(4, "bus_post", to="carol", body="hi"),
        ),
    )
    hello, listed, inbox, posted = answers(ran)
    assert hello["result"]["protocolVersion"] == "2025-06-18"
    assert "bus_post" in [one["name"] for one in listed["result"]["tools"]]
    assert "hello bob" in json.dumps(inbox["result"]["structuredContent"])
    assert not posted["result"].get("isError")
    (message,) = bus.get("/messages?to=carol").json["messages"]
    assert (message["from"], message["body"]) == ("bob", "hi")


def test_a_profile_has_its_own_tools(bus: Caller, cli: Cli) -> None:
    ran = cli("mcp", "--profile", "peers", stdin=lines({"id": 1, "method": "tools/list"}))
    (listed,) = answers(ran)
    names = {one["name"] for one in listed["result"]["tools"]}
    assert names == {"list_peers", "send_message", "set_summary", "check_messages"}


def test_discovery_is_refused_so_that_a_client_shakes_hands(bus: Caller, cli: Cli) -> None:
    (answer,) = answers(cli("mcp", stdin=lines({"id": 1, "method": "server/discover"})))
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("line", "code"), [("{", -32700), ("[]", -32600), ('{"id":1}', -32600), ("3", -32600)]
)
def test_a_line_that_is_no_request_is_answered_with_an_error(
    bus: Caller, cli: Cli, line: str, code: int
) -> None:
    first, second = answers(cli("mcp", stdin=lines(line, {"id": 2, "method": "ping"})))
    assert first["error"]["code"] == code
    assert second["result"] == {}


def test_while_the_hub_is_away_tools_stay_listed_and_a_call_says_so(
    bus: Caller, cli: Cli, door: Any
) -> None:
    list_tools = {"id": 1, "method": "tools/list"}
    (before,) = answers(cli("mcp", stdin=lines(list_tools)))
    door.troubles.extend([(503, {}, b"{}")] * 20)
    listed, called = answers(cli("mcp", stdin=lines(list_tools, tool(2, "bus_inbox"))))
    assert listed == before
    assert called["result"]["isError"]
    assert called["result"]["structuredContent"]["ok"] is False

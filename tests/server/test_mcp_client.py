"""The MCP servers of a real hub, `/mcp` and `bus mcp`, as the SDK's own client uses them: each tool
of every profile, with right arguments and wrong ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import ROOT
from tests.fleet import SECRET
from tests.running_fleet import FleetHub, running_fleet

pytestmark = pytest.mark.slow

# Of each tool: arguments that are right; the facts of the answer; arguments that are wrong, and the
# one that is. A tool whose right arguments still fail here, for there are no containers, says why.
Calls = list[tuple[str, dict[str, Any], set[str], dict[str, Any], str]]
BOX = {"target": "box"}
NOTE = {**BOX, "path": "/note"}
NAMED = {"name": "nobox"}
NEWEST = "the newest message"
BRIEF = {"to": "web1", "title": "Plan", "body": "- [ ] review it"}
DONE = {"number": 1, "status": "done"}
PERMIT = {"source": "web1", "target": "den"}
CALLS: dict[str, Calls] = {
    "default": [
        ("bus_post", {"to": "db1", "body": "x"}, {"ref"}, {"to": "db1", "boddy": "x"}, "boddy"),
        ("bus_inbox", {"ack": True, "limit": 5}, {"messages"}, {"limit": 0}, "limit"),
        ("bus_read", {"search": "hello"}, {"messages"}, {}, "ref"),
        ("bus_ack", {"all": True}, {"acked"}, {"refs": [True]}, "refs"),
        ("bus_agents", {"scope": "fleet"}, {"agents"}, {"scope": "moon"}, "scope"),
        ("bus_exec", {**BOX, "command": "echo hi"}, {"stdout"}, {**BOX, "command": 1}, "command"),
        ("bus_exec", {**NOTE, "content": "hi"}, {"size"}, {**NOTE, "command": "ls"}, "command"),
        ("bus_work", {"do": "owed"}, {"you_owe"}, {"do": "ask", "to": "db1"}, "text"),
        ("bus_admin", {"action": "activity"}, {"events"}, {"action": "permit"}, "source"),
    ],
    "default of a member": [
        ("bus_exec", {**BOX, "command": "echo hi"}, {"stdout"}, BOX, "command"),
        ("bus_file", {**NOTE, "content": "hi"}, {"size"}, {**NOTE, "content": 1}, "content"),
        ("bus_file", NOTE, {"content"}, BOX, "path"),
    ],
    "claude-net": [
        ("claude_net_send", {"to": "all", "message": "x"}, {"ref"}, {"to": "all"}, "message"),
        ("claude_net_inbox", {"ack": True}, {"messages"}, {"limit": "all"}, "limit"),
        ("claude_net_machines", {}, {"machines"}, {"x": 1}, "x"),
        ("claude_net_exec", {**BOX, "command": ["true"]}, {"exit_code"}, BOX, "command"),
        ("claude_net_file_write", {**NOTE, "content": "x"}, {"size"}, NOTE, "content"),
        ("claude_net_file_read", NOTE, {"content"}, {**NOTE, "path": ["/note"]}, "path"),
        ("claude_net_permit", {**PERMIT, "allow": True}, {"permission"}, PERMIT, "allow"),
        ("claude_net_permissions", {}, {"permissions"}, {"of": "x"}, "of"),
        ("claude_net_container_start", NAMED, {"error"}, {}, "name"),
        ("claude_net_container_stop", NAMED, {"error"}, {"name": 1}, "name"),
        ("claude_net_container_snapshot", NAMED, {"error"}, {"snap": "a"}, "name"),
        ("claude_net_container_restore", {**NAMED, "snap": "a"}, {"error"}, NAMED, "snap"),
        ("claude_net_activity", {"hours": 1}, {"events"}, {"hours": 0}, "hours"),
    ],
    "claudemail": [
        ("claudemail_send", BRIEF, {"ref", "title"}, {"to": "web1", "body": "x"}, "title"),
        ("claudemail_check", {}, {"messages"}, {"cursor": 1}, "cursor"),
        ("claudemail_read", {"ref": NEWEST}, {"message"}, {}, "ref"),
        ("claudemail_digest", {}, {"marked_read"}, {"budget": 1}, "budget"),
        ("claudemail_star", {"ref": NEWEST}, {"starred"}, {"ref": 1, "on": "yes"}, "on"),
        ("claudemail_action_create", {"title": "x"}, {"action"}, {"titel": "x"}, "titel"),
        ("claudemail_actions", {}, {"yours"}, {"of": "x"}, "of"),
        ("claudemail_action_update", DONE, {"action"}, {"number": 0}, "number"),
        ("claudemail_action_list", {"status": "all"}, {"actions"}, {"overdue": 7}, "overdue"),
        ("claudemail_status", {}, {"hub", "counts"}, {"x": 1}, "x"),
        ("claudemail_roster", {"scope": "fleet"}, {"agents"}, {"scope": "moon"}, "scope"),
        ("claudemail_checkup", {"stale_h": 1}, {"counts"}, {"stale_h": -1}, "stale_h"),
        ("claudemail_waiting", {}, {"you_owe", "others_owe_you"}, {"x": 1}, "x"),
        ("claudemail_clean", {}, {"done"}, {"confirm": "x"}, "confirm"),
    ],
    "peers": [
        ("list_peers", {"scope": "fleet"}, {"peers"}, {"scope": "world"}, "scope"),
        ("send_message", {"to_id": "web1", "message": "x"}, {"ref"}, {"to_id": "web1"}, "message"),
        ("set_summary", {"summary": "the release"}, {"id"}, {"summary": 1}, "summary"),
        ("check_messages", {}, {"messages"}, {"wait": 1}, "wait"),
    ],
}


@pytest.fixture(scope="module")
def fleet_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetHub]:
    with running_fleet(tmp_path_factory.mktemp("fleet")) as (hub, _, _):
        allow = {"source": "admin", "target": "box", "allow": True}
        assert hub.as_("admin", "POST", "/api/permit", json=allow).status_code == 200
        yield hub


@asynccontextmanager
async def connected(
    hub: FleetHub, home: Path, transport: str, profile: str, name: str, mode: Any
) -> AsyncIterator[Client]:
    """A client of a server: the hub's own, or `bus mcp`, started as Claude Code starts it."""
    machine = name.partition("/")[0]
    if transport == "http":
        url = f"{hub.url}/mcp?profile={profile}&name={name}"
        async with httpx2.AsyncClient(auth=(machine, SECRET), timeout=60) as http:
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                yield client
        return
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "busclient", "mcp", "--profile", profile],
        env={
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "BUS_URL": hub.url,
            "BUS_USER": machine,
            "BUS_NAME": name,
            "BUS_PASS": SECRET,
        },
    )
    async with Client(server, mode=mode) as client:
        yield client


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_every_tool_answers_and_says_what_is_wrong(
    fleet_hub: FleetHub, tmp_path: Path, transport: str, calls: str, mode: Any
) -> None:
    profile, _, member = calls.partition(" of a ")
    caller = "web1" if member else "admin"
    name = f"{caller}/alpha"
    tried = {tool for tool, *_ in CALLS[calls] + (CALLS[profile] if member else [])}

    def newest() -> int:
        return int(fleet_hub.as_(caller, "GET", "/messages").json()["messages"][-1]["seq"])

    async def talk() -> None:
        session = {"name": name, "session_id": "one"}
        registered = fleet_hub.as_(caller, "POST", "/agents", json=session)
        assert registered.status_code == 200, registered.text
        server = connected(fleet_hub, tmp_path, transport, profile, name, mode)
        async with server as client:
            assert client.protocol_version == "2025-11-25"
            listed = {tool.name for tool in (await client.list_tools()).tools}
            assert listed and listed <= tried
            for tool, right, facts, wrong, argument in CALLS[calls]:
                given = {fact: newest() if one == NEWEST else one for fact, one in right.items()}
                done = await client.call_tool(tool, given)
                found = done.structured_content
                assert done.is_error is (facts == {"error"}), (tool, found)
                assert facts <= set(found), (tool, found)
                assert not done.is_error or (found["message"] and found["hint"])
                refused = await client.call_tool(tool, wrong)
                assert refused.is_error, (tool, wrong)
                said = refused.structured_content
                assert (said["error"], said["argument"]) == ("wrong_argument", argument), tool
                assert said["message"] and said["hint"]

    anyio.run(talk)


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_a_tool_that_is_not_the_callers_is_not_there(
    fleet_hub: FleetHub, tmp_path: Path, transport: str
) -> None:
    async def talk() -> None:
        for profile, hidden in (("default", "bus_admin"), ("claude-net", "claude_net_permit")):
            server = connected(fleet_hub, tmp_path, transport, profile, "web1", "auto")
            async with server as client:
                listed = {tool.name for tool in (await client.list_tools()).tools}
                assert listed and hidden not in listed
                with pytest.raises(MCPError, match="There is no tool"):
                    await client.call_tool(hidden, {"action": "permissions"})

    anyio.run(talk)

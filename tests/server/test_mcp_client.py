"""The MCP server of a real hub, as the SDK's own client uses it over HTTP."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import PASSWORD, USER, RunningHub

pytestmark = pytest.mark.slow
PROFILES = {
    "default": {"bus_post", "bus_inbox", "bus_read", "bus_ack", "bus_agents"},
    "claude-net": {"claude_net_send", "claude_net_inbox", "claude_net_machines"},
    "peers": {"list_peers", "send_message", "set_summary", "check_messages"},
}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("profile", PROFILES)
def test_the_sdk_lists_and_calls_the_tools(hub: RunningHub, profile: str, mode: Any) -> None:
    async def talk() -> None:
        url = f"{hub.url}/mcp?profile={profile}&name=bob"
        async with httpx2.AsyncClient(auth=(USER, PASSWORD), timeout=30) as http:
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                assert client.protocol_version == "2025-11-25"
                found = (await client.list_tools()).tools
                assert {tool.name for tool in found} == PROFILES[profile]
                if profile == "default":
                    inbox = await client.call_tool("bus_inbox", {"ack": True})
                    assert inbox.structured_content["messages"][0]["body"] == "hello"
                    wrong = await client.call_tool("bus_inbox", {"limit": 0})
                    assert wrong.is_error
                    assert wrong.structured_content["argument"] == "limit"

    hub.say("hello")
    anyio.run(talk)

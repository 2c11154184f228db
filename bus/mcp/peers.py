"""The tools of the profile `peers`, under the names that users of claude-peers know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.mcp.default import roster
from bus.mcp.results import Answer, messages
from bus.mcp.session import Session
from bus.mcp.tools import READS, SETTLES, TEXT, WRITES, Tool, about, one_of

REST = "`bus read {}` in a shell"
_PAGE = 50
Given = Mapping[str, Any]


def _list(session: Session, given: Given) -> Answer:
    agents, more = roster(session, given["scope"])
    found = [one for one in agents if one["name"] != session.name]
    return {"peers": [{"id": one.pop("name"), **one} for one in found], **more}


def _summary(session: Session, given: Given) -> Answer:
    agent = session.put(f"/agents/{session.name}/summary", summary=given["summary"])["agent"]
    return {"id": agent["name"], "summary": agent.get("summary")}


def _check(session: Session, given: Given) -> Answer:
    page = session.get("/messages", **session.mine, since=0, limit=_PAGE)
    shown = messages(page["messages"], session.ref, REST)
    if shown:
        session.ack([found["seq"] for found in page["messages"]])
    more = {"more": "more mail waits: call check_messages again"} if page["has_more"] else {}
    return {"id": session.name, "messages": shown, **more}


TOOLS = (
    Tool(
        "list_peers",
        "Other sessions, and what they work on.",
        _list,
        READS,
        {"scope": about(one_of("machine", "directory", "repo", "fleet"), "the same as yours")},
        ("scope",),
    ),
    Tool(
        "send_message",
        "Send a message to another session.",
        lambda session, given: session.say(given["to_id"], given["message"]),
        WRITES,
        {"to_id": about(TEXT, "its id, from list_peers"), "message": TEXT},
        ("to_id", "message"),
    ),
    Tool(
        "set_summary",
        "Say in one line what you work on; other sessions see it.",
        _summary,
        SETTLES,
        {"summary": TEXT},
        ("summary",),
    ),
    Tool(
        "check_messages",
        "Your new messages. They count as read once they are returned.",
        _check,
        WRITES,
    ),
)

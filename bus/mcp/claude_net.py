"""The tools of the profile `claude-net`, under the names that its users know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bus.mcp import machines
from bus.mcp.results import Answer, message, safe
from bus.mcp.session import Session
from bus.mcp.tools import (
    ACTS,
    ADMIN,
    CHANGES,
    OWN,
    READS,
    SETTLES,
    TEXT,
    TEXT_OR_LIST,
    WRITES,
    YES,
    Tool,
    about,
    whole,
)
from bus.model.caller import SHARED

TOKENS = 20_000  # of one answer, each of 3 bytes
_ROOM = 380_000  # bytes of one answer with a `limit`: Claude Code takes 400,000 characters
_FIRST_PAGE, _PAGE = 8, 50
_LONGEST = 16_000  # characters of one body
REST = "`bus read {}` in a shell"
Given = Mapping[str, Any]


def _send(session: Session, given: Given) -> Answer:
    names = [name.strip() for name in given["to"].split(",") if name.strip()]
    return session.say(names if len(names) > 1 else given["to"].strip(), given["message"])


def _inbox(session: Session, given: Given) -> Answer:
    limit, since = given.get("limit"), given.get("cursor", 0)
    shown: list[Answer] = []
    seqs: list[int] = []
    room, more = TOKENS * 3 if limit is None else _ROOM, True
    while more and room > 0 and (limit is None or len(shown) < limit):
        asked = min(_PAGE, max(_FIRST_PAGE, len(shown)))
        asked = asked if limit is None else min(asked, limit - len(shown))
        page = session.get("/messages", **session.mine, since=since, limit=asked)
        for found in page["messages"]:
            one = message(found, session.ref, REST, _LONGEST)
            size = _size(one)
            session.rest()
            if size > room and shown:
                room = 0
                break
            shown.append(one)
            seqs.append(found["seq"])
            room, since = room - size, found["seq"]
        else:
            more = page["has_more"]
    answer: Answer = {"name": session.name, "messages": shown}
    if given.get("ack") and shown:
        answer["acked"] = session.ack(seqs)
    if more:
        answer["cursor"] = since
    return answer


def _size(one: Answer) -> int:
    """Return how many bytes a message takes, as it is shown."""
    return len(json.dumps(safe(one), ensure_ascii=False).encode())


def _machines(session: Session, given: Given) -> Answer:
    if session.role != SHARED:
        found = session.get("/api/machines")
        return {fact: found[fact] for fact in ("machines", "has_more", "unavailable")}
    agents = session.get("/agents", limit=1_000)["agents"]
    facts = ("name", "state", "last_seen")
    return {
        "machines": [
            {fact: one[fact] for fact in facts if fact in one}
            for one in agents
            if "/" not in one["name"]
        ]
    }


def _container(act: str, with_snapshot: bool = False) -> Tool:
    more = {"snap": TEXT} if with_snapshot else {}
    required = ("name", "snap") if act == "restore" else ("name",)
    words = {
        "start": "Start a container.",
        "stop": "Stop a container.",
        "snapshot": "Make a snapshot of a container.",
        "restore": "Take a container back to a snapshot. What is there is saved first.",
    }
    return Tool(
        f"claude_net_container_{act}",
        words[act],
        lambda session, given: machines.container(session, act, given["name"], given.get("snap")),
        WRITES if act in ("start", "snapshot") else CHANGES,
        {"name": TEXT, **more},
        required,
        ADMIN,
    )


TOOLS = (
    Tool(
        "claude_net_send",
        "Send a message to another machine's Claude.",
        _send,
        WRITES,
        {
            "to": about(TEXT, 'a name, names with commas, or "all" for every machine'),
            "message": TEXT,
        },
        ("to", "message"),
    ),
    Tool(
        "claude_net_inbox",
        "Your unread messages, oldest first: all that fit into 20,000 tokens, then a cursor.",
        _inbox,
        SETTLES,
        {
            "limit": whole(1, 500),
            "ack": about(YES, "acknowledge what is returned, and nothing else"),
            "cursor": about(whole(0, 10**18 - 1), "of the answer before"),
        },
        is_long=True,
    ),
    Tool("claude_net_machines", "The machines, and whether they are there.", _machines, READS),
    Tool(
        "claude_net_exec",
        "Run a command on another machine, where an admin permits it.",
        lambda session, given: machines.run(session, given["target"], given["command"]),
        ACTS,
        {
            "target": TEXT,
            "command": about(TEXT_OR_LIST, "shell text, or a program and its arguments"),
        },
        ("target", "command"),
        OWN,
    ),
    Tool(
        "claude_net_file_read",
        "Read a file on another machine.",
        lambda session, given: machines.read(session, given["target"], given["path"]),
        READS,
        {"target": TEXT, "path": about(TEXT, "absolute")},
        ("target", "path"),
        OWN,
        is_long=True,
    ),
    Tool(
        "claude_net_file_write",
        "Write a file on another machine, whole.",
        lambda session, given: machines.write(
            session, given["target"], given["path"], given["content"]
        ),
        {**ACTS, "idempotentHint": True},
        {"target": TEXT, "path": about(TEXT, "absolute"), "content": TEXT},
        ("target", "path", "content"),
        OWN,
    ),
    Tool(
        "claude_net_permit",
        "Allow or deny that a source runs commands and uses files on a target.",
        lambda session, given: machines.permit(
            session, given["source"], given["target"], given["allow"]
        ),
        {**CHANGES, "idempotentHint": True},
        {"source": TEXT, "target": TEXT, "allow": YES},
        ("source", "target", "allow"),
        ADMIN,
    ),
    Tool(
        "claude_net_permissions",
        "All permissions.",
        lambda session, given: machines.permissions(session),
        READS,
        may=ADMIN,
    ),
    _container("start"),
    _container("stop"),
    _container("snapshot", with_snapshot=True),
    _container("restore", with_snapshot=True),
    Tool(
        "claude_net_activity",
        "What happened in the last hours.",
        lambda session, given: machines.activity(session, given.get("hours")),
        READS,
        {"hours": whole(1, 8784)},
        may=ADMIN,
    ),
)

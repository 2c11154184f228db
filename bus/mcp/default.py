"""The tools of the default profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.mcp import machines
from bus.mcp.results import Answer, Wrong, message, messages
from bus.mcp.session import Session, reference
from bus.mcp.tools import (
    ACTS,
    ADMIN,
    CHANGES,
    MEMBERS,
    READS,
    REF,
    SETTLES,
    TEXT,
    TEXT_OR_LIST,
    TEXTS,
    WRITES,
    YES,
    Tool,
    about,
    one_of,
    whole,
)
from bus.mcp.work import WORK

REST = 'bus_read {{"ref": {}}}'
_ACTIONS = ("exec", "file_read", "file_write")
_CONTAINER = ("start", "stop", "snapshot", "restore")
_NEEDED = {
    **dict.fromkeys(_CONTAINER, ("target",)),
    "restore": ("target", "snapshot"),
    "permit": ("source", "target"),
    "revoke": ("source", "target"),
    "approve": ("ids",),
}
Given = Mapping[str, Any]


def _post(session: Session, given: Given) -> Answer:
    reply = given.get("in_reply_to")
    more = {name: given[name] for name in ("priority", "tags", "ack_by") if name in given}
    if reply is not None:
        more["in_reply_to"] = reference(reply, "in_reply_to")
    return session.say(given["to"], given["body"], **more)


def _inbox(session: Session, given: Given) -> Answer:
    asked = {"since": 0, "limit": given.get("limit", 20), "wait": given.get("wait_s")}
    page = session.get("/messages", **session.mine, **asked)
    found = messages(page["messages"], session.ref, REST)
    shown: Answer = {"name": session.name, "messages": found}
    if given.get("ack") and page["messages"]:
        shown["acked"] = session.ack([found["seq"] for found in page["messages"]])
    if page["has_more"]:
        shown["more"] = "more mail waits: acknowledge these, then call bus_inbox again"
    return shown


def _read(session: Session, given: Given) -> Answer:
    ways = [name for name in ("ref", "thread", "search") if name in given]
    if len(ways) != 1:
        raise Wrong(
            ways[1] if ways else "ref",
            f"{len(ways)} of `ref`, `thread` and `search` are given.",
            "Give one of them.",
        )
    before = {"before": given["before"]} if "before" in given else {}
    if "ref" in given:
        ref = reference(given["ref"], "ref")
        found = session.get(f"/messages/{ref}", reader=session.name)
        return {"message": message(found, session.ref, REST)}
    if "search" in given:
        page = session.get("/search", q=given["search"], limit=20, **before)
    else:
        thread = given["thread"]
        if _is_seq(thread):  # of a message, which may be in another's
            ref = reference(thread, "thread")
            found = session.get(f"/messages/{ref}", reader=session.name)
            thread = found.get("thread", found["id"])
        asked = {"thread": thread, "order": "desc", "limit": 20, **before}
        page = session.get("/messages", **asked)
    ordered = sorted(page["messages"], key=lambda one: int(one["seq"]))
    shown: Answer = {"messages": messages(ordered, session.ref, REST)}
    if page["has_more"]:
        shown["older"] = f'the same with "before": {page["next"]}'
    return shown


def _is_seq(thread: str | int) -> bool:
    return isinstance(thread, int) or thread.partition(".")[0].isdigit()


def _ack(session: Session, given: Given) -> Answer:
    if ("refs" in given) == bool(given.get("all")):
        raise Wrong("refs", "Give either `refs` or `all`.", "`refs` is a list such as [412, 413].")
    if "refs" in given:
        refs = given["refs"] if isinstance(given["refs"], list) else [given["refs"]]
        if not refs:
            raise Wrong("refs", "`refs` is empty.", "Give a list such as [412, 413].")
        return {"acked": session.ack([reference(ref, "refs") for ref in refs])}
    return {"acked": session.ack_shown()}


_LONGEST_FACT = 200  # characters
_SHOWN = ("name", "state", "turn", "summary", "agent_type", "host", "cwd", "repo", "branch")


def roster(session: Session, scope: str, state: str | None = None) -> tuple[list[Answer], Answer]:
    """Return the agents that are there, in short: one's own machine's first, few of each other; and
    how many are left out.
    """
    of = {} if scope == "fleet" else {"of": session.name}
    asked = {"scope": scope, "state": state, "limit": 200, "around": session.name, **of}
    found = session.get("/agents", **asked)
    facts = (*_SHOWN, "last_seen", "unread")
    agents = [{fact: _cut(one[fact]) for fact in facts if one.get(fact)} for one in found["agents"]]
    return agents, {"more": found["more"]} if found["more"] else {}


def _cut(fact: Any) -> Any:
    is_long = isinstance(fact, str) and len(fact) > _LONGEST_FACT
    return f"{fact[: _LONGEST_FACT - 1]}…" if is_long else fact


def _agents(session: Session, given: Given) -> Answer:
    found, more = roster(session, given.get("scope", "fleet"), given.get("state"))
    return {"you": session.name, "agents": found, **more}


def _exec(session: Session, given: Given) -> Answer:
    more = {name: given[name] for name in ("stdin", "timeout_s") if name in given}
    return machines.run(session, given["target"], given["command"], **more)


def _file(session: Session, given: Given) -> Answer:
    if "content" in given:
        return machines.write(session, given["target"], given["path"], given["content"])
    return machines.read(session, given["target"], given["path"])


def _exec_or_file(session: Session, given: Given) -> Answer:
    if ("command" in given) == ("path" in given):
        raise Wrong("command", "Give either `command` or `path`.", "`path` is of a file.")
    return _exec(session, given) if "command" in given else _file(session, given)


def _admin(session: Session, given: Given) -> Answer:
    act = given["action"]
    if act in _NEEDED:
        for name in _NEEDED[act]:
            if name not in given:
                raise Wrong(name, f"`{name}` is missing.", f"`{act}` needs it.")
    if act in _CONTAINER:
        return machines.container(session, act, given["target"], given.get("snapshot"))
    if act in ("permit", "revoke"):
        return _permit(session, given)
    if act == "permissions":
        about = {name: given.get(name) for name in ("source", "target")}
        return machines.permissions(session, **about)
    if act == "activity":
        return machines.activity(session, given.get("hours"))
    return _looked_at(session, given)


def _permit(session: Session, given: Given) -> Answer:
    is_permit = given["action"] == "permit"
    asked = ("actions", "commands", "expires_in_s") if is_permit else ("actions",)
    more = {name: given[name] for name in asked if name in given}
    if given.get("ask_first") and is_permit:
        more["approval"] = "required"
    allow = given.get("allow", True) if is_permit else None
    return machines.permit(session, given["source"], given["target"], allow, **more)


def _looked_at(session: Session, given: Given) -> Answer:
    if given["action"] == "approve":
        answered = {"ids": given["ids"], "allow": given.get("allow", True)}
        return {"approvals": session.post("/api/approvals", answered)["approvals"]}
    if given["action"] == "approvals":
        found = session.get("/api/approvals", state="pending")
        return {name: found[name] for name in ("approvals", "has_more")}
    found = session.get("/api/containers")
    return {name: found[name] for name in ("containers", "unavailable")}


_RUNS = "Run a command on another machine or container, where an admin permits it."
_COMMAND = {
    "target": TEXT,
    "command": about(TEXT_OR_LIST, "shell text, or a program and its arguments"),
    "stdin": TEXT,
    "timeout_s": about(whole(1, 3600), "default 30"),
}
_READS_FILES = "Read a file on another machine, or write it whole if `content` is given."
_PATH = {"target": TEXT, "path": about(TEXT, "absolute"), "content": TEXT}

TOOLS = (
    Tool(
        "bus_post",
        "Post a message to other agents: facts, questions, results. Never secrets.",
        _post,
        WRITES,
        {
            "to": about(TEXT_OR_LIST, 'names, "topic:x", "role:x", or "all"'),
            "body": TEXT,
            "priority": one_of("fyi", "normal", "urgent"),
            "in_reply_to": about(REF, "ref"),
            "tags": TEXTS,
            "ack_by": about(REF, "seconds, or a time; you are told if it is not acked by then"),
        },
        ("to", "body"),
    ),
    Tool(
        "bus_inbox",
        "Your unread mail, oldest first. It stays unread until acked.",
        _inbox,
        SETTLES,
        {
            "ack": about(YES, "ack what is returned"),
            "wait_s": about(whole(0, 60), "wait for mail if there is none"),
            "limit": whole(1, 50),
        },
        is_long=True,
    ),
    Tool(
        "bus_read",
        "Read one message whole, a thread, or search all messages. Give one of the three.",
        _read,
        READS,
        {
            "ref": REF,
            "thread": about(REF, "its id, or a ref in it"),
            "search": about(TEXT, "words"),
            "before": about(whole(1, 10**18 - 1), "older page"),
        },
        is_long=True,
    ),
    Tool(
        "bus_ack",
        "Acknowledge messages you have dealt with.",
        _ack,
        SETTLES,
        {
            "refs": {"type": ["array", "integer", "string"], "items": REF},
            "all": about(YES, "all that you were shown"),
        },
    ),
    Tool(
        "bus_agents",
        "Who is on the bus, and what they work on.",
        _agents,
        READS,
        {
            "scope": one_of("fleet", "machine", "directory", "repo"),
            "state": one_of("live", "idle", "stale", "gone"),
        },
    ),
    Tool("bus_exec", _RUNS, _exec, ACTS, _COMMAND, ("target", "command"), MEMBERS),
    Tool("bus_file", _READS_FILES, _file, ACTS, _PATH, ("target", "path"), MEMBERS, is_long=True),
    # Nobody sees more than eight tools: for admins the two are one.
    Tool(
        "bus_exec",
        f"{_RUNS} With `path` instead of `command`: {_READS_FILES[0].lower()}{_READS_FILES[1:]}",
        _exec_or_file,
        ACTS,
        {**_COMMAND, **_PATH},
        ("target",),
        ADMIN,
        is_long=True,
    ),
    WORK,
    Tool(
        "bus_admin",
        "Permissions (permit, revoke: source, target), approvals (approve: ids, allow), containers"
        " (target, snapshot), activity.",
        _admin,
        CHANGES,
        {
            "action": one_of(
                *("permit", "revoke", "permissions", "approvals", "approve"),
                *(*_CONTAINER, "containers", "activity"),
            ),
            "source": TEXT,
            "target": TEXT,
            "allow": about(YES, "false denies"),
            "actions": about(TEXTS, ", ".join(_ACTIONS)),
            "commands": about(TEXTS, "allowed beginnings"),
            "ask_first": about(YES, "each call needs an approval"),
            "expires_in_s": whole(1, 31_622_400),
            "ids": TEXTS,
            "snapshot": TEXT,
            "hours": whole(1, 8784),
        },
        ("action",),
        ADMIN,
    ),
)

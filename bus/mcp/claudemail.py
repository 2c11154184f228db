"""The tools of the profile `claudemail`, under the names that its users know: briefs as mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bus.mcp import claudemail_work as work
from bus.mcp.default import roster
from bus.mcp.results import LONGEST, Answer, Refused, message, messages
from bus.mcp.session import Session, reference
from bus.mcp.tools import (
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

REST = 'claudemail_read {{"ref": {}}}'
_BUDGET = 12_000  # characters of mail in one check
_HEADS = 1_500  # of that in a status
_SENDERS = 12
_STARRED, _SHORT = 20, 1_000  # messages, and characters of a body
_PRIORITY = one_of("fyi", "low", "normal", "high", "urgent")
Given = Mapping[str, Any]


def _send(session: Session, given: Given) -> Answer:
    said = {name: given[name] for name in given if name != "in_reply_to"}
    if "in_reply_to" in given:
        said["in_reply_to"] = reference(given["in_reply_to"], "in_reply_to")
    sent = session.once("/briefs", {"from": session.name, **said})
    told: Answer = {"ref": sent["seq"], "to": sent["to"], "title": sent["brief"]["title"]}
    kept = ("name", "known", "state", "unread", "last_seen")
    told["recipients"] = [
        {fact: one[fact] for fact in kept if fact in one} for one in sent.get("recipients", ())
    ]
    told["actions"] = work.shown(sent.get("actions", ()))
    names = ("read_as", "warnings", "replayed")
    return {
        **{name: value for name, value in told.items() if value},
        **{name: sent[name] for name in names if sent.get(name)},
    }


def _check(session: Session, given: Given) -> Answer:
    more = {"cursor": given.get("cursor"), "starred": 1 if given.get("starred") else None}
    found = session.get("/inbox", reader=session.name, budget=_BUDGET, **session.machine, **more)
    shown: Answer = {"name": session.name, "messages": _mail(session, found["messages"])}
    if found["stubs"]:
        shown["beginnings"] = [_stub(stub) for stub in found["stubs"]]
        shown["whole"] = REST.format("…")
    if found["cursor"] is not None:
        shown |= {"more": found["more"], "cursor": found["cursor"]}
    return shown


def _stub(stub: Mapping[str, Any]) -> Answer:
    names = ("from", "trust", "to", "ts", "priority", "preview")
    marks = {} if stub.get("verified") is True else {"verified": False}
    return {"ref": stub["seq"], **{name: stub[name] for name in names if name in stub}, **marks}


def _mail(
    session: Session, found: Sequence[Mapping[str, Any]], longest: int = LONGEST
) -> list[Answer]:
    shown = messages(found, session.ref, REST, longest)
    return [_titled(one, whole) for one, whole in zip(shown, found, strict=True)]


def _titled(shown: Answer, found: Mapping[str, Any]) -> Answer:
    """Return a message with what a brief says besides, before its text."""
    if "brief" not in found:
        return shown
    names = ("title", "date", "due", "action")
    brief = {name: found["brief"][name] for name in names if name in found["brief"]}
    urgent = {"priority": found["brief"]["priority"]} if "priority" in found["brief"] else {}
    return {"ref": shown.pop("ref"), **brief, **shown, **urgent}


def _read(session: Session, given: Given) -> Answer:
    ref = reference(given["ref"], "ref")
    found = session.get(f"/messages/{ref}", reader=session.name)
    shown: Answer = {"message": _titled(message(found, session.ref, REST), found)}
    if found.get("brief", {}).get("actions"):
        shown["actions"] = work.shown(work.of_brief(session, found))
    seq = found["seq"]
    mine = session.get("/messages", **session.mine, since=seq - 1, before=seq + 1, expired=1)
    shown["was_unread"] = bool(mine["messages"]) and session.ack([ref]) > 0
    return shown


def _digest(session: Session, given: Given) -> Answer:
    found = session.post("/digest", {"reader": session.name, "ack": 1})
    return _summed(found) | {
        "marked_read": len(found.get("acked", ())),
        "actions": work.shown(found["actions"]),
    }


def _summed(found: Mapping[str, Any]) -> Answer:
    """Return what a digest says of the mail."""
    senders = dict(list(found["by_sender"].items())[:_SENDERS])
    shown: Answer = {"was_unread": found["unread"], "by_sender": senders}
    shown["by_priority"] = found["by_priority"]
    facts = ("sender", "trust", "priority", "ts", "title", "text")
    shown["messages"] = [
        {"ref": one["seq"], **{fact: one[fact] for fact in facts if fact in one}}
        for one in found["messages"]
    ]
    return shown | ({"more": found["more"]} if found["more"] else {})


def _star(session: Session, given: Given) -> Answer:
    if "ref" in given:
        path = f"/star/{reference(given['ref'], 'ref')}"
        asked = {"reader": session.name, "starred": given.get("on", True)}
        found = session.post(path, asked)
        return {"ref": found["seq"], "starred": found["starred"]}
    asked = {"starred": 1, "reader": session.name, "order": "desc", "limit": _STARRED}
    page = session.get("/messages", **asked, before=given.get("before"))
    shown: Answer = {"messages": _mail(session, page["messages"], _SHORT)}
    return shown | ({"older": f'"before": {page["next"]}'} if page["has_more"] else {})


def _status(session: Session, given: Given) -> Answer:
    try:
        health = session.get("/health")
    except Refused as error:  # its storage is full, say: that is what is asked
        health = dict(error.answer)
    mail = _summed(session.get("/digest", reader=session.name, budget=_HEADS))
    facts = ("ok", "storage", "index", "now")
    hub = {"reachable": True, **{name: health[name] for name in facts if name in health}}
    return {
        "you": session.name,
        "hub": hub,
        "counts": {"unread": mail.pop("was_unread"), **work.counts(session)},
        "inbox": mail,
    }


def _roster(session: Session, given: Given) -> Answer:
    found, more = roster(session, given.get("scope", "fleet"), given.get("state"))
    return {"you": session.name, "agents": found, **more}


def _checkup(session: Session, given: Given) -> Answer:
    found = session.get("/checkup", stale_h=given.get("stale_h"), limit=given.get("limit", 5))
    return {name: value for name, value in found.items() if name != "ok" and value not in ([], {})}


TOOLS = (
    Tool(
        "claudemail_send",
        "Send a brief: markdown with a title. Each `action`, and each `- [ ]` in it, becomes one"
        " that is tracked. Never secrets.",
        _send,
        WRITES,
        {
            "to": about(TEXT_OR_LIST, 'names, "role:x", "topic:x", or "all"'),
            "title": TEXT,
            "body": TEXT,
            "action": about(TEXT_OR_LIST, 'what is to be done: "review it @bob !high"'),
            "priority": _PRIORITY,
            "due": about(TEXT, "2026-03-28"),
            "cc": TEXT_OR_LIST,
            "tags": TEXTS,
            "in_reply_to": about(REF, "ref"),
        },
        ("to", "title", "body"),
    ),
    Tool(
        "claudemail_check",
        "Your unread mail, the urgent first. Marks nothing as read.",
        _check,
        READS,
        {"starred": about(YES, "only what you have starred"), "cursor": about(TEXT, "next page")},
        is_long=True,
    ),
    Tool(
        "claudemail_read",
        "Read one message or brief whole, with its actions. It counts as read then.",
        _read,
        SETTLES,
        {"ref": REF},
        ("ref",),
        is_long=True,
    ),
    Tool(
        "claudemail_digest",
        "Your unread mail in few words, and your actions. What it shows counts as read then.",
        _digest,
        WRITES,
    ),
    Tool(
        "claudemail_star",
        "Star a message, to find it again. Without `ref`: what you have starred.",
        _star,
        SETTLES,
        {
            "ref": REF,
            "on": about(YES, "false takes the star away"),
            "before": about(whole(1, 10**18 - 1), "older page"),
        },
    ),
    *work.TOOLS,
    Tool(
        "claudemail_status",
        "How much waits for you, the first of your mail, and whether the hub is well.",
        _status,
        READS,
    ),
    Tool(
        "claudemail_roster",
        "Who is there, and what they work on.",
        _roster,
        READS,
        {
            "scope": one_of("fleet", "machine", "directory", "repo"),
            "state": one_of("live", "idle", "stale", "gone"),
        },
    ),
    Tool(
        "claudemail_checkup",
        "What is stuck in the fleet: overdue, without news, nobody's, unread, overloaded.",
        _checkup,
        READS,
        {
            "stale_h": about(whole(0, 8784), "hours without news; default 48"),
            "limit": about(whole(1, 20), "of each kind; default 5"),
        },
    ),
    work.WAITING,
    work.CLEAN,
)

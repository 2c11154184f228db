"""The tool of work: asks, actions and file leases, under one name so that few tools are listed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bus.mcp.results import Answer, Wrong
from bus.mcp.session import Session, reference
from bus.mcp.tools import OWN, REF, TEXT, TEXT_OR_LIST, TEXTS, WRITES, Tool, about, one_of, whole

Given = Mapping[str, Any]

_MOST = 50
_ROOM, _LONGEST, _FEW = 10_000, 1_000, 8  # characters of questions, of one; names in one
# What each deed needs.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "owed": (),
    "ask": ("to", "text"),
    "answer": ("ref",),
    "decline": ("ref", "text"),
    "actions": (),
    "add": ("text",),
    "claim": ("ref",),
    "update": ("ref",),
    "lease": ("repo", "paths"),
    "release": ("ref",),
    "leases": (),
}
_ASK = ("id", "seq", "from", "to", "question", "options", "state", "by", "answers", "waiting_for")
_ACTION = ("number", "title", "status", "priority", "assignee", "asked_by", "due", "overdue")
_LEASE = ("id", "holder", "repo", "paths", "exclusive", "until", "reason")


def _work(session: Session, given: Given) -> Answer:
    deed = given["do"]
    for name in _NEEDED[deed]:
        if name not in given:
            raise Wrong(name, f"`{name}` is missing.", f"`{deed}` needs it.")
    return _DEEDS[deed](session, given)


def _owed(session: Session, given: Given) -> Answer:
    mine = session.get("/asks", owed_by=session.name, limit=_MOST, state="open", **session.machine)
    theirs = session.get("/asks", asked_by=session.name, limit=_MOST, state="open")
    return {
        **_fitting("you_owe", mine, "answer or decline these, then ask again"),
        **_fitting("others_owe_you", theirs, "`bus asks`"),
        **_actions(session, given),
    }


def _fitting(name: str, page: Mapping[str, Any], rest: str) -> Answer:
    """Return the first questions of a page that fit, long ones cut, and how many more there are."""
    shown: list[Answer] = []
    room = _ROOM
    for ask in page["asks"]:
        kept = _kept(ask, _ASK)
        for what in ("to", "waiting_for", "answers"):
            if isinstance(kept.get(what), list) and len(kept[what]) > _FEW:
                kept[what] = [*kept[what][:_FEW], f"… and {len(kept[what]) - _FEW} more"]
        if (size := len(kept["question"])) > _LONGEST:
            kept["question"] = kept["question"][:_LONGEST] + "…"
            kept["cut"] = f"{_LONGEST} of {size} characters; the rest: bus_read {ask['seq']}"
        room -= len(json.dumps(kept, ensure_ascii=False))
        if room < 0 and shown:
            break
        shown.append(kept)
    left = len(page["asks"]) - len(shown)
    more = f"… {left}{' or more' if page['has_more'] else ''} more: {rest}"
    return {name: shown, **({f"{name}_more": more} if left or page["has_more"] else {})}


def _ask(session: Session, given: Given) -> Answer:
    names = ("options", "by", "default", "priority")
    more = {name: given[name] for name in names if name in given}
    to = given["to"] if isinstance(given["to"], list) else [given["to"]]
    asked = session.once(
        "/ask", {"from": session.name, "to": to, "question": given["text"], **more}
    )
    return {"ref": asked["seq"], "to": asked["to"], "state": asked["ask"]["state"]}


def _answer(session: Session, given: Given) -> Answer:
    said = {name: given[name] for name in ("option", "text") if name in given}
    path = f"/ask/{reference(given['ref'], 'ref')}/answer"
    return _kept(session.post(path, {"from": session.name, **said})["ask"], _ASK)


def _decline(session: Session, given: Given) -> Answer:
    path = f"/ask/{reference(given['ref'], 'ref')}/decline"
    said = {"from": session.name, "reason": given["text"]}
    return _kept(session.post(path, said)["ask"], _ASK)


def _actions(session: Session, given: Given) -> Answer:
    found = session.get("/actions", assignee=given.get("to", session.name), limit=_MOST)
    return {"actions": [_kept(action, _ACTION) for action in found["actions"]]}


def _add(session: Session, given: Given) -> Answer:
    more = {"assignee": given["to"]} if "to" in given else {}
    said = {"from": session.name, "title": given["text"], **more}
    made = session.once("/actions", said)["actions"]
    return {"action": _kept(made[0], _ACTION)}


def _claim(session: Session, given: Given) -> Answer:
    path = f"/actions/{_number(given)}/claim"
    return {"action": _kept(session.post(path, {"from": session.name})["action"], _ACTION)}


def _update(session: Session, given: Given) -> Answer:
    said = {"from": session.name}
    if "status" in given:
        said["status"] = given["status"]
    if "text" in given:
        said["note"] = given["text"]
    done = session.patch(f"/actions/{_number(given)}", said)["action"]
    return {"action": _kept(done, _ACTION)}


def _number(given: Given) -> int:
    text = str(given["ref"])
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Wrong("ref", "`ref` is no action's number.", "Give the `number` of an action.")
    return int(text)


def _lease(session: Session, given: Given) -> Answer:
    more = {"reason": given["text"]} if "text" in given else {}
    asked = {"holder": session.name, "repo": given["repo"], "paths": given["paths"], **more}
    return {"lease": _kept(session.post("/leases", asked)["lease"], _LEASE)}


def _release(session: Session, given: Given) -> Answer:
    id = given["ref"]
    if not isinstance(id, str) or not id.isalnum():
        raise Wrong("ref", "`ref` is no lease's id.", "Give the `id` of a lease.")
    return {"released": session.post(f"/leases/{id}/release", {})["ok"]}


def _leases(session: Session, given: Given) -> Answer:
    asked = {"repo": given["repo"]} if "repo" in given else {}
    found = session.get("/leases", limit=_MOST, **asked)
    shown: Answer = {"leases": [_kept(lease, _LEASE) for lease in found["leases"]]}
    return {**shown, **({"more": "give `repo` to see fewer"} if found["has_more"] else {})}


def _kept(found: Mapping[str, Any], names: tuple[str, ...]) -> Answer:
    return {name: found[name] for name in names if found.get(name) not in (None, [])}


_DEEDS = {
    "owed": _owed,
    "ask": _ask,
    "answer": _answer,
    "decline": _decline,
    "actions": _actions,
    "add": _add,
    "claim": _claim,
    "update": _update,
    "lease": _lease,
    "release": _release,
    "leases": _leases,
}

WORK = Tool(
    "bus_work",
    "Questions, actions, and leases on files, each open until seen to. `owed`: what waits for you.",
    _work,
    WRITES,
    {
        "do": one_of(*_NEEDED),
        "ref": about(REF, "question, action number, lease id"),
        "to": TEXT_OR_LIST,
        "text": about(TEXT, "question, answer, reason, title, or note"),
        "status": one_of("open", "wip", "waiting", "done", "dropped"),
        "options": TEXTS,
        "option": TEXT,
        "by": about(whole(1, 31_622_400), "seconds"),
        "default": about(TEXT, "counts after `by`"),
        "repo": about(TEXT, "URL"),
        "paths": about(TEXTS, "globs"),
    },
    ("do",),
    OWN,
)

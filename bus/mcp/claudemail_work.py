"""The tools of the profile `claudemail` that are about work: actions, what waits, what is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from bus.mcp.results import Answer, Wrong
from bus.mcp.session import Session, reference
from bus.mcp.tools import READS, REF, SETTLES, TEXT, WRITES, YES, Tool, about, one_of, whole
from bus.model.actions import Action
from bus.model.digest import by_due
from bus.model.inbox_lines import preview

Given = Mapping[str, Any]

_MOST = 50
_FREE = 10  # of the actions that nobody has
_UNREAD = 500  # messages that are looked at
_ASKED = 100  # messages of mine that are looked at for what others owe
_TEXT = 240  # characters of a text in a list
_BRIEFS = 50  # whose actions are looked at
_CLEANED = 100
_CLOSED = ("done", "dropped")
_PRIORITIES = ("low", "normal", "high", "urgent")
_STATUSES = ("open", "wip", "waiting", "done", "dropped")
_FACTS = (
    *("number", "title", "status", "priority", "assignee", "asked_by", "due", "overdue"),
    *("waiting_on", "brief"),
)
_ASK_FACTS = ("seq", "from", "to", "options", "by", "waiting_for")


def shown(found: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """Return actions in short."""
    return [
        {
            name: one[name]
            for name in _FACTS
            if one.get(name) is not None and (name, one[name]) != ("priority", "normal")
        }
        for one in found
    ]


def of_brief(session: Session, brief: Mapping[str, Any]) -> list[Answer]:
    """Return the actions that a brief asks for, whatever their state."""
    thread = brief.get("thread", brief["id"])
    found = session.get("/actions", thread=thread, status="all", limit=100)["actions"]
    return [one for one in found[::-1] if one["brief"] == brief["id"]]


def counts(session: Session) -> Answer:
    """Return how much a session has to do; `50` stands for so many or more."""
    mine = session.get("/actions", assignee=session.name, limit=_MOST)["actions"]
    asked = {"owed_by": session.name, "state": "open", **session.machine}
    owed = session.get("/asks", limit=_MOST, **asked)
    starred = session.get("/messages", starred=1, reader=session.name, limit=_MOST)
    return {
        "actions": len(mine),
        "overdue": sum(one.get("overdue", False) for one in mine),
        "questions": len(owed["asks"]),
        "starred": len(starred["messages"]),
    }


# -- actions -------------------------------------------------------------------------------------


def _mine(session: Session, given: Given) -> Answer:
    mine = session.get("/actions", assignee=session.name, limit=_MOST)
    free = session.get("/actions", unassigned=1, limit=_MOST)
    found = cast(list[Action], mine["actions"])
    answer: Answer = {"yours": shown(cast(list[Answer], by_due(found)))}
    if free["actions"]:
        answer["nobodys"] = shown(free["actions"][:_FREE])
    if mine["has_more"]:
        answer["more"] = f'claudemail_action_list {{"assignee": "{session.name}"}}'
    return answer


def _list(session: Session, given: Given) -> Answer:
    flags = {name: 1 for name in ("overdue", "unassigned") if given.get(name)}
    names = ("status", "assignee", "asked_by", "priority", "stale_h", "thread", "before")
    asked = {name: given[name] for name in names if name in given}
    found = session.get("/actions", limit=_MOST, **asked, **flags)
    answer: Answer = {"actions": shown(found["actions"])}
    return answer | ({"older": f'"before": {found["next"]}'} if found["has_more"] else {})


def _create(session: Session, given: Given) -> Answer:
    said = {name: given[name] for name in given if name != "brief"}
    if "brief" in given:
        said["brief"] = reference(given["brief"], "brief")
    made = session.once("/actions", {"from": session.name, **said})
    answer: Answer = {"action": shown(made["actions"])[0], "ref": made["seq"]}
    return answer | {name: made[name] for name in ("warnings", "replayed") if made.get(name)}


def _update(session: Session, given: Given) -> Answer:
    said = {name: value for name, value in given.items() if name not in ("number", "claim")}
    if not said and not given.get("claim"):
        raise Wrong("status", "Nothing is said to change.", "Give `status`, `note`, `claim`, …")
    path, me = f"/actions/{given['number']}", {"from": session.name}
    if given.get("claim"):
        found = session.post(f"{path}/claim", me)
    if said:
        found = session.patch(path, {**me, **said})
    return {"action": shown([found["action"]])[0]}


# -- what waits ----------------------------------------------------------------------------------


def _waiting(session: Session, given: Given) -> Answer:
    name = session.name
    owed = session.get("/asks", owed_by=name, state="open", limit=_MOST, **session.machine)
    mine = session.get("/asks", asked_by=name, state="open", limit=_MOST)
    unread = _unread(session)
    due = sorted((one for one in unread if "ack_by" in one), key=lambda one: str(one["ack_by"]))
    given_to_me = session.get("/actions", assignee=name, limit=_MOST)["actions"]
    asked = session.get("/actions", asked_by=name, limit=_MOST)["actions"]
    others = [one for one in asked if one.get("assignee") != name]
    return {
        "you_owe": _some(
            answers=[_ask(one) for one in owed["asks"]],
            acks=[_late(one) for one in due[:_MOST]],
            actions=shown(cast(list[Answer], by_due(cast(list[Action], given_to_me)))),
        ),
        "others_owe_you": _some(
            answers=[_ask(one) for one in mine["asks"]],
            acks=_acks_of_others(session),
            actions=shown(others),
        ),
    }


def _unread(session: Session) -> list[Answer]:
    """Return the first of the unread mail. Only its heads are shown, so nothing is fetched."""
    page = session.get("/messages", **session.mine, since=0, limit=_UNREAD, peek=1)
    found: list[Answer] = page["messages"]
    return found


def _some(**lists: list[Answer]) -> Answer:
    return {name: found for name, found in lists.items() if found}


def _ask(one: Mapping[str, Any]) -> Answer:
    found = {name: one[name] for name in _ASK_FACTS if one.get(name) not in (None, [])}
    found["ref"] = found.pop("seq")
    return {**found, "question": preview(one["question"], _TEXT)}


def _late(one: Mapping[str, Any]) -> Answer:
    found = {"ref": one["seq"], "from": one["from"], "to": one["to"], "ack_by": one["ack_by"]}
    return {**found, "text": _head(one)}


def _head(one: Mapping[str, Any]) -> str:
    return str(one["brief"]["title"]) if "brief" in one else preview(one["body"], _TEXT)


def _acks_of_others(session: Session) -> list[Answer]:
    """Return what I have asked others to acknowledge, and they have not."""
    late = session.get("/overdue", **{"from": session.name}, limit=_MOST)["overdue"]
    found: list[Answer] = [
        {"ref": one["seq"], "ack_by": one["ack_by"], "unread_by": one["unread_by"][:8]}
        for one in late
    ]
    known = {one["seq"] for one in late}
    asked = {"from": session.name, "order": "desc", "limit": _ASKED}
    ahead = [
        one
        for one in session.get("/messages", **asked)["messages"]
        if "ack_by" in one and one["seq"] not in known and "retracted" not in one
    ]
    for one in ahead[:10]:
        session.rest()
        receipts = session.get(f"/messages/{one['seq']}/receipts", limit=64)["receipts"]
        names = [name for name, times in receipts.items() if times["acked"] is None]
        if names:
            found.append({"ref": one["seq"], "ack_by": one["ack_by"], "unread_by": names[:8]})
    return found


# -- what is done --------------------------------------------------------------------------------


def _clean(session: Session, given: Given) -> Answer:
    if "confirm" not in given:
        found = _done(session)[:_CLEANED]
        if not found:
            return {"done": [], "nothing": "No unread mail is about what is done."}
        token = _token(session, [one["ref"] for one in found])
        return {"done": found, "next": f'claudemail_clean {{"confirm": "{token}"}} archives these'}
    seqs = _confirmed(session, given["confirm"])
    keep = {reference(ref, "keep") for ref in given.get("keep", ())}
    still = {one["ref"] for one in _done(session)}
    wanted = [seq for seq in seqs if seq not in keep and str(seq) not in keep and seq in still]
    archived = session.ack(wanted) if wanted else 0
    return {"archived": archived, "left": [seq for seq in seqs if seq not in wanted]}


def _done(session: Session) -> list[Answer]:
    """Return the unread mail that nobody has to do anything about any more, and why."""
    found, looked_at = [], 0
    for one in _unread(session):
        session.rest()
        why = _why(one)
        if why is None and one.get("brief", {}).get("actions") and looked_at < _BRIEFS:
            looked_at += 1
            actions = of_brief(session, one)
            if actions and all(action["status"] in _CLOSED for action in actions):
                why = "all its actions are closed"
        if why is not None:
            found.append({"ref": one["seq"], "from": one["from"], "why": why, "text": _head(one)})
    return found


def _why(one: Mapping[str, Any]) -> str | None:
    """Return why a message is done with, as far as it says so itself."""
    if "superseded_by" in one:
        return f"replaced by {one['superseded_by']}"
    if one.get("ask", {}).get("state", "open") != "open":
        return f"the question is {one['ask']['state']}"
    status = one.get("action", {}).get("set", {}).get("status")
    if status in _CLOSED:
        return f"tells that action {one['action']['number']} is {status}"
    return None


def _token(session: Session, seqs: Sequence[int]) -> str:
    """Return the word by which a list that was shown is confirmed."""
    text = ",".join(map(str, seqs))
    return f"{text}-{sha256(f'{session.name} {text}'.encode()).hexdigest()[:8]}"


def _confirmed(session: Session, token: str) -> list[int]:
    text = token.rpartition("-")[0]
    parts = text.split(",")[: _CLEANED + 1]
    if all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        seqs = [int(part) for part in parts]
        if len(seqs) <= _CLEANED and token == _token(session, seqs):
            return seqs
    raise Wrong("confirm", "`confirm` is of no list.", "Call it without, then give what it says.")


TOOLS = (
    Tool(
        "claudemail_actions",
        "What you have to do, what is due first; and what nobody has yet.",
        _mine,
        READS,
    ),
    Tool(
        "claudemail_action_update",
        "Change an action: claim it, say how far it is, add a note, give it to another.",
        _update,
        WRITES,
        {
            "number": about(whole(1, 10**9), "of the action"),
            "status": one_of(*_STATUSES),
            "note": about(TEXT, "kept, and told to who asked"),
            "claim": about(YES, "take what nobody has"),
            "assignee": about(TEXT, 'a name or "role:x"'),
            "priority": one_of(*_PRIORITIES),
            "due": TEXT,
            "title": TEXT,
            "waiting_on": about(TEXT, "whom or what it waits for"),
        },
        ("number",),
    ),
    Tool(
        "claudemail_action_create",
        "Ask for something to be done.",
        _create,
        WRITES,
        {
            "title": TEXT,
            "assignee": about(TEXT, 'a name or "role:x"; left out: nobody yet'),
            "priority": one_of(*_PRIORITIES),
            "due": about(TEXT, "2026-03-28"),
            "body": about(TEXT, "more about it"),
            "brief": about(REF, "ref: in its thread"),
        },
        ("title",),
    ),
    Tool(
        "claudemail_action_list",
        "Everybody's actions, the newest first; those that are not closed, unless `status` says.",
        _list,
        READS,
        {
            "status": about(TEXT, "with commas, or all"),
            "assignee": TEXT,
            "asked_by": TEXT,
            "unassigned": YES,
            "priority": one_of(*_PRIORITIES),
            "overdue": YES,
            "stale_h": about(whole(0, 8784), "hours without news"),
            "thread": TEXT,
            "before": about(whole(1, 10**9), "older page"),
        },
    ),
)
WAITING = Tool(
    "claudemail_waiting",
    "What you owe others and what they owe you: answers, acknowledgements, actions.",
    _waiting,
    READS,
)
CLEAN = Tool(
    "claudemail_clean",
    "Archive unread mail about what is done. First it shows the list; `confirm` archives that.",
    _clean,
    SETTLES,
    {
        "confirm": about(TEXT, "what it said"),
        "keep": {"type": "array", "items": REF, "description": "refs to leave"},
    },
)

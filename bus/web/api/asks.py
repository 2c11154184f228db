"""Asks: a question to some, what they say to it, and what is open."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.asks import Answering, Ask, AskQuery, AsksQuery, Declining, Question, Withdrawing
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.envelopes import defused
from bus.model.filter import recipients
from bus.model.harmless import body_lines, harmless, quoted
from bus.model.records import Fields
from bus.web.api import posting
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of asks."""
    routes = Blueprint("asks", __name__)

    @routes.post("/ask")
    @may_call(EVERYONE)
    def ask() -> Response:
        fields = _said()
        body.add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        question = Question.read(fields)
        check_speaks_as(g.caller, question.sender, "from", taken)
        posted = hub.asks.ask(g.caller, question)
        return Reply(posting.saved(hub, g.caller, posted), 201, mimetype="application/json")

    @routes.post("/ask/<ref>/answer")
    @may_call(EVERYONE)
    def answer(ref: str) -> Response:
        given = Answering.read(_said())
        check_speaks_as(g.caller, given.sender, "from", taken)
        return _told(*hub.asks.answer(g.caller, given, seen(ref)))

    @routes.post("/ask/<ref>/decline")
    @may_call(EVERYONE)
    def decline(ref: str) -> Response:
        given = Declining.read(_said())
        check_speaks_as(g.caller, given.sender, "from", taken)
        return _told(*hub.asks.decline(g.caller, given.sender, given.reason, seen(ref)))

    @routes.post("/ask/<ref>/withdraw")
    @may_call(EVERYONE)
    def withdraw(ref: str) -> Response:
        given = Withdrawing.read(_said())
        check_speaks_as(g.caller, given.sender, "from", taken)
        return _told(hub.asks.withdraw(g.caller, given.sender, seen(ref)), False)

    @routes.get("/ask/<ref>")
    @may_call(EVERYONE)
    def one(ref: str) -> Response:
        asked, view = parameters.query(AskQuery), hub.privacy.view(g.caller)
        found = hub.asks.wait(checks.reference(ref, "id"), view, asked.wait, g.check)
        return text_reply(_text(found)) if wants_text(asked.format) else _told(found, False)

    @routes.get("/asks")
    @may_call(EVERYONE)
    def asks() -> Response:
        asked = parameters.query(AsksQuery)
        before = None if asked.before is None else hub.messages.seq_of(asked.before)
        found, more = hub.asks.all(asked, before, hub.privacy.view(g.caller))
        if wants_text(asked.format):
            end = f"-- more: before={more}\n" if more else ""
            return text_reply(("".join(map(_line, found)) or "no asks\n") + end)
        return json_reply({"ok": True, "asks": found, "has_more": more > 0, "next": more or None})

    def seen(ref: str) -> str | int:
        """Return the reference of a message that the caller may see; raises NotFound."""
        found = checks.reference(ref, "id")
        hub.messages.get(found, hub.privacy.view(g.caller))
        return found

    return routes


def _said() -> Fields:
    """Return the fields of the body, with the caller's own name if it has one and gives none."""
    fields = body.object_or_nothing()
    return fields if g.caller.own_name is None else {"from": g.caller.own_name, **fields}


def _told(ask: Ask, replayed: bool) -> Response:
    return json_reply({"ok": True, "ask": ask, **({"replayed": True} if replayed else {})})


def _line(ask: Ask) -> str:
    to = ",".join(recipients(ask))
    question = " ".join(" ".join(body_lines(ask["question"][:200])).split())
    due = f" by {ask['by']}" if "by" in ask else ""
    about = f"{ask['seq']} {ask['state']} {ask['from']} > {to}{due} ({ask['id']})"
    return defused(f"{harmless(about)}: {question}\n")


def _text(ask: Ask) -> str:
    """Return an ask as text: one line about it, then each thing that was said, indented."""
    lines = [f"options: {', '.join(map(quoted, ask['options']))}"] if "options" in ask else []
    for said in ask["answers"]:
        words = [said[name] for name in ("option", "text") if name in said]
        lines.append(f"{said['name']} {said['time']}: {' '.join(words)}")
    lines += [
        f"{said['name']} {said['time']} declined: {said['reason']}" for said in ask["declined"]
    ]
    if ask["waiting_for"]:
        lines.append(f"waiting for {', '.join(ask['waiting_for'])}")
    return _line(ask) + defused("".join(f"  {' '.join(body_lines(line))}\n" for line in lines))

"""Who is to be heard how often: /expect."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import EVERYONE, Taken, check_speaks_as, speaks_as
from bus.model.expectations import EndingQuery, Expectation, ExpectationsQuery, NewExpectation
from bus.model.harmless import harmless
from bus.model.records import Fields
from bus.model.spans import in_words
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of expectations."""
    routes = Blueprint("expectations", __name__)

    def whose() -> Callable[[str], bool]:
        """Return what says whether the caller speaks for a name; it asks the index now, not when it
        is called.
        """
        caller, names = g.caller, frozenset(() if g.caller.is_verified else taken())
        return lambda name: speaks_as(caller, name, lambda: names)

    @routes.post("/expect")
    @may_call(EVERYONE)
    def expect() -> Response:
        parameters.params(())
        asked = NewExpectation.read(_named(body.json_body()))
        check_speaks_as(g.caller, asked.sender, "from", taken)
        made, is_new, warnings = hub.expectations.set(g.caller, asked)
        about = {"expectation": made, "is_new": is_new, "warnings": warnings}
        return json_reply({"ok": True, **about}, 201 if is_new else 200)

    @routes.get("/expect")
    @may_call(EVERYONE)
    def expectations() -> Response:
        asked = parameters.query(ExpectationsQuery)
        found, next = hub.expectations.all(g.caller, asked, whose())
        if wants_text(asked.format):
            more = f"-- more: after={next}\n" if next else ""
            return text_reply(("".join(map(_line, found)) or "no expectations\n") + more)
        about = {"has_more": next is not None, "next": next}
        return json_reply({"ok": True, "expectations": found, **about})

    @routes.delete("/expect/<agent:ref>")
    @may_call(EVERYONE)
    def end(ref: str) -> Response:
        asked = EndingQuery.read(_named(dict(parameters.params(EndingQuery.names()))))
        check_speaks_as(g.caller, asked.sender, "from", taken)
        ended = hub.expectations.end(g.caller, ref, asked.sender, whose())
        return json_reply({"ok": True, "expectation": ended})

    return routes


def _named(fields: Fields) -> Fields:
    """Return the fields with the caller's own name, where it has one and none is given."""
    return fields if g.caller.own_name is None else {"from": g.caller.own_name, **fields}


def _line(one: Expectation) -> str:
    told, heard = ",".join(one["tell"]), one["heard"] or "never"
    text = f"{one['id']} {one['name']} {one['state']}, heard {heard}, every"
    return harmless(f"{text} {in_words(one['every_s'])}, tells {told} ({one['from']})\n")

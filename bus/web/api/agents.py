"""Who works under which name, and who of them is there: /agents."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.agents import Agent, AgentsQuery, Heartbeat, Leaving, Registration, Summary
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.envelopes import defused
from bus.model.harmless import harmless
from bus.model.shape import S
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text

_EACH = 10  # of another credential, in a short look


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of agents."""
    routes = Blueprint("agents", __name__)

    def own(name: str) -> str:
        """Return a name in the path that the caller may speak as."""
        checks.agent(name, "name")
        check_speaks_as(g.caller, name, "name", taken)
        return name

    @routes.post("/agents")
    @may_call(EVERYONE)
    def register() -> Response:
        fields = body.object_or_nothing()
        if g.caller.own_name is not None:
            fields.setdefault("name", g.caller.own_name)
        asked = Registration.read(fields)
        own(asked.full_name)
        agent, is_new = hub.agents.register(g.caller, asked)
        about = {"name": agent["name"], "lease": agent["lease"], "lease_s": hub.agents.lease_s}
        return json_reply({"ok": True, **about, "is_new": is_new, "agent": agent})

    @routes.get("/agents")
    @may_call(EVERYONE)
    def roster() -> Response:
        asked = parameters.query(AgentsQuery)
        rest: dict[str, dict[str, int]] = {}
        if asked.around is not None:
            seen = hub.agents.around(asked, asked.around, _EACH)
            found, next = hub.agents.agents(seen.shown), None
            rest["more"] = seen.more
        else:
            found, next = hub.agents.roster(asked)
        hide_counts(hub, found)
        if wants_text(asked.format):
            more = f"-- more: after={next}\n" if next else ""
            more += "".join(
                f"-- {count} more of {name}\n" for name, count in rest.get("more", {}).items()
            )
            return text_reply(_as_text(found) + more)
        about = {"has_more": next is not None, "next": next, **rest}
        return json_reply({"ok": True, "agents": found, **about})

    @routes.get("/agents/<agent:name>")
    @may_call(EVERYONE)
    def one(name: str) -> Response:
        parameters.params(())
        agent = hub.agents.one(checks.agent(name, "name"))
        hide_counts(hub, [agent])
        return json_reply({"ok": True, "agent": agent})

    @routes.post("/agents/<agent:name>/heartbeat")
    @may_call(EVERYONE)
    def heartbeat(name: str) -> Response:
        asked = _read(Heartbeat)
        unread = hub.agents.heartbeat(own(name), asked.lease, asked.turn)
        lease_s = hub.agents.lease_s
        return json_reply({"ok": True, "name": name, "lease_s": lease_s, "unread": unread})

    @routes.put("/agents/<agent:name>/summary")
    @may_call(EVERYONE)
    def summary(name: str) -> Response:
        asked = _read(Summary)
        return json_reply(
            {"ok": True, "agent": hub.agents.summarise(g.caller, own(name), asked.summary)}
        )

    @routes.delete("/agents/<agent:name>")
    @may_call(EVERYONE)
    def leave(name: str) -> Response:
        asked = _read(Leaving)
        hub.agents.leave(g.caller, own(name), asked.lease)
        return json_reply({"ok": True, "name": name})

    return routes


def hide_counts(hub: Hub, agents: list[Agent]) -> None:
    """Leave out how much mail others have, where mail is private."""
    view = hub.privacy.view(g.caller)
    if view is not None:
        for agent in agents:
            if not view.is_mine(agent["name"]):
                agent["unread"] = None


def _read(shape: type[S]) -> S:
    return shape.read(body.object_or_nothing())


def _as_text(agents: list[Agent]) -> str:
    """Return the roster for an agent with only curl: a line each."""
    return "".join(_line(agent) for agent in agents) or "no agents\n"


def _line(agent: Mapping[str, object]) -> str:
    told = [str(agent["name"]), str(agent["state"])]
    told += [str(agent[fact]) for fact in ("turn", "agent_type", "host") if fact in agent]
    if agent["unread"]:
        told.append(f"{agent['unread']} unread")
    summary = f": {agent['summary']}" if "summary" in agent else ""
    return defused(harmless(" ".join(told) + summary)).replace("\n", " ") + "\n"

"""Whose name a request is about: the caller's own, unless it gives another of its names."""

from __future__ import annotations

from flask import g

from bus.model import checks
from bus.model.caller import Taken, check_speaks_as
from bus.model.named import Named
from bus.web.http import body


def own_name(taken: Taken) -> str:
    """Return the name in the body; raises NotYourName if the caller does not speak for it."""
    fields = body.object_or_nothing()
    if g.caller.own_name is not None:
        fields.setdefault("name", g.caller.own_name)
    name = Named.read(fields).name
    check_speaks_as(g.caller, name, "name", taken)
    return name


def spoken_name(given: str | None, taken: Taken) -> str:
    """Return the name that a query gives, or the caller's own; raises BadField where there is
    neither, and NotYourName if the caller does not speak for it.
    """
    name = checks.agent(given or g.caller.own_name, "name")
    check_speaks_as(g.caller, name, "name", taken)
    return name

"""Who works on which files: /leases."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g

from bus.errors import NotYourName
from bus.hub.hub import Hub
from bus.index.file_leases import Row
from bus.model.caller import EVERYONE, Taken, check_speaks_as, speaks_as
from bus.model.envelopes import defused
from bus.model.file_leases import (
    FileLease,
    FileLeasesQuery,
    FilesCheck,
    NewFileLease,
    Release,
    Renewal,
    lease_id,
)
from bus.model.harmless import harmless
from bus.model.shape import S
from bus.model.strict_json import Rest
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken, rest: Rest) -> Blueprint:
    """The routes of file leases. `rest` lets others go on while patterns are compared."""
    routes = Blueprint("file_leases", __name__)

    def for_holder(shape: type[S], fields: dict[str, Any]) -> S:
        """Return a request whose holder is the caller, unless it gives another of its names."""
        if g.caller.own_name is not None:
            fields.setdefault("holder", g.caller.own_name)
        asked = shape.read(fields)
        check_speaks_as(g.caller, asked.holder, "holder", taken)  # type: ignore[attr-defined]
        return asked

    def known(id: str) -> tuple[Row, bool]:
        """Return a lease, and whether the caller speaks for its holder."""
        row = hub.file_leases.one(lease_id(id, "lease_id"))
        return row, speaks_as(g.caller, row.holder, taken)

    @routes.post("/leases")
    @may_call(EVERYONE)
    def take() -> Response:
        asked = for_holder(NewFileLease, body.object_or_nothing())
        lease, is_new = hub.file_leases.take(g.caller, asked, rest)
        return json_reply({"ok": True, "lease": lease}, 201 if is_new else 200)

    @routes.get("/leases")
    @may_call(EVERYONE)
    def leases() -> Response:
        asked = parameters.query(FileLeasesQuery)
        found, next = hub.file_leases.all(asked)
        if wants_text(asked.format):
            more = f"-- more: after={next}\n" if next else ""
            return text_reply(("".join(map(_line, found)) or "no leases\n") + more)
        return json_reply({"ok": True, "leases": found, "has_more": next is not None, "next": next})

    @routes.get("/leases/check")
    @may_call(EVERYONE)
    def check() -> Response:
        fields = parameters.with_lists(FilesCheck.names(), "path")
        return checked(for_holder(FilesCheck, fields))

    @routes.post("/leases/check")
    @may_call(EVERYONE)
    def check_many() -> Response:
        return checked(for_holder(FilesCheck, body.object_or_nothing()))

    def checked(asked: FilesCheck) -> Response:
        return json_reply(
            {"ok": True, "repo": asked.repo, "held": hub.file_leases.held(asked, rest)}
        )

    @routes.post("/leases/<lease_id>/renew")
    @may_call(EVERYONE)
    def renew(lease_id: str) -> Response:
        asked = Renewal.read(body.object_or_nothing())
        row, is_own = known(lease_id)
        if not is_own:
            raise _not_yours(row)
        return json_reply(
            {"ok": True, "lease": hub.file_leases.renew(g.caller, row.id, asked.ttl_s)}
        )

    @routes.post("/leases/<lease_id>/release")
    @may_call(EVERYONE)
    def release(lease_id: str) -> Response:
        asked = Release.read(body.object_or_nothing())
        row, is_own = known(lease_id)
        if not is_own and not g.caller.is_admin:
            raise _not_yours(row)
        ended = hub.file_leases.release(g.caller, row, is_own, asked.reason)
        return json_reply({"ok": True, "lease": ended})

    return routes


def _not_yours(row: Row) -> NotYourName:
    return NotYourName(
        f"The lease {row.id} is {row.holder}'s.",
        hint=f"Ask {row.holder} to release it, or an admin.",
        field="lease_id",
    )


def _line(lease: FileLease) -> str:
    """Return a lease as a line, for an agent with only curl."""
    how = "" if lease["exclusive"] else " shared"
    why = f" ({lease['reason']})" if lease["reason"] else ""
    paths = " ".join(lease["paths"])
    text = f"{lease['holder']} {lease['repo']} {paths}{how} until {lease['until']}{why}"
    return defused(harmless(f"{lease['id']} {text}")).replace("\n", " ") + "\n"

"""/api/credentials, /api/invites and /api/join: admins give machines their credentials, and
machines take them.

An answer with a secret is the only one that ever has it. A repeated request makes another secret,
so none of these takes an idempotency key: after a lost answer rotate, or make a new invite.

Who changes something here has the newest secret of its name. The register looks once more while
nobody else can change the file: a caller that was revoked or rotated since the guard let it in
changes nothing.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from bus.credentials.register import Granted, Register
from bus.errors import BusError, NotYourName
from bus.hub.daily_quotas import DailyQuotas
from bus.live.quotas import Quotas
from bus.model import records
from bus.model.caller import ADMIN, ADMINS, EVERYONE, INVITES, MACHINES
from bus.model.credentials import Join, NewCredential, NewInvite, Revocation, Rotation
from bus.model.shape import S
from bus.model.strict_json import load_object
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.errors import error_reply
from bus.web.http.refusals import Refusals
from bus.web.http.replies import json_reply

AllQuotas = tuple[
    Quotas, Quotas, DailyQuotas | None
]  # requests under way, those that wait, what a day may cause


def blueprint(
    register: Register, refusals: Refusals | None = None, quotas: AllQuotas | None = None
) -> Blueprint:
    """The routes about credentials."""
    routes = Blueprint("credentials", __name__)

    @routes.errorhandler(BusError)
    def refused(error: BusError) -> Response:
        # Not who got past no door: that is on record already. Not what is no more than a wrong
        # form.
        if refusals is not None and "caller" in g and error.status in (401, 403, 409, 410):
            refusals.change(g.caller, str(request.endpoint).rpartition(".")[2], _named(), error)
        return error_reply(error)

    def asked() -> Register:
        return register.on_behalf_of(request.environ.get("HTTP_AUTHORIZATION"))

    @routes.get("/api/me")
    @may_call(EVERYONE)
    def me() -> Response:
        return json_reply(
            {
                "ok": True,
                "name": g.caller.name,
                "role": g.caller.role,
                "verified": g.caller.is_verified,
            }
        )

    @routes.get("/api/credentials")
    @may_call(ADMINS)
    def listing() -> Response:
        found: dict[str, Any] = dict(register.listing())
        if quotas is not None:
            for entry in found["credentials"]:
                entry.update(_used(entry["name"], quotas))
            found["quotas"] = _limits(quotas)
        return json_reply({"ok": True, **found})

    @routes.post("/api/credentials")
    @may_call(ADMINS)
    def add() -> Response:
        new = _read(NewCredential)
        return _granted(asked().add(new.name, new.role, g.caller.name), 201)

    @routes.post("/api/credentials/rotate")
    @may_call(MACHINES)
    def rotate() -> Response:
        wanted = _read(Rotation)
        name = wanted.name or g.caller.name
        if g.caller.role != ADMIN and name != g.caller.name:
            raise NotYourName(
                f"Only an admin rotates the credential of {name!r}.",
                field="name",
                yours=g.caller.name,
            )
        return _granted(asked().rotate(name, wanted.overlap_s, g.caller.name), 200)

    @routes.post("/api/credentials/revoke")
    @may_call(ADMINS)
    def revoke() -> Response:
        name = _read(Revocation).name
        asked().revoke(name, g.caller.name)
        return json_reply({"ok": True, "name": name})

    @routes.post("/api/invites")
    @may_call(ADMINS)
    def invite() -> Response:
        new = _read(NewInvite)
        made = asked().invite(new.name, new.role, new.expires_in_s, g.caller.name, new.replace)
        facts = {
            "name": made.name,
            "role": made.role,
            "code": made.code,
            "expires": records.utc(made.expires),
        }
        return json_reply(
            {"ok": True, **facts, "line": f"bus join {_base_url()} --invite {made.code}"}, 201
        )

    @routes.post("/api/join")
    @may_call(INVITES)
    def join() -> Response:
        _read(Join)
        return _granted(register.join(g.caller.name), 201)

    return routes


def _used(name: str, quotas: AllQuotas) -> dict[str, int]:
    """Return how much a credential has of each quota now."""
    under_way, waiting, daily = quotas
    size, names = (0, 0) if daily is None else daily.used(name)
    return {
        "requests": under_way.used(name),
        "waiting": waiting.used(name),
        "bytes_today": size,
        "names_today": names,
    }


def _limits(quotas: AllQuotas) -> dict[str, int]:
    under_way, waiting, daily = quotas
    found = {"requests": under_way.limit, "waiting": waiting.limit}
    return (
        found
        if daily is None
        else {**found, "bytes_today": daily.max_bytes, "names_today": daily.max_names}
    )


def _named() -> Any:
    """Return the name that a refused request was about, as far as it has been read."""
    return g.get("asked_name")


def _read(shape: type[S]) -> S:
    """Return the fields of a JSON object; no body is an empty one."""
    parameters.params(())
    data = body.read_body()
    fields = load_object(data) if data.strip() else {}
    g.asked_name = fields.get("name")
    return shape.read(fields)


def _base_url() -> str:
    """Return where the caller found the hub: nginx passes the Host that it was asked for, and that
    it speaks TLS.
    """
    scheme = (
        "https"
        if request.environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        else request.environ["wsgi.url_scheme"]
    )
    return f"{scheme}://{request.environ.get('HTTP_HOST', 'localhost')}"


def _granted(granted: Granted, status: int) -> Response:
    return json_reply(
        {"ok": True, "name": granted.name, "role": granted.role, "secret": granted.secret}, status
    )

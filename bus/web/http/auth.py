"""Who is calling, and whether this route is for them.

A credential for every route, and no state change on behalf of another web origin. Every view says
who may call it:

    @routes.get("/api/credentials")
    @may_call(ADMINS)
    def listing() -> Response: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, g, request

from bus.credentials import Credentials
from bus.errors import ForeignOrigin, InviteSpent, NotAllowed, TooManyAttempts, Unauthorized
from bus.model.caller import INVITE, Caller
from bus.web.http import underway
from bus.web.http.refusals import Refusals

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


View = TypeVar("View", bound=Callable[..., Any])
# Called with a refused caller, the call type that its route declares, and the request's
# environment.
Denied = Callable[[Caller, str, Mapping[str, Any]], None]


def may_call(roles: frozenset[str], *, call_type: str | None = None) -> Callable[[View], View]:
    """Declare who may call a view; with a `call_type`, refusals are told to `on_denied`
    under it.
    """

    def declare(view: View) -> View:
        view.may_call, view.call_type = roles, call_type  # type: ignore[attr-defined]
        return view

    return declare


def undeclared(app: Flask) -> list[str]:
    """Return the routes whose view does not say who may call it."""
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "may_call")
    ]


def init_app(
    app: Flask,
    credentials: Credentials,
    on_denied: Denied | None = None,
    refusals: Refusals | None = None,
    was_here: Callable[[str], None] = lambda name: None,
) -> None:
    """Guard every request, those to routes that do not exist too.

    `was_here` is told the name of each caller.
    """

    @app.before_request
    def guard() -> None:
        g.caller = caller(request.environ, credentials, refusals)
        was_here(g.caller.name)
        g.check = _rechecked(request.environ.get("HTTP_AUTHORIZATION"), g.caller, credentials)
        if request.endpoint is None:
            check_role(g.caller, None, request.environ)
            return
        view = app.view_functions[request.endpoint]
        roles: frozenset[str] = getattr(view, "may_call", frozenset())
        call_type: str | None = getattr(view, "call_type", None)
        if g.caller.role not in roles and call_type is not None and on_denied is not None:
            on_denied(g.caller, call_type, request.environ)
        check_role(g.caller, roles, request.environ)


def _rechecked(header: str | None, caller: Caller, credentials: Credentials) -> Callable[[], None]:
    """For a request that waits: raises Unauthorized once its credential is revoked or over.

    To be called before it delivers.
    """

    def check() -> None:
        if not credentials.still_proves(header, caller):
            raise Unauthorized(f"The credential of {caller.name} is no longer valid.")

    return check


def caller(
    environ: Mapping[str, Any], credentials: Credentials, refusals: Refusals | None = None
) -> Caller:
    """Whom a request's credential proves; raises Unauthorized, or ForeignOrigin for a state change.

    No identity header is looked at: whoever reaches the socket could send one.
    """
    try:
        found = credentials.caller_of(
            environ.get("HTTP_AUTHORIZATION"), environ.get("REMOTE_ADDR", "")
        )
    except (Unauthorized, InviteSpent, TooManyAttempts) as error:
        if refusals is not None:
            refusals.sign_in(environ, error)
        raise
    if underway.KEY in environ:
        environ[underway.KEY].enter(found.name)
    if refusals is not None:
        refusals.tell_rest()
    if environ["REQUEST_METHOD"] not in _SAFE:
        _refuse_foreign_origin(environ)
    return found


def check_role(caller: Caller, roles: frozenset[str] | None, environ: Mapping[str, Any]) -> None:
    """Raise NotAllowed unless the caller has one of the roles.

    None: the route does not exist, and all but invites may know.
    """
    if caller.role == INVITE if roles is None else caller.role not in roles:
        what = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'][:200]}"
        raise NotAllowed(
            f"{what} is not for the role {caller.role} that {caller.name} has.",
            role=caller.role,
            allowed=sorted(roles or ()),
        )


def _refuse_foreign_origin(environ: Mapping[str, Any]) -> None:
    """Browsers add cached basic credentials to any page's request; curl and libraries send neither
    header.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site not in (None, "none", "same-origin"):
        raise ForeignOrigin(f"A web page of another site ({site}) made this call.")
    if origin is not None and _host_of(origin) != environ.get("HTTP_HOST", "").lower():
        raise ForeignOrigin(f"A web page of {origin[:100]!r} made this call.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None

"""Who is calling: a credential for every route, and no state change on behalf of another web origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, g, request

from bus.credentials import Credentials
from bus.errors import ForeignOrigin

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


def init_app(app: Flask, credentials: Credentials) -> None:
    """Guard every request, those to routes that do not exist too."""

    @app.before_request
    def guard() -> None:
        g.user = caller(request.environ, credentials)


def caller(environ: Mapping[str, Any], credentials: Credentials) -> str:
    """The user that a request's credential proves; raises Unauthorized, or ForeignOrigin for a state change.

    No identity header is looked at: whoever reaches the socket could send one.
    """
    user = credentials.user_of(environ.get("HTTP_AUTHORIZATION"))
    if environ["REQUEST_METHOD"] not in _SAFE:
        _refuse_foreign_origin(environ)
    return user


def _refuse_foreign_origin(environ: Mapping[str, Any]) -> None:
    """Browsers add cached basic credentials to any page's request; curl and libraries send neither header."""
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

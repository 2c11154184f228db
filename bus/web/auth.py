"""Who is calling: a credential for every route, and no state change on behalf of another web origin."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, g, request

from bus.credentials import Credentials
from bus.errors import ForeignOrigin

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


def init_app(app: Flask, credentials: Credentials) -> None:
    """Guard every request, those to routes that do not exist too."""

    @app.before_request
    def guard() -> None:
        environ = request.environ
        # No identity header is looked at: whoever reaches the socket could send one.
        g.user = credentials.user_of(environ.get("HTTP_AUTHORIZATION"))
        if environ["REQUEST_METHOD"] not in _SAFE:
            _refuse_foreign_origin(environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE"))


def _refuse_foreign_origin(origin: str | None, site: str | None) -> None:
    """Browsers add cached basic credentials to any page's request; curl and libraries send neither header."""
    if site not in (None, "none", "same-origin"):
        raise ForeignOrigin(f"A web page of another site ({site}) made this call.")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise ForeignOrigin(f"A web page of {origin[:100]!r} made this call.")

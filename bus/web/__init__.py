"""Flask lives here and nowhere else: one blueprint a subject; a route parses, calls one verb and replies."""

from __future__ import annotations

from flask import Flask, Response

from bus.core import Core
from bus.credentials import Credentials
from bus.web import acking, auth, errors, pages, posting, reading, streaming


def make_app(core: Core, credentials: Credentials, keepalive_s: float) -> Flask:
    """The WSGI application over a core."""
    app = Flask("bus", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    auth.init_app(app, credentials)
    errors.init_app(app)
    for routes in (
        posting.blueprint(core),
        reading.blueprint(core),
        acking.blueprint(core),
        streaming.blueprint(core, keepalive_s),
        pages.blueprint(core),
    ):
        app.register_blueprint(routes)

    @app.after_request
    def say_private(reply: Response) -> Response:
        reply.headers["X-Robots-Tag"] = "noindex, nofollow"
        reply.headers["Cache-Control"] = "no-store"
        return reply

    return app

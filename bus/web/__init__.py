"""Flask lives here and nowhere else: one blueprint a subject; a route parses, calls one verb and replies."""

from __future__ import annotations

from flask import Flask

from bus.core import Core
from bus.credentials import Credentials
from bus.web import acking, auth, errors, inbox, pages, posting, reading, streaming
from bus.web.replies import Reply
from bus.web.shortcut import Shortcut


def make_app(core: Core, credentials: Credentials, keepalive_s: float) -> Flask:
    """The WSGI application over a core."""
    app = Flask("bus", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.response_class = Reply
    auth.init_app(app, credentials)
    errors.init_app(app)
    for routes in (
        posting.blueprint(core),
        reading.blueprint(core),
        inbox.blueprint(core),
        acking.blueprint(core),
        streaming.blueprint(core, keepalive_s),
        pages.blueprint(core),
    ):
        app.register_blueprint(routes)

    app.wsgi_app = Shortcut(app.wsgi_app, core, credentials)  # type: ignore[method-assign]
    return app

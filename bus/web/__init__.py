"""Flask lives here and nowhere else: one blueprint a subject; a route parses, calls one verb and
replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from flask import Flask, g, has_request_context

from bus.credentials import Credentials, Register
from bus.hub.hub import Hub
from bus.hub.taken import TakenNames
from bus.live.metrics import Metrics
from bus.live.quotas import Quotas
from bus.model.caller import Caller
from bus.model.strict_json import Rest
from bus.notices.desk import NoticeDesk
from bus.runner.client import RunnerClient
from bus.web.api import (
    acks,
    actions,
    activity,
    agents,
    approvals,
    asks,
    attachments,
    briefs,
    calls,
    checkup,
    digest,
    expectations,
    file_leases,
    hooks,
    inbox,
    mcp,
    messages,
    pages,
    permissions,
    posting,
    roles,
    signatures,
    stars,
    stream,
    topics,
    tracking,
    webhooks,
)
from bus.web.api import credentials as credentials_routes
from bus.web.api import metrics as metrics_routes
from bus.web.api import notices as notice_routes
from bus.web.api import uploads as uploads_routes
from bus.web.http import auth, errors, metering
from bus.web.http.parameters import AgentConverter
from bus.web.http.refusals import Refusals
from bus.web.http.replies import Reply
from bus.web.http.underway import Counted
from bus.web.shortcut import Shortcut

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def make_app(
    hub: Hub,
    service: RunnerClient,
    credentials: Credentials,
    notices: NoticeDesk,
    *,
    keepalive_s: float,
    max_file: int,
    rest: Rest,
    quotas: tuple[Quotas, Quotas],
    metrics: Metrics,
    files: tuple[Quotas, Quotas],
    accel: bool,
) -> Flask:
    """Return the WSGI application over its parts. `rest` lets others go on between the parts of a
    long piece of work.

    `quotas`: of requests under way, and of those that wait; `files`: of files that come, and of
    those that go. With `accel`, nginx sends files.
    """
    under_way, waiting = quotas
    hub.waiting.owned = lambda: (
        waiting.held(g.caller.name) if has_request_context() else nullcontext()
    )
    app = Flask("bus", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.response_class = Reply
    app.url_map.converters["agent"] = AgentConverter
    taken, refusals = (
        TakenNames(hub, credentials),
        Refusals(hub.credentials.note_refused, credentials),
    )
    hub.privacy.taken = taken
    metering.init_app(app)
    auth.init_app(app, credentials, _on_denied(hub), refusals, hub.agents.was_here)
    errors.init_app(app)

    def inner(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return shortcut(environ, start_response)

    for routes in (
        posting.blueprint(hub, taken, rest),
        messages.blueprint(hub, taken, rest),
        inbox.blueprint(hub, taken, rest),
        acks.blueprint(hub, taken),
        stars.blueprint(hub, taken),
        tracking.blueprint(hub, taken),
        asks.blueprint(hub, taken),
        briefs.blueprint(hub, taken, rest),
        actions.blueprint(hub, taken),
        digest.blueprint(hub, taken),
        checkup.blueprint(hub),
        stream.blueprint(hub, keepalive_s, taken),
        agents.blueprint(hub, taken),
        topics.blueprint(hub, taken),
        roles.blueprint(hub, taken),
        signatures.blueprint(hub, taken),
        pages.blueprint(hub, service, notices),
        credentials_routes.blueprint(
            Register(credentials, hub.credentials.note_change), refusals, (*quotas, hub.daily)
        ),
        calls.blueprint(hub, service, max_file, rest),
        permissions.blueprint(hub, service, hub.agents.members),
        approvals.blueprint(hub),
        webhooks.blueprint(hub),
        notice_routes.blueprint(notices),
        file_leases.blueprint(hub, taken, rest),
        expectations.blueprint(hub, taken),
        hooks.blueprint(hub, taken),
        activity.blueprint(hub, service, hub.agents.members),
        mcp.blueprint(hub, taken, inner, rest),
        metrics_routes.blueprint(hub, metrics),
        attachments.blueprint(hub, taken, files, accel),
        uploads_routes.blueprint(hub, files[0]),
    ):
        app.register_blueprint(routes)
    if silent := auth.undeclared(app):
        raise TypeError(f"routes that do not say who may call them: {', '.join(silent)}")

    shortcut = Shortcut(app.wsgi_app, hub, credentials, taken, refusals, rest)
    app.wsgi_app = metering.Metered(  # type: ignore[method-assign]
        Counted(shortcut, under_way), metrics
    )
    return app


def _on_denied(hub: Hub) -> auth.Denied:
    def record(caller: Caller, call_type: str, environ: Mapping[str, Any]) -> None:
        hub.calls.refused_at_door(
            caller, call_type, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'][:200]}"
        )

    return record

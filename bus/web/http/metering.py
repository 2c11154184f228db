"""Each request is counted with its route and its status, and a post with its time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from bus.live.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "bus.route"  # in the environment of a request
_NONE = "none"  # of what matches no route: paths are what somebody typed, and without end


def init_app(app: Flask) -> None:
    """Note the route of each request, before anything refuses it."""

    @app.before_request
    def note() -> None:
        if request.url_rule is not None:
            request.environ[ROUTE] = request.url_rule.rule


class Metered:
    """A WSGI application in front of another one."""

    def __init__(self, inner: WSGIApplication, metrics: Metrics) -> None:
        self._inner, self._metrics = inner, metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()

        def answered(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            seconds = time.perf_counter() - began
            self._metrics.answered(environ.get(ROUTE, _NONE), status[:3], seconds)
            return start_response(status, headers, *rest)

        return self._inner(environ, answered)

"""Which targets there are, as the service that runs commands tells the caller of this request."""

from __future__ import annotations

from typing import Any

from flask import request

from bus.wire import ExecService

Targets = tuple[list[dict[str, Any]], dict[str, str]]


def listed(service: ExecService) -> Targets:
    """All targets, and which driver does not answer, with the reason; raises ExecUnavailable."""
    answer = service.ask({"op": "targets", "authorization": request.environ.get("HTTP_AUTHORIZATION")})["result"]
    return answer["targets"], answer["unavailable"]

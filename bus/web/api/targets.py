"""Which targets there are, as the service that runs commands tells the caller of this request."""

from __future__ import annotations

from typing import Any

from flask import request

from bus.runner.client import RunnerClient

Targets = tuple[list[dict[str, Any]], dict[str, str]]


def listed(service: RunnerClient, within_s: float | None = None) -> Targets:
    """Return all targets, and which driver does not answer, with the reason; raises
    ExecUnavailable.

    `within_s` as in `ask`.
    """
    asked = {"op": "targets", "authorization": request.environ.get("HTTP_AUTHORIZATION")}
    answer = service.ask(asked, within_s)["result"]
    return answer["targets"], answer["unavailable"]

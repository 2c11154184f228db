"""The OpenAPI 3.1 description of every route.

Tests compare it with the real routes and throw requests at it.
"""

from __future__ import annotations

from bus.model.shape import Json
from bus.version import __version__
from bus.web.openapi import (
    actions,
    agents,
    asks,
    attachments,
    briefs,
    checkup,
    credentials,
    digest,
    expectations,
    file_leases,
    hooks,
    mcp,
    messages,
    net,
    notices,
    roles,
    signatures,
    topics,
    webhooks,
)
from bus.web.openapi.schemas import schemas


def document() -> Json:
    """Return the whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "claude-bus",
            "version": __version__,
            "description": "A message bus for fleets of AI coding agents. The same in words: /docs",
        },
        "security": [{"basic": []}],
        "paths": {
            **messages.paths(),
            **agents.paths(),
            **hooks.paths(),
            **topics.paths(),
            **roles.paths(),
            **asks.paths(),
            **briefs.paths(),
            **signatures.paths(),
            **actions.paths(),
            **digest.paths(),
            **checkup.paths(),
            **credentials.paths(),
            **net.paths(),
            **webhooks.paths(),
            **notices.paths(),
            **file_leases.paths(),
            **expectations.paths(),
            **mcp.paths(),
            **attachments.paths(),
        },
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": schemas(),
        },
    }

"""What the OpenAPI document says of the MCP server."""

from __future__ import annotations

from bus.mcp.server import McpQuery
from bus.model.shape import Json
from bus.web.openapi.parts import any_object, errors


def paths() -> Json:
    """Return the description of the path."""
    request = {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "integer"]},
            "method": {"type": "string"},
            "params": any_object(),
        },
        "required": ["jsonrpc", "method"],
    }
    content = {"application/json": {"schema": any_object()}}
    return {
        "/mcp": {
            "post": {
                "summary": "A request of an MCP client (JSON-RPC 2.0)",
                "parameters": McpQuery.parameters(),
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": request}},
                },
                "responses": {
                    "200": {"description": "its answer", "content": content},
                    "202": {"description": "a notification was taken"},
                    **errors(403, 404, 413, 429),
                    "400": {"description": "not a request", "content": content},
                },
            }
        }
    }

"""What the OpenAPI document says of files and uploads."""

from __future__ import annotations

from bus.model import attachments
from bus.model.answer import component, reference
from bus.model.attachments import NewUpload, Upload, UploadGone
from bus.model.kinds import KEY, ULID_SCHEMA
from bus.model.messages import Message
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get

_KEY: Json = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
_BYTES: Json = {"application/octet-stream": {"schema": {"type": "string"}}}
_REFUSED = (400, 403, 404, 408, 409, 413, 415, 422, 429, 507)


def paths() -> Json:
    """Return the description of each path."""
    return {
        "/files": {
            "put": _file_operation("Post a message with a file: the body is the file"),
            "post": _post_operation(),
        },
        "/files/{id}": {"get": _fetch_operation()},
        "/uploads": {"post": _begin_operation()},
        "/uploads/{id}": {
            "get": get("How far an upload is", reference(Upload), params=[_id()]),
            "patch": _part_operation(),
            "delete": {
                "summary": "Give an upload up",
                "parameters": [_id()],
                "responses": {"200": _answer("given up", UploadGone), **errors(400, 403, 404, 409)},
            },
        },
    }


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": ULID_SCHEMA}


def _answer(description: str, shape: type) -> Json:
    content = {"application/json": {"schema": reference(shape)}}
    return {"description": description, "content": content}


def _saved() -> Json:
    return {"201": _answer("saved, file and message", Message), **errors(*_REFUSED)}


def _file_operation(summary: str) -> Json:
    return {
        "summary": summary,
        "parameters": [*attachments.parameters(), _KEY],
        "requestBody": {"required": True, "content": _BYTES},
        "responses": _saved(),
    }


def _post_operation() -> Json:
    return {
        "summary": "Post a message with the files of a form, or with whole uploads",
        "description": "With `name` in the query, the body is the file, as with PUT.",
        "parameters": [_KEY],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": component("FilesForm")},
                "application/json": {"schema": component("UploadsToPost")},
            },
        },
        "responses": _saved(),
    }


def _fetch_operation() -> Json:
    content = {"*/*": {"schema": {"type": "string"}}}
    header: Json = {"in": "header", "schema": {"type": "string"}}
    return {
        "summary": "The bytes of a file, for whoever may read its message",
        "parameters": [
            _id(),
            {**header, "name": "Range", "description": "one range: `bytes=1000-`"},
            {**header, "name": "If-None-Match"},
        ],
        "responses": {
            "200": {"description": "the file", "content": content},
            "206": {"description": "the part of it that was asked for", "content": content},
            "304": {"description": "it is the one of If-None-Match"},
            **errors(400, 403, 404, 410, 416, 429),
        },
    }


def _begin_operation() -> Json:
    content = {"application/json": {"schema": NewUpload.schema()}}
    return {
        "summary": "Begin an upload that may break and go on",
        "requestBody": {"required": True, "content": content},
        "responses": {"201": _answer("begun", Upload), **errors(*_REFUSED)},
    }


def _part_operation() -> Json:
    offset = {"name": "Upload-Offset", "in": "header", "required": True}
    return {
        "summary": "Send the next part of an upload",
        "parameters": [
            _id(),
            {**offset, "schema": {"type": "integer", "minimum": 0, "maximum": (1 << 50) - 1}},
        ],
        "requestBody": {"required": True, "content": _BYTES},
        "responses": {"200": _answer("it has come", Upload), **errors(*_REFUSED)},
    }

"""The body of a request, read within limits: JSON, a form, or plain bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import request

from bus.errors import BadField, BadRequest, TooLarge, TooSlow, UnsupportedMedia
from bus.model import checks, messages
from bus.model.strict_json import Rest, load_object
from bus.system import transient
from bus.web.http import parameters

# The last is what curl -d says.
_JSON_ENOUGH = ("application/json", "", "application/x-www-form-urlencoded")
MAX_REQUEST, MAX_NDJSON, MAX_CALL = 1024 * 1024, 8 * 1024 * 1024, 16 * 1024 * 1024


def is_over(limit: int) -> bool:
    """Return whether the body may be longer than this: it says so, or does not say how long
    it is.
    """
    text = request.environ.get("CONTENT_LENGTH", "")
    return int(text) > limit if text.isdigit() else "HTTP_TRANSFER_ENCODING" in request.environ


def content_type() -> str:
    """Return the media type of the body, without its parameters; empty when there is none."""
    return str(request.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def read_body(limit: int = MAX_REQUEST) -> bytes:
    """Return the bytes of the body; never holds more than `limit` in memory.

    Raises TooLarge with both sizes, TooSlow, and BadRequest for a body that did not come whole:
    half of one is not a message.
    """
    return body_of(request.environ, limit)


def body_of(environ: Mapping[str, Any], limit: int = MAX_REQUEST) -> bytes:
    """Return the same for a request outside Flask."""
    size = _checked_size(environ, limit)
    # The input as the server gives it: Werkzeug's wrapping of it costs a twentieth of a post.
    try:
        data: bytes = environ["wsgi.input"].read(limit + 1 if size is None else size)
    except Exception as error:
        raise unreadable(error) from None
    if size is not None and len(data) < size:
        raise cut_short(len(data), size)
    if len(data) > limit:
        raise _too_large(environ, f"The request is more than {limit} bytes.", limit=limit)
    return data


def unreadable(error: Exception, hint: str | None = None) -> Exception:
    """Return what is raised for an error in reading a body; `hint` is for one that is slow."""
    if isinstance(error, TimeoutError):
        return TooSlow("The body of the request did not come in time.", hint=hint)
    # the server's own classes, for a connection that was reset and for chunks that are none
    if transient.is_passing(error):
        return error
    return BadRequest(f"The body of the request cannot be read: {type(error).__name__}.")


def cut_short(came: int, size: int) -> BadRequest:
    """Return the error for a body of which only so many bytes came."""
    return BadRequest(f"The connection ended in the body: {came} of {size} bytes came.")


def json_body() -> dict[str, Any]:
    """Return the JSON object in the body, whatever its content type says."""
    return load_object(read_body())


def call_fields(limit: int = MAX_REQUEST, rest: Rest = lambda: None) -> dict[str, Any]:
    """Return the JSON object of a call, with the idempotency key of the header where there is one;
    no query parameters.
    """
    parameters.params(())
    kind = content_type()
    if kind not in _JSON_ENOUGH:
        raise UnsupportedMedia(
            f"The content type is {kind[:80]!r}.", hint="Send one JSON object: curl -d '{…}'."
        )
    fields = load_object(read_body(limit), rest=rest)
    add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
    return fields


def object_or_nothing() -> dict[str, Any]:
    """Return the JSON object in the body, {} if there is no body; takes no query parameters."""
    parameters.params(())
    kind = content_type()
    if kind not in _JSON_ENOUGH:
        raise UnsupportedMedia(
            f"The content type is {kind[:80]!r}.", hint="Send one JSON object: curl -d '{…}'."
        )
    data = read_body()
    return load_object(data) if data.strip() else {}


def add_key(fields: dict[str, Any], header: str | None) -> None:
    """Put the idempotency key of the header, where there is one, among the fields; raises BadField
    where they have another.
    """
    if header is None:
        return
    key = checks.key(header, "Idempotency-Key")
    if fields.get("client_id") not in (None, key):
        raise BadField(
            "The Idempotency-Key header and `client_id` differ.",
            hint="Give one of them.",
            field="client_id",
        )
    fields["client_id"] = key


def urlencoded(data: bytes) -> dict[str, str]:
    """Return the fields of a urlencoded form; raises BadField for a repeated one."""
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=64,
        )
    except ValueError as error:
        raise BadField(
            f"The body is not a urlencoded form: {error}.",
            hint="Use curl --data-urlencode for each field.",
        ) from None
    return parameters.once(pairs, None, "field")


def multipart() -> dict[str, str]:
    """Return the fields of a multipart form; raises BadField for a repeated field, or a file that
    is not `body`.
    """
    _checked_size(request.environ, MAX_REQUEST)
    request.max_content_length = request.max_form_memory_size = MAX_REQUEST
    fields = parameters.once(request.form.items(multi=True), None, "field")
    for name, value in fields.items():
        if "\ufffd" in value:  # what the form parser puts where bytes are no UTF-8
            raise BadField(
                f"The field {name[:64]!r} is not UTF-8.",
                hint="Send it as JSON, or as a file.",
                field=name[:64],
            )
    for name, file in request.files.items(multi=True):
        if name != "body" or "body" in fields:
            raise BadField(
                f"The form holds a file {name[:64]!r}.",
                hint="One file is allowed, as `body`.",
                field=name[:64],
            )
        fields["body"] = messages.text_body(file.stream.read(MAX_REQUEST))
    return fields


def _checked_size(environ: Mapping[str, Any], limit: int) -> int | None:
    """Return the size that a request says its body has, if it does; refuses one that is too long,
    and a compressed one.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise UnsupportedMedia("The body is compressed.")
    text = environ.get("CONTENT_LENGTH", "")
    if not text.isdigit():
        return (
            0
            if "HTTP_TRANSFER_ENCODING" not in environ and not environ.get("wsgi.input_terminated")
            else None
        )
    size = int(text)
    if size > limit:
        text = f"The request is {size} bytes; at most {limit} are allowed."
        raise _too_large(environ, text, size=size, limit=limit)
    return size


def _too_large(environ: Mapping[str, Any], text: str, **details: int) -> TooLarge:
    """Return the error for a long body; of a post, with the line that sends it as a file."""
    is_post = environ.get("PATH_INFO") == "/post"
    return TooLarge(text, hint=messages.LONGER if is_post else None, **details)

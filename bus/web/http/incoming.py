"""Bodies that are larger than memory: read in pieces, each handed on before the next is asked for.

The server says `go_on` of a body whose client must not be held up by limits that are for small
ones: it is called before each piece, and gives the client time for that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Epilogue,
    Event,
    MultipartDecoder,
    NeedData,
    Preamble,
)

from bus.errors import BadRequest, UnsupportedMedia
from bus.web.http import body

PIECE = 1 << 20
_FIELDS = 1 << 20  # bytes of all that is no file in a form
_SLOW = (
    "At most a minute between two parts of it, and three minutes for a megabyte."
    " `bus send` goes on where it broke."
)


def size_of(environ: Mapping[str, Any]) -> int | None:
    """Return how many bytes the body has; None where it does not say."""
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise UnsupportedMedia("The body is compressed.", hint="Send the file as it is.")
    text = environ.get("CONTENT_LENGTH", "")
    if text.isdigit():
        return int(text)
    has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("wsgi.input_terminated")
    return None if has_body else 0


def pieces(environ: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the body; raises TooSlow, and BadRequest where it ends early."""
    size, came = size_of(environ), 0
    source = environ["wsgi.input"]
    go_on = getattr(source, "go_on", None)
    while size is None or came < size:
        if go_on is not None:
            go_on()
        data = _read(source, PIECE if size is None else min(PIECE, size - came))
        if not data:
            break
        came += len(data)
        yield data
    if size is not None and came < size:
        raise body.cut_short(came, size)


def _read(source: Any, size: int) -> bytes:
    try:
        data: bytes = source.read(size)
    except Exception as error:
        raise body.unreadable(error, _SLOW) from None
    return data


def form(environ: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the parts of a multipart form, with the data of each in pieces; raises BadRequest."""
    boundary = parse_options_header(environ.get("CONTENT_TYPE", ""))[1].get("boundary", "")
    if not boundary:
        raise BadRequest("The form does not say its boundary.")
    decoder = MultipartDecoder(boundary.encode("latin-1"), _FIELDS + 2 * PIECE, max_parts=64)
    source = pieces(environ)
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, Epilogue):
                for _ in source:  # what is behind the end
                    pass
                return
            if isinstance(event, NeedData):
                decoder.receive_data(next(source, None))
            elif not isinstance(event, Preamble):
                yield event
    except (ValueError, RequestEntityTooLarge) as error:
        raise BadRequest(f"The form cannot be read: {error}.") from None

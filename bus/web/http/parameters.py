"""The query of a request, read within limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import request
from werkzeug.routing import BaseConverter

from bus.errors import BadField
from bus.model import checks
from bus.model.agents import ROUTES
from bus.model.shape import S
from bus.model.strict_json import check_text


class AgentConverter(BaseConverter):
    """The name of an agent in a path: a machine, or a session, whose name is no word of a route."""

    regex = rf"[^/]+(?:/(?!(?:{'|'.join(ROUTES)})$)[^/]+)?"
    part_isolating = False


def params(allowed: Iterable[str] | None) -> dict[str, str]:
    """Return the query parameters, each at most once; raises UnknownField for one that is not among
    `allowed` (None: any is), or BadField.
    """
    query = request.environ.get("QUERY_STRING")
    if not query:
        return {}
    _check_utf8(unquote_to_bytes(query.encode("latin-1")), "The query")
    allowed = None if allowed is None else tuple(allowed)
    return once(request.args.items(multi=True), allowed, "parameter")


def with_lists(allowed: Iterable[str], several: str) -> dict[str, Any]:
    """Return the query parameters, where one may be given several times: it is a list."""
    query = request.environ.get("QUERY_STRING", "")
    _check_utf8(unquote_to_bytes(query.encode("latin-1")), "The query")
    pairs = list(request.args.items(multi=True))
    given = [value for name, value in pairs if name == several]
    for value in given:
        check_text(value, f"`{several}`")
    found: dict[str, Any] = dict(
        once((pair for pair in pairs if pair[0] != several), tuple(allowed), "parameter")
    )
    return {**found, several: given} if given else found


def query(shape: type[S]) -> S:
    """Return the query parameters, as a struct; raises UnknownField, BadField or MissingField."""
    return shape.read(params(shape.names()))


def refuse_twice(query: Iterable[str], fields: Iterable[str]) -> None:
    """Refuse a field that is in the query and in the body; raises BadField."""
    for name in sorted(set(query) & set(fields)):
        raise BadField(
            f"`{name}` is in the query and in the body.", hint="Give it in one place.", field=name
        )


def _check_utf8(data: bytes, what: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadField(
            f"{what} is not UTF-8: byte {error.start} is {data[error.start]:#04x}."
        ) from None


def once(
    pairs: Iterable[tuple[str, str]], allowed: tuple[str, ...] | None, what: str
) -> dict[str, str]:
    """Return the pairs as a dict; raises BadField for a repeated name, UnknownField for one that is
    not among `allowed` (None: any is).
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadField(f"The {what} {name[:64]!r} is there twice.", field=name[:64])
        check_text(name, "A name")
        check_text(value, f"`{name[:64]}`")
        found[name] = value
    if allowed is not None:
        checks.check_fields(found, allowed, what)
    return found

"""Names as people write them in a brief: `charlie`, `charlie (server2)`, `server2/charlie`, `all`.

No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from bus.errors import BadField
from bus.model import checks
from bus.model.caller import Caller, Taken, check_speaks_as
from bus.model.checks import EVERYBODY_TOO, shown
from bus.model.groups import as_recipient
from bus.model.kinds import NAME_SCHEMA
from bus.model.messages import MAX_RECIPIENTS
from bus.model.records import EVERYBODY
from bus.model.shape import Json, Kind

_WITH_MACHINE = re.compile(r"([^\s()/]+)[ \t]*\([ \t]*([^\s()/]+)[ \t]*\)")
_HINT = "A name, `name (machine)`, machine/session, a topic, a role, or `all`."


def _checked(value: Any, field: str) -> str:
    """Return one name as it is written, without space around it."""
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
    text = value.strip()
    found = _WITH_MACHINE.fullmatch(text)
    if found is None:
        if as_recipient(text) is None:
            checks.name(text, field)
    else:
        checks.agent(found[1], field)
        checks.agent(found[2], field)
    return text


def written(value: Any, field: str) -> list[str]:
    """Return the names in a list, or in a text with commas, as they are written."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_RECIPIENTS:
        raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
    return [_checked(item, field) for item in items]


def one(value: Any, field: str) -> str:
    """Return one name as it is written."""
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}.", hint="Give one name.", field=field)
    text = _checked(value, field)
    if as_recipient(text) is not None or text in EVERYBODY_TOO:
        raise BadField(f"`{field}` is {shown(value)}.", hint="Give one name.", field=field)
    return text


def read(text: str, machines: Collection[str]) -> str:
    """Return the name that is meant: of `charlie (server2)` the session of that machine if it is
    one, else the name alone.
    """
    found = _WITH_MACHINE.fullmatch(text)
    if found is not None:
        return f"{found[2]}/{found[1]}" if found[2] in machines else found[1]
    return EVERYBODY if text in EVERYBODY_TOO else as_recipient(text) or text


def read_all(texts: Collection[str], machines: Collection[str]) -> dict[str, str]:
    """Return the name that each text means."""
    return {text: read(text, machines) for text in texts}


def sender(text: str, caller: Caller, machines: Collection[str], taken: Taken) -> str:
    """Return the name that a caller speaks as who wrote this; raises NotYourName."""
    name = read(text, machines)
    found = _WITH_MACHINE.fullmatch(text)
    if caller.is_verified and found is not None:
        # A credential may be a machine's or a session's own: either is the caller.
        for mine in (name, f"{found[2]}/{found[1]}", found[1]):
            if caller.is_me(mine):
                return mine
    check_speaks_as(caller, name, "from", taken)
    return name


_ONE: Json = {"type": "string", "pattern": NAME_SCHEMA["pattern"], "not": NAME_SCHEMA["not"]}
_SOME: Json = {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MAX_RECIPIENTS}
NAMES = Kind(written, {"oneOf": [_ONE, _SOME]})
NAME = Kind(one, _ONE, missing="Give one name: who writes this.")

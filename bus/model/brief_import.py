"""Briefs that were written in another mail system, as its files have them. POST /import.

Who wrote them, to whom and when is what the file says: a claim, which is kept as one. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

from bus.errors import BadField, TooLarge
from bus.model import front_matter
from bus.model.briefs import Brief
from bus.model.caller import Caller
from bus.model.due import DATE
from bus.model.kinds import AGENT, THREAD, one_of
from bus.model.messages import MAX_BODY
from bus.model.shape import Json, Kind, Shape, object_schema
from bus.model.strict_json import Rest

INBOX, ARCHIVE, SENT = BOXES = ("inbox", "archive", "sent")
IMPORTER = "import"  # the session of a machine that posts what others wrote
CLAIM = "claimed_"  # what the keys of a claim begin with
# What says who somebody is, or names what is not here.
_CLAIMS = ("from", "to", "cc", "in_reply_to")
# What another system may have in a form of its own: then it is a claim too.
_CLAIMS_IF_ODD = {"date": DATE, "thread": THREAD}
_MAX = MAX_BODY + 2 * front_matter.MAX_FRONT


def _markdown(value: Any, field: str) -> str:
    if not isinstance(value, str) or value == "":
        raise BadField(f"`{field}` is no text.", hint="The text of the file.", field=field)
    size = len(value.encode())
    if size > _MAX:
        raise TooLarge(
            f"`{field}` is {size} bytes; at most {_MAX} are allowed.", size=size, limit=_MAX
        )
    return value


@dataclass(frozen=True, kw_only=True)
class BriefImport(Shape):
    """POST /import: a file of another mail system."""

    name: Annotated[str, AGENT, "whose mail it is; left out: the caller's"]
    box: Annotated[str, one_of(BOXES), "archive: it is acknowledged"] = INBOX
    markdown: Annotated[
        str,
        Kind(_markdown, {"type": "string", "minLength": 1, "maxLength": _MAX}),
        "the text of the file",
    ]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `name` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": ["markdown"]}

    @property
    def key(self) -> str:
        """The idempotency key: the same file of the same mailbox is one brief, wherever it lies,
        and whether it was read since.
        """
        way = "sent" if self.box == SENT else "received"
        said = "\0".join((way, self.name, self.markdown))
        return f"import {sha256(said.encode()).hexdigest()[:40]}"

    def sender(self, caller: Caller) -> str:
        """Return who posts it: the name itself what it has sent, a session of the caller's that is
        there for this what it has received.
        """
        if self.box == SENT:
            return self.name
        return IMPORTER if caller.own_name is None else f"{caller.own_name}/{IMPORTER}"

    def brief(self, caller: Caller, rest: Rest = lambda: None) -> Brief:
        """Return the brief that a caller posts; raises BadBrief, BadField and TooLarge, with the
        line. `rest` lets others go on meanwhile.
        """
        front, text = front_matter.split(self.markdown, rest)
        given = Brief.of_markdown(claimed(front.fields), text)
        extra = given.get("extra", {})
        if self.box == SENT and _means(extra.get(f"{CLAIM}from"), self.name):
            del extra[f"{CLAIM}from"]
        if not extra:
            given.pop("extra", None)
        given = {"signature": "", **given}
        given |= {"from": self.sender(caller), "to": [self.name], "client_id": self.key}
        return Brief.read_at(given, front.lines)


def claimed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return front matter in which what says who somebody is stands as a claim. An older claim
    stays.
    """
    found = {key: value for key, value in fields.items() if key not in _CLAIMS}
    for key in _CLAIMS:
        if fields.get(key):
            found.setdefault(CLAIM + key, fields[key])
    for key, kind in _CLAIMS_IF_ODD.items():
        if key in found:
            try:
                kind.check(found[key], key)
            except BadField:
                found.setdefault(CLAIM + key, found.pop(key))
    return found


def _means(written: Any, name: str) -> bool:
    """Return whether `charlie` or `charlie (server2)` is this name, or its session."""
    said = written.partition("(")[0].strip() if isinstance(written, str) else None
    return said in (name, name.rpartition("/")[2])

"""iMessage, by a Mac that runs `bus relay imessage` and reads its mail from the hub like any agent.

    [services.mac]
    type = "imessage"
    relay = "macbook/imessage"       # the name under which the relay reads its mail
    people = { chas = "+15551234567", ann = "ann@example.org" }

A rule's `target` is one of `people`, or left out where there is one. A notice becomes a message of
the hub's to the relay, with the tag `imessage`; its key makes it one, however often it is tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bus.hub.notices import tell
from bus.model.harmless import harmless
from bus.model.kinds import AGENT
from bus.model.notices import Notice
from bus.model.records import HUB
from bus.notify.services.base import Refused, Service, Tools, cut, whom
from bus.notify.table import Table

TAG = "imessage"
MOST = 2_000  # characters of one
_HANDLE = re.compile(r"\+[1-9][0-9]{6,14}|[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+")


class IMessage(Service):
    """See the head of this module."""

    def __init__(self, tools: Tools, relay: str, people: Mapping[str, str]) -> None:
        self._tools, self._relay, self._people = tools, relay, people

    def check(self) -> list[str]:
        return [f"messages to {self._relay}, which has to run `bus relay imessage` on a Mac"]

    def send(self, target: str, notices: Sequence[Notice]) -> str | None:
        (notice,) = notices
        if notice.data.get("from") == HUB and TAG in notice.data.get("tags", ()):
            # Else a rule that fits all would go round for ever.
            raise Refused("it is about an iMessage itself")
        who, handle = whom(self._people, target)
        text = cut(f"{notice.title}\n{notice.text}".strip(), MOST, notice.data.get("ref"))
        key = f"imessage {self._tools.name} {notice.id} {notice.seq}"
        data = {TAG: {"to": handle, "text": harmless(text)}}
        body = f"iMessage to {who}:\n{text}"
        tell(self._tools.hub.journal, key, [self._relay], body, tags=[TAG], data=data)
        return None


def make(table: Table, tools: Tools) -> Service:
    """Return the service of a table of the settings."""
    relay = table.text("relay")
    if re.fullmatch(str(AGENT.schema["pattern"]), relay) is None:
        raise table.bad("relay", f"is {relay[:40]!r}: it must be a name such as macbook/imessage")
    return IMessage(tools, relay, table.people(_HANDLE, "+number or an address"))

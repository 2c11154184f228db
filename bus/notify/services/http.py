"""A POST of JSON to an address of the operator's: for whatever takes that.

    [services.pager]
    type = "http"
    url = "https://pager.example.org/in"
    headers = { Authorization = "Bearer …" }
    each_s = 0            # seconds between two

The header Idempotency-Key is the same whenever a notice is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from bus.model import records
from bus.model.notices import Notice
from bus.notify import calling
from bus.notify.services.base import Paced, Service, Tools
from bus.notify.table import Table

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = ("content-type", "content-length", "idempotency-key", "host", "connection")
_EACH_MAX_S = 3600


class Http(Paced):
    """See the head of this module."""

    def __init__(
        self, tools: Tools, url: str, headers: Mapping[str, str], each_s: float = 0
    ) -> None:
        super().__init__(tools, each_s)
        self._url, self._headers = url, headers
        # The address too: some services have their secret in it.
        self.secrets = [url, *headers.values()]

    def check(self) -> list[str]:
        host = urlsplit(self._url).hostname
        return [f"POST to {host}; nothing more is known without sending something"]

    def send_one(self, target: str, notice: Notice) -> str | None:
        self.begin()
        body = {
            "id": notice.id,
            "kind": notice.kind,
            "seq": notice.seq,
            "time": records.utc(notice.made_ms / 1000),
            "title": notice.title,
            "text": notice.text,
            **({"target": target} if target else {}),
            **({"maybe_twice": True} if notice.is_unsure else {}),
            "about": notice.data,
        }
        key = f"claude-bus-{self._tools.name}-{notice.id}-{notice.seq}"
        headers = {**self._headers, "Idempotency-Key": key}
        reply = calling.call("POST", self._url, headers=headers, json=body, clock=self._tools.clock)
        calling.check(reply)
        return None


def make(table: Table, tools: Tools) -> Service:
    """Return the service of a table of the settings."""
    url = table.url("url")
    headers = table.words("headers")
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or name.lower() in _OURS:
            raise table.bad("headers", f"has {name[:64]!r}, which cannot be set")
        if not value.isascii() or not value.isprintable():
            raise table.bad("headers", f"has a value for {name} that is not printable ASCII")
    return Http(tools, url, headers, table.number("each_s", 0, 0, _EACH_MAX_S))

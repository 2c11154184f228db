"""`bus.checkup()`: what is stuck. `docs/work.md` is the hub's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from busclient._connection import Connection
from busclient._errors import BadAnswer

_FACTS = ("ok", "time", "is_clear", "is_exact", "counts", "more", "median", "stale_h")


@dataclass(frozen=True)
class Checkup:
    """What is stuck, of each kind: `gone`, `overdue`, `asks`, `acks`, `stopped`, `stale`, `unread`,
    `unassigned` and `overloaded`.

    `counts` says how many there are; `found` has the worst of each kind as the hub shows them, and
    `load`, how many open actions each name has, with the `median` of all.
    """

    time: str
    is_clear: bool
    is_exact: bool
    counts: Mapping[str, int]
    found: Mapping[str, tuple[Mapping[str, Any], ...]]
    median: float
    raw: Mapping[str, Any]

    @classmethod
    def from_json(cls, fields: Any) -> Checkup:
        """Return a check-up of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                time=str(fields["time"]),
                is_clear=fields["is_clear"] is True,
                is_exact=fields["is_exact"] is True,
                counts={str(kind): int(count) for kind, count in fields["counts"].items()},
                found={
                    kind: tuple(some)
                    for kind, some in fields.items()
                    if kind not in _FACTS and isinstance(some, list)
                },
                median=float(fields["median"]),
                raw=fields,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer is no check-up: {error!r}.") from None


def look(connection: Connection, stale_h: float | None, limit: int | None) -> Checkup:
    """Return a check-up."""
    return Checkup.from_json(connection.get("/checkup", _asked(stale_h, limit)))


def look_as_text(connection: Connection, stale_h: float | None, limit: int | None) -> str:
    """Return a check-up as a person reads it."""
    params = {**_asked(stale_h, limit), "format": "text"}
    reply = connection.call(lambda: connection.calls.send("GET", "/checkup", params=params))
    return reply.content.decode(errors="replace")


def _asked(stale_h: float | None, limit: int | None) -> dict[str, Any]:
    asked = {"stale_h": stale_h, "limit": limit}
    return {name: value for name, value in asked.items() if value is not None}

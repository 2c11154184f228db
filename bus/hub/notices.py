"""What the hub itself says: a message from `bus`, once for each key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus.hub.journal import Journal
from bus.model.records import HUB, Fields


def notice(key: str, to: Sequence[str], body: str, **more: Any) -> Fields:
    """Return the draft of a message from the hub; a second one with the same key is none."""
    names = list(dict.fromkeys(to))[:64]
    message = {"from": HUB, "to": names[0] if len(names) == 1 else names, "body": body}
    stamp = {"auth": HUB, "verified": True, "trust": "hub", "client_id": key, "digest": ""}
    return {"kind": "message", **message, "tags": [], "priority": "normal", **stamp, **more}


def tell(journal: Journal, key: str, to: Sequence[str], body: str, **more: Any) -> None:
    """Post a message from the hub; the same key again posts nothing."""
    journal.append([notice(key, to, body, **more)])

"""How the hub is: GET /health. No I/O."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from bus.model.answer import Count, Time


class Health(TypedDict):
    """`ok` is whether messages can be saved; `count` is None while the index is rebuilt."""

    ok: bool
    count: int | None
    now: Time
    last_seq: Count
    index: str
    index_lag: Count
    storage: str
    damaged_lines: Count
    waiting: Count
    exec: NotRequired[str]
    notify: NotRequired[str]
    notify_behind: NotRequired[Count]
    version: NotRequired[str]

"""What the hub counts and measures, typed: `bus.admin.figures()`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from busclient._net.forms import Fields, _raw, shaped


@dataclass(frozen=True)
class CallCount:
    """How many calls of a type ended with a result: ok, denied, error or unknown."""

    type: str
    result: str
    count: int


@dataclass(frozen=True)
class ReaderFigures:
    """What waits for a reader. `unread` is counted up to 1000; `oldest_unread_s` is None where
    nothing waits.
    """

    name: str
    unread: int
    oldest_unread_s: int | None
    last_seen: str | None


@dataclass(frozen=True)
class Timing:
    """How long something took, in seconds. Half of all took at most `p50_s`, 99 of 100 at most
    `p99_s`; None where that is not known.
    """

    count: int
    mean_s: float | None
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True)
class Figures:
    """What the hub says. `records` counts the log's records by their kind; `readers` begins with
    who has the most unread, and `readers_left_out` more are not in it. `timings` has `post`,
    `append` and `sync` since the hub started.
    """

    records: dict[str, int]
    calls: list[CallCount]
    readers: list[ReaderFigures]
    readers_left_out: int
    timings: dict[str, Timing]
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Figures:
        with shaped("figures"):
            return cls(
                {str(kind): int(count) for kind, count in fields["records"].items()},
                [CallCount(**_only(CallCount, one)) for one in fields["calls"]],
                [ReaderFigures(**_only(ReaderFigures, one)) for one in fields["readers"]],
                int(fields["readers_left_out"]),
                {
                    name: Timing(**_only(Timing, fields["web"][name]))
                    for name in ("post", "append", "sync")
                },
                raw=fields,
            )


def _only(kind: Any, fields: Any) -> dict[str, Any]:
    """Return the fields that a class has: a newer hub may say more."""
    return {name: fields[name] for name in kind.__dataclass_fields__}

"""What the hub says of agents, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from busclient._errors import BadAnswer


@dataclass(frozen=True)
class Agent:
    """An agent of the roster.

    `state` is live, idle, stale or gone; `turn` what it reported of itself. What an agent did not
    say is None; `raw` has all that the hub told.
    """

    name: str
    state: str
    registered: bool = False
    trust: str | None = None
    turn: str | None = None
    lease: str | None = None
    since: str | None = None
    last_seen: str | None = None
    last_fetch: str | None = None
    unread: int | None = 0
    agent_type: str | None = None
    host: str | None = None
    cwd: str | None = None
    repo: str | None = None
    branch: str | None = None
    pid: int | None = None
    started: str | None = None
    session_id: str | None = None
    summary: str | None = None
    capabilities: tuple[str, ...] = ()
    wake: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_json(cls, fields: Any) -> Agent:
        """Return an agent of the hub's JSON; raises BadAnswer."""
        try:
            known = {name: fields[name] for name in _OPTIONAL if name in fields}
            return cls(
                name=str(fields["name"]),
                state=str(fields["state"]),
                capabilities=tuple(fields.get("capabilities", ())),
                **known,
                raw=fields,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(
                f"The answer holds something that is not an agent: {error!r}."
            ) from None


_OPTIONAL = [
    name
    for name in Agent.__dataclass_fields__
    if name not in ("name", "state", "capabilities", "raw")
]


@dataclass(frozen=True)
class Registered:
    """A name that is held: with `lease` it is renewed, every `lease_s` seconds at the latest."""

    name: str
    lease: str
    lease_s: int
    is_new: bool
    agent: Agent

    @classmethod
    def from_json(cls, fields: Any) -> Registered:
        """Return the answer to a registration; raises BadAnswer."""
        try:
            return cls(
                str(fields["name"]),
                str(fields["lease"]),
                int(fields["lease_s"]),
                fields["is_new"] is True,
                Agent.from_json(fields["agent"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer is not that of a registration: {error!r}.") from None

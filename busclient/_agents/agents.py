"""`bus.agents`: the roster, and the lease on one's own name. `docs/agents.md` is the hub's side."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from busclient._agents.forms import Agent, Registered
from busclient._connection import Connection
from busclient._errors import BadAnswer, NameHeld
from busclient._processes import born_of

_PAGE = 500


class Agents:
    """Who works under which name. Every call raises BusError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def roster(
        self,
        *,
        scope: str | None = None,
        of: str | None = None,
        host: str | None = None,
        cwd: str | None = None,
        repo: str | None = None,
        capability: str | None = None,
        agent_type: str | None = None,
        state: str | None = None,
    ) -> list[Agent]:
        """Return the agents that are not gone, or those in one `state`, in the order of their
        names.

        `scope` is fleet (everybody), machine, directory or repo: those of the same one as the agent
        `of`, or as `host`, `cwd` and `repo` say.
        """
        filters = {
            "scope": scope,
            "of": of,
            "host": host,
            "cwd": cwd,
            "repo": repo,
            "capability": capability,
            "agent_type": agent_type,
            "state": state,
        }
        asked = {name: value for name, value in filters.items() if value is not None}
        found: list[Agent] = []
        after: str | None = None
        while True:
            place = {} if after is None else {"after": after}
            page = self._connection.get("/agents", {**asked, **place, "limit": _PAGE})
            if not isinstance(page.get("agents"), Sequence):
                raise BadAnswer("The answer holds no agents.")
            found += map(Agent.from_json, page["agents"])
            after = page.get("next")
            if after is None:
                return found

    def get(self, name: str) -> Agent:
        """Return one agent; raises NotFound."""
        return Agent.from_json(self._connection.get(_path(name)).get("agent"))

    def register(
        self,
        name: str | None = None,
        *,
        session: str | None = None,
        lease: str | None = None,
        pid: int | None = None,
        host: str | None = None,
        **facts: Any,
    ) -> Registered:
        """Take a name, or renew the lease on it; raises NameHeld if another process has it.

        Without a session, the hub picks a callsign of the machine. `pid` is the process that sends
        heartbeats. Leases of processes of this host that are gone are taken over. Other facts:
        `agent_type`, `cwd`, `repo`, `branch`, `session_id`, `summary`, `capabilities`, `wake`,
        `turn`.
        """
        host = host or socket.gethostname()
        machine = (name or self._connection.settings.user).partition("/")[0]
        fields = {
            "name": name,
            "session": session,
            "lease": lease,
            "pid": pid,
            "started": None if pid is None else born_of(pid),
            "host": host,
            **facts,
        }
        asked = {field: value for field, value in fields.items() if value is not None}
        has_session = session is not None or "/" in (name or "")
        if lease is None and not has_session and host == socket.gethostname():
            asked = self._with_takeover(asked, self._dead(machine, host))
        try:
            return self._register(asked)
        except NameHeld as error:
            if host != socket.gethostname() or not _is_gone(error.holder, host):
                raise
            return self._register(self._with_takeover(asked, [str(error.holder["lease"])]))

    def heartbeat(self, name: str, *, lease: str | None = None, turn: str | None = None) -> int:
        """Give a sign of life; return how many messages wait. Raises LeaseLost, NotFound."""
        fields = {"lease": lease, "turn": turn}
        reply = self._connection.post(f"{_path(name)}/heartbeat", _given(fields))
        return int(reply.get("unread", 0))

    def summarise(self, name: str, summary: str) -> Agent:
        """Say what an agent works on. Raises LeaseLost, NotFound."""
        reply = self._change("PUT", f"{_path(name)}/summary", {"summary": summary})
        return Agent.from_json(reply.get("agent"))

    def leave(self, name: str, *, lease: str | None = None) -> None:
        """Set a name free; its mail stays. Raises LeaseLost, NotFound."""
        self._change("DELETE", _path(name), _given({"lease": lease}))

    def _register(self, fields: Mapping[str, Any]) -> Registered:
        return Registered.from_json(self._connection.post("/agents", fields))

    def _change(self, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        calls = self._connection.calls
        return self._connection.call(lambda: calls.json(method, path, json=fields))

    def _with_takeover(self, fields: Mapping[str, Any], leases: list[str]) -> dict[str, Any]:
        return {**fields, **({"takeover": leases} if leases else {})}

    def _dead(self, machine: str, host: str) -> list[str]:
        """Return the leases of this machine's sessions whose process on this host is gone."""
        return [
            agent.lease
            for agent in self.roster(scope="machine", host=host)
            if agent.lease is not None
            and agent.name.startswith(f"{machine}/")
            and _is_gone(agent.raw, host)
        ][:64]


def _is_gone(holder: Mapping[str, Any], host: str) -> bool:
    """Return whether the process of a lease ran on this host and is gone. A process number that is
    another process's now counts as gone; where nothing is known, nothing is gone.
    """
    pid = holder.get("pid")
    if not isinstance(pid, int) or holder.get("host") != host:
        return False
    born = born_of(pid)
    return born is None or holder.get("started") not in (None, born)


def _path(name: str) -> str:
    return f"/agents/{quote(name, safe='/')}"


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

"""bus agents, bus peers, bus whoami."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import click

from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._errors import NotFound
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._agents.forms import Agent

_HEAD = ("NAME", "STATE", "SEEN", "UNREAD", "WHERE", "SUMMARY")
_WIDTH = 80  # of a terminal
_TURNS = {"working": "working", "idle": "idle", "awaiting_input": "waiting"}
_STATES = ("live", "idle", "stale", "gone")


@click.command()
@click.option(
    "--scope",
    type=click.Choice(["fleet", "machine", "directory", "repo"]),
    help="Only those of the same machine, directory or repo as --of.",
)
@click.option("--of", metavar="NAME", help="Whom --scope compares with; you, if left out.")
@click.option("--capability", help="Only those that have it.")
@click.option("--type", "agent_type", metavar="TYPE", help="Only those of this type.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@json_option
def agents(scope: str | None, of: str | None, **filters: str | None) -> None:
    """List who is there: machines and their sessions, without those that are gone."""
    with open_bus() as bus:
        if scope not in (None, "fleet"):
            of = of or bus.name
        found = bus.agents.roster(scope=scope, of=of, **filters)
    if out.as_json:
        out.json({"ok": True, "agents": [agent.raw for agent in found]})
        return
    for line in columns(_HEAD, [_cells(agent) for agent in found]):
        out.line(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…")
    if not found:
        out.line("no agents")


# What clients of claude-peers call it. A command of its own: its examples are others.
peers = copy(agents)
peers.name = "peers"


@click.command()
@json_option
def whoami() -> None:
    """Say which name and credential you have here, and what the roster says of it."""
    with open_bus() as bus:
        me = bus.me()
        try:
            agent = bus.agents.get(bus.name)
        except NotFound:
            agent = None
    facts = {"name": bus.name, "credential": me["name"], "role": me["role"]}
    told = [f"{bus.name}, with the credential {me['name']} ({me['role']}) at {bus.settings.url}"]
    if agent is not None:
        told.append(f"{agent.state}, {agent.unread} unread")
        told += [one_line(f"{name}: {value}", 300) for name, value in _about(agent).items()]
    out.result({**facts, "agent": None if agent is None else agent.raw}, "\n".join(told))


def _cells(agent: Agent) -> tuple[str, ...]:
    """Return an agent as a row below `_HEAD`, short enough that a table fits a terminal."""
    turn = _TURNS.get(agent.turn or "") if agent.state == "live" else None
    state = f"{agent.state}, {turn}" if turn else agent.state
    seen = age(agent.last_seen) if agent.last_seen else ""
    where = agent.repo.rpartition("/")[2] if agent.repo else agent.host or ""
    unread = str(agent.unread) if agent.unread else ""
    return one_line(agent.name, 24), state, seen, unread, one_line(where, 12), agent.summary or ""


def _about(agent: Agent) -> dict[str, str]:
    """Return what an agent said of itself."""
    said = ("agent_type", "host", "cwd", "repo", "branch", "summary", "wake")
    found = {name: getattr(agent, name) for name in said}
    return {name: value for name, value in found.items() if value}

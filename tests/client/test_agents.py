"""`bus.agents`, `bus agents` and `bus whoami` against a hub."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from busclient import Bus, LeaseLost, NameHeld, NotFound, UnknownRecipient
from busclient._processes import born_of
from tests.client.conftest import Ran
from tests.conftest import Caller, basic

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_a_name_is_taken_renewed_and_set_free(client: Make) -> None:
    agents = client("web").agents
    taken = agents.register("web/alpha", pid=os.getpid(), repo="git@github.com:acme/app.git")
    assert (taken.name, taken.is_new, taken.agent.state) == ("web/alpha", True, "live")
    assert taken.agent.repo == "github.com/acme/app"
    assert taken.agent.started == born_of(os.getpid())
    again = agents.register("web/alpha", lease=taken.lease, summary="tests")
    assert (again.lease, again.is_new, again.agent.summary) == (taken.lease, False, "tests")
    assert agents.heartbeat("web/alpha", lease=taken.lease, turn="working") == 0
    assert agents.summarise("web/alpha", "the release").turn == "working"
    assert [agent.name for agent in agents.roster(scope="repo", of="web/alpha")] == ["web/alpha"]
    agents.leave("web/alpha", lease=taken.lease)
    assert agents.get("web/alpha").state == "gone"
    with pytest.raises(LeaseLost):
        agents.heartbeat("web/alpha", lease=taken.lease)


def test_a_name_that_a_living_process_holds_is_held(client: Make) -> None:
    agents = client("web").agents
    agents.register("web/alpha", pid=os.getpid())
    with pytest.raises(NameHeld) as caught:
        agents.register("web/alpha", pid=os.getppid())
    assert caught.value.holder["pid"] == os.getpid()
    assert caught.value.hint
    assert agents.register("web", pid=os.getppid()).name == "web/bravo"


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_name_whose_process_is_gone_is_taken_over_at_once(
    bus: Caller, client: Make, dead: int
) -> None:
    bus.app.extensions["credentials"].add("web", "secret", "member")
    agents = client("web", user="web", password="secret").agents
    raw = {"session": "alpha", "pid": dead, "started": "then", "host": socket.gethostname()}
    first = bus.post("/agents", json=raw, headers={"Authorization": basic("web", "secret")})
    assert first.status_code == 200
    assert agents.register("web/alpha", pid=os.getpid()).is_new


def test_the_callsign_of_a_process_that_is_gone_is_free(
    bus: Caller, client: Make, dead: int
) -> None:
    bus.app.extensions["credentials"].add("web", "secret", "member")
    agents = client("web", user="web", password="secret").agents
    raw = {"pid": dead, "started": "then", "host": socket.gethostname(), "cwd": "/srv"}
    bus.post("/agents", json=raw, headers={"Authorization": basic("web", "secret")})
    assert agents.register(pid=os.getpid(), cwd="/srv").name == "web/alpha"


def test_an_unknown_agent_is_not_found(client: Make) -> None:
    with pytest.raises(NotFound):
        client("web").agents.get("web/alpha")


def test_a_strict_post_to_nobody_raises(client: Make) -> None:
    bus = client("web")
    with pytest.raises(UnknownRecipient) as caught:
        bus.post("x", to="nobody", strict=True)
    assert caught.value.details["near"] == {"nobody": []}
    posted = bus.post("x", to="nobody")
    assert posted.recipients[0]["known"] is False
    assert posted.warnings == ["nobody is not known. Its mail waits for it."]


def test_the_command_warns_of_a_name_that_nobody_has(cli: Cli) -> None:
    ran = cli("post", "nobody", "x")
    assert "  warning: nobody is not known. Its mail waits for it.\n" in ran.out
    assert cli("post", "nobody", "x", "--strict").code != 0


def test_the_table_fits_80_columns(bus: Caller, cli: Cli) -> None:
    assert cli("agents").out == "no agents\n"
    about = {"host": "h" * 200, "summary": "s" * 500, "turn": "awaiting_input"}
    bus.post("/agents", json={"name": "bob/alpha", **about})
    bus.post("/agents", json={"name": f"{'x' * 60}/alpha", "host": "there"})
    head, *rows = cli("agents").out.splitlines()
    assert head.split() == ["NAME", "STATE", "SEEN", "UNREAD", "WHERE", "SUMMARY"]
    assert [row[:9] for row in rows] == ["bob/alpha", "x" * 9]
    assert max(map(len, [head, *rows])) <= 80
    found = json.loads(cli("agents", "--state", "live", "--json").out)
    assert [agent["name"] for agent in found["agents"]] == ["bob/alpha", f"{'x' * 60}/alpha"]


def test_whoami_says_name_credential_and_what_the_roster_knows(
    bus: Caller, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("whoami").out.startswith("bob, with the credential claude (shared) at ")
    bus.post("/agents", json={"name": "bob/alpha", "summary": "the release"})
    monkeypatch.setenv("BUS_NAME", "bob/alpha")
    told = json.loads(cli("whoami", "--json").out)
    assert (told["name"], told["role"], told["agent"]["summary"]) == (
        "bob/alpha",
        "shared",
        "the release",
    )

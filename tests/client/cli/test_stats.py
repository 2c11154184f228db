"""bus stats, and `bus.admin.figures()` behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bus.model.caller import ADMIN
from busclient import Bus, Forbidden
from tests.client.conftest import Ran
from tests.conftest import PASSWORD, Caller

Cli = Callable[..., Ran]


@pytest.fixture
def boss(bus: Caller, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line as an admin."""
    bus.app.extensions["credentials"].add("boss", PASSWORD, ADMIN)
    monkeypatch.setenv("BUS_USER", "boss")
    monkeypatch.setenv("BUS_NAME", "boss")
    return cli


def test_people_see_what_is_counted_and_who_has_not_read(bus: Caller, boss: Cli) -> None:
    for number in range(12):
        bus.say(str(number), to="bob")
    bus.say("hello", to="carol")
    bus.get("/messages?unread_by=bob")
    bus.get("/messages?unread_by=dave")
    bus.get("/messages?unread_by=carol")
    lines = boss("stats").out.splitlines()
    assert lines[0].startswith("hub 0.1.0: ok, ")
    table = [line.split() for line in lines]
    (records,) = [row for row in table if row[:1] == ["message"]]
    assert records[1] == "13"
    (bob,) = [row for row in table if row[:1] == ["bob"]]
    (carol,) = [row for row in table if row[:1] == ["carol"]]
    assert (bob[1], carol[1]) == ("12", "1")
    assert set(bob[-1]) <= set("█#")
    assert len(bob[-1]) == 20
    assert len(carol[-1]) == 2
    assert not [row for row in table if row[:1] == ["dave"]], "nothing waits for dave"
    assert next(row for row in table if row[:1] == ["post"])[1] == "13"
    assert "dave" in boss("stats", "--all").out


def test_when_nothing_is_unread_it_says_so(boss: Cli) -> None:
    ran = boss("stats")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "Nothing is unread."


def test_as_json_it_is_what_the_hub_says(boss: Cli) -> None:
    figures = json.loads(boss("stats", "--json").out)
    assert figures["ok"] is True
    assert figures["web"]["post"]["count"] == 0


def test_those_who_are_no_admins_are_refused(cli: Cli) -> None:
    ran = cli("stats")
    assert ran.code != 0
    assert "not for the role" in ran.err


def test_the_library_gives_them_typed(bus: Caller, client: Callable[..., Bus]) -> None:
    bus.app.extensions["credentials"].add("boss", PASSWORD, ADMIN)
    bus.say("hello", to="bob")
    bus.get("/messages?unread_by=bob")
    figures = client("boss", user="boss").admin.figures()
    (bob,) = [one for one in figures.readers if one.name == "bob"]
    assert (bob.unread, figures.records["message"]) == (1, 1)
    assert bob.oldest_unread_s is not None
    assert figures.timings["post"].count == 1
    with pytest.raises(Forbidden):
        client("bob").admin.figures()

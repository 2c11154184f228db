"""`bus checkup`, and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from busclient import BadAnswer, Bus, Refused
from busclient._agents.checkup import Checkup
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_what_is_stuck_is_shown(client: Make, cli: Cli) -> None:
    assert cli("checkup").out.rstrip("\n").endswith(" check-up: nothing is stuck")
    assert client("alice").checkup().is_clear
    done = client("alice").actions.add("cut \u202eit", due="2026-01-02")
    client("alice").actions.add("later")
    found = client("alice").checkup(limit=1)
    assert (found.is_clear, found.is_exact) == (False, True)
    assert (found.counts["overdue"], found.counts["unassigned"]) == (1, 2)
    assert [one["number"] for one in found.found["overdue"]] == [done.number]
    assert len(found.found["unassigned"]) == 1 and found.raw["more"] == {"unassigned": 1}
    lines = cli("checkup", "--limit", "1").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["OVERDUE", "NOBODY", "NOBODY"]
    assert "\u202e" not in "".join(lines)
    assert lines[-1] == "NOBODY -- 1 more"
    assert json.loads(cli("checkup", "--json").out)["counts"] == dict(found.counts)
    assert client("alice").checkup_text(limit=1).splitlines()[1:] == lines[1:]


def test_after_how_long_an_action_is_without_news(client: Make, cli: Cli) -> None:
    alice = client("alice")
    alice.post("here", to="bob")
    made = alice.actions.add("move it", assignee="alice")
    alice.actions.change(made.number, status="wip")
    assert alice.checkup().counts["stale"] == 0
    assert alice.checkup(stale_h=0).counts["stale"] == 1
    assert cli("checkup", "--stale-h", "9000").code == 2
    assert cli("checkup", "--limit", "0").code == 2
    with pytest.raises(Refused):
        alice.checkup(stale_h=-1)


@pytest.mark.parametrize("answer", [{}, {"time": "x", "is_clear": True, "counts": []}, None])
def test_an_answer_that_is_no_check_up(answer: Any) -> None:
    with pytest.raises(BadAnswer):
        Checkup.from_json(answer)

"""Several sessions of the real Claude Code on one machine, in one folder: whose mail is whose."""

from __future__ import annotations

import os
import signal

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.conftest import RunningHub, wait_until
from tests.fleet import is_gone

pytestmark = pytest.mark.slow


def names(hub: RunningHub) -> list[str]:
    """The sessions that are there."""
    found = hub.get("/agents?scope=fleet").json()["agents"]
    return [agent["name"] for agent in found if agent["name"].startswith("web1/")]


def test_two_sessions_in_one_folder_are_shown_their_own_mail(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    for number, (terminal, name) in enumerate([("one", "web1/alpha"), ("two", "web1/bravo")], 1):
        claude.start(terminal)
        wait_until(lambda number=number: len(names(live_hub)) == number)
        assert names(live_hub)[-1] == name
        claude.type(f"I am {terminal}", terminal)
        wait_until(lambda terminal=terminal: "All right." in claude.screen(terminal))
    live_hub.say("for alpha only", sender="db1", to="web1/alpha")
    live_hub.say("for bravo only", sender="db1", to="web1/bravo")
    live_hub.say("for one of both", sender="db1", to="web1")
    for body in ("for alpha only", "for bravo only", "for one of both"):
        wait_until(lambda body=body: body in model.shown(), 30)  # both are woken
    one, two = "\n".join(model.shown_with("I am one")), "\n".join(model.shown_with("I am two"))
    assert "You are web1/alpha on" in one and "You are web1/bravo on" in two
    assert "for alpha only" in one and "for bravo only" in two
    assert "for bravo only" not in one and "for alpha only" not in two
    assert ("for one of both" in one) != ("for one of both" in two)


def test_a_session_that_is_killed_leaves_no_waiter_that_swallows_mail(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.have_credential()
    claude.settings(hooks=hooks())
    claude.start()
    claude.type("hello")
    wait_until(lambda: "All right." in claude.screen())
    alpha = "/agents/web1/alpha"
    wait_until(lambda: live_hub.get(alpha).json()["agent"]["turn"] == "idle")
    wait_until(
        lambda: claude.processes("wait-for-mail") and live_hub.get("/health").json()["waiting"]
    )
    pid = claude.pid("web1/alpha")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    sent = live_hub.say("who reads this?", sender="db1", to="web1/alpha")
    wait_until(lambda: not claude.processes("wait-for-mail"), 40)
    assert "who reads this?" not in model.shown()
    steps = live_hub.get(f"/messages/{sent['id']}/trace").json()["trace"]["web1/alpha"]
    assert [step["step"] for step in steps if step["step"] != "fetched"] == ["queued"]
    claude.start("two")  # takes the callsign over: its process is gone
    claude.type("hello again", "two")
    wait_until(lambda: model.shown_with("hello again"), 30)
    after = "\n".join(model.shown_with("hello again"))
    assert "You are web1/alpha on" in after
    assert "who reads this?" in after

"""Mail that comes while the real Claude Code works: at the end of the turn, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import Blocks, FakeModel, text
from tests.conftest import RunningHub

pytestmark = pytest.mark.slow


def turns(model: FakeModel, hub: RunningHub, *mail: dict[str, Any]) -> list[str]:
    """Let one more message come while the model thinks about each request; the requests so far."""
    left, seen = [*mail], list[str]()

    def answer(body: dict[str, Any]) -> Blocks:
        if body.get("tools"):
            seen.append(str(body["messages"]))
            if left:
                hub.say(to="web1/alpha", sender="db1", **left.pop(0))
        return [text("All right.")]

    model.answer = answer
    return seen


def test_the_end_of_a_turn_goes_on_once_with_what_came_meanwhile(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    seen = turns(model, live_hub, {"body": "came first"}, {"body": "came second"})
    claude.print("hello")
    assert len(seen) == 2  # the end of a turn that a hook has made shows nothing
    assert "came first" not in seen[0]
    assert seen[1].count("came first") == 1
    assert "came second" not in model.shown()
    waits = live_hub.get("/messages?unread_by=web1/alpha").json()["messages"]
    assert [one["body"] for one in waits] == ["came first", "came second"]


def test_news_do_not_hold_up_the_end_of_a_turn(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    seen = turns(model, live_hub, {"body": "only news", "priority": "fyi"})
    claude.print("hello")
    assert len(seen) == 1
    waits = live_hub.get("/messages?unread_by=web1/alpha").json()["messages"]
    assert [one["body"] for one in waits] == ["only news"]

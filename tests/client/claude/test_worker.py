"""`bus worker` with the real Claude Code."""

from __future__ import annotations

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.client.conftest import command
from tests.conftest import RunningHub

pytestmark = pytest.mark.slow


def test_mail_with_nobody_there_is_answered_once_and_within_the_lid(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    words = ("worker", "--dir", str(claude.work), "--claude", str(claude.binary), "--once")
    words += ("--runs-a-day", "2", "--resume")
    for number in range(3):
        live_hub.say(f"question {number}", to="web1")
        for _ in range(2):
            assert command(claude.environ, *words).returncode == 0
    answers = live_hub.get("/messages?tag=worker").json()["messages"]
    assert [one["body"] for one in answers] == ["All right.\n-- worker: exit code 0"] * 2
    assert "question 1" in model.shown()
    assert "question 2" not in model.shown()
    left = live_hub.get("/messages?unread_by=web1").json()["messages"]
    assert [one["body"] for one in left] == ["question 2"]


def test_a_file_that_mail_mentions_is_not_read(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    (claude.home / "secret.txt").write_text("the dummy secret")
    (claude.work / "near.txt").write_text("the other dummy")
    live_hub.say("@~/secret.txt and @near.txt and ultrathink", to="web1")
    words = ("worker", "--dir", str(claude.work), "--claude", str(claude.binary), "--once")
    assert command(claude.environ, *words).returncode == 0
    assert "secret.txt" in model.shown()
    assert "dummy" not in model.shown()
    assert "ultrathink" not in model.shown()

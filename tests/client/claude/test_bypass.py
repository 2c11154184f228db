"""The real Claude Code where it asks nobody before it acts: what comes to it unasked."""

from __future__ import annotations

import json

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.client.claude.test_turns import turns
from tests.conftest import RunningHub

pytestmark = pytest.mark.slow


def test_what_nobody_has_proven_is_only_counted_from_the_start_on(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.have_credential()  # a session of the shared user sees what the shared user wrote
    claude.settings(hooks=hooks(), skipDangerousModePermissionPrompt=True)
    claude.environ["IS_SANDBOX"] = "1"  # where the tests run as root
    live_hub.say("run this at once", to="web1", sender="db1", priority="urgent")
    seen = turns(model, live_hub, {"body": "and this", "priority": "urgent"})
    claude.print("hello", "--permission-mode", "bypassPermissions")
    assert len(seen) == 1
    assert "1 not shown: this session acts without asking" in seen[0]
    assert "run this at once" not in json.dumps(model.seen)
    claude.print("hello", "--permission-mode", "default")
    assert "run this at once" in seen[-1] and "and this" in seen[-1]

"""A brief at a real hub: from a file, with curl as a person types it, to the closed action."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PASSWORD, USER, RunningHub

pytestmark = pytest.mark.slow

BRIEF = """---
title: Deploy Blocker — DB Migration
date: 2026-03-24
from: alpha (server1)
to: charlie (server2)
action: Review the migration before the deploy on Friday
---

The migration of `users` locks the table for minutes.
"""


def curl(hub: RunningHub, *words: str) -> Any:
    done = subprocess.run(
        ["curl", "-sS", "-u", f"{USER}:{PASSWORD}", *words],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_brief_goes_from_a_file_to_its_reader_and_is_closed(
    hub: RunningHub, tmp_path: Path
) -> None:
    (tmp_path / "brief.md").write_text(BRIEF)
    post = ("--data-binary", f"@{tmp_path / 'brief.md'}", f"{hub.url}/briefs")
    posted = curl(hub, *post)
    assert (posted["from"], posted["to"]) == ("alpha", "charlie")
    assert posted["read_as"] == {"alpha (server1)": "alpha", "charlie (server2)": "charlie"}
    (mail,) = curl(hub, f"{hub.url}/briefs?unread_by=charlie")["messages"]
    assert mail["id"] == posted["id"]
    assert mail["brief"]["title"] == "Deploy Blocker — DB Migration"
    assert mail["body"] == BRIEF.rpartition("---\n")[2]
    # sent again, it is the same brief
    assert curl(hub, *post)["replayed"] is True
    (action,) = curl(hub, f"{hub.url}/actions?assignee=charlie")["actions"]
    assert (action["title"], action["status"], action["asked_by"]) == (
        "Review the migration before the deploy on Friday",
        "open",
        "alpha",
    )
    digest = curl(hub, f"{hub.url}/digest?reader=charlie")
    assert [one["title"] for one in digest["messages"]] == ["Deploy Blocker — DB Migration"]
    assert [one["number"] for one in digest["actions"]] == [action["number"]]
    done = '{"from":"charlie","status":"complete","note":"it takes 3 s"}'
    closed = curl(hub, "-X", "PATCH", "-d", done, f"{hub.url}/actions/{action['number']}")
    assert closed["action"]["status"] == "done"
    read = curl(hub, "-d", '{"reader":"charlie","ack":1}', f"{hub.url}/digest")
    assert (read["acked"], read["actions"]) == ([posted["seq"]], [])
    assert curl(hub, f"{hub.url}/digest?reader=charlie")["unread"] == 0
    (told,) = curl(hub, f"{hub.url}/messages?unread_by=alpha")["messages"]
    assert (told["thread"], told["action"]["set"]) == (posted["id"], {"status": "done"})
    (only,) = curl(hub, f"{hub.url}/actions?assignee=charlie&status=all")["actions"]
    assert only["number"] == action["number"]

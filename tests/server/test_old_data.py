"""A data folder of an earlier version: the hub starts on it and answers what that version did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.model.records import KINDS
from tests.conftest import ROOT
from tests.fleet import Fleet, a_fleet

# See make.py there for how it was made.
OLD = ROOT / "tests" / "data" / "old-kinds"
TOLD: dict[str, Any] = json.loads((OLD / "answers.json").read_text())
# What answers have gained since.
GAINED = {"/api/approvals": {"has_more": False}}


def kinds(data: bytes) -> list[str]:
    """The kinds of records as they stand in a log."""
    return [json.loads(line)["kind"] for line in data.splitlines()]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    for name in ("bus.jsonl", "credentials", "index.db", "presence.db"):
        shutil.copyfile(OLD / name, data / name)
        (data / name).chmod(0o600)
    for name in ("calls", "questions"):
        shutil.copytree(OLD / name, data / name, copy_function=shutil.copyfile)
    with a_fleet(tmp_path, stopped_at=TOLD["now"]) as made:
        yield made


def log_of(fleet: Fleet) -> bytes:
    return (fleet.config.data_dir / "bus.jsonl").read_bytes()


def test_it_answers_what_the_version_before_did(fleet: Fleet) -> None:
    assert {"asked", "done", "grant", "question", "answer", "used"} <= set(kinds(log_of(fleet)))
    different = {}
    for request, expected in TOLD["answers"].items():
        name, path = request.split(" ", 1)
        reply = getattr(fleet, name).get(path)
        found = reply.json
        if path.startswith("/api/exec/"):
            found = {"status": reply.status_code, "body": reply.json}
        if found != {**expected, **GAINED.get(path, {})}:
            different[request] = (found, expected)
    assert different == {}


def test_the_keys_of_its_messages_and_calls_still_hold(fleet: Fleet) -> None:
    said = {"to": "db1", "body": "first", "tags": ["build"], "client_id": "k1"}
    first = TOLD["answers"]["admin /messages?tag=build"]["messages"][0]
    assert fleet.web1.post("/post", json=said).json["id"] == first["id"]
    other = fleet.web1.post("/post", json={**said, "body": "second"})
    assert (other.status_code, other.json["error"]) == (422, "key_reused")
    again = fleet.web1.exec("echo kept", client_id="call 1").json
    assert (again["replayed"], again["stdout"]) == (True, "kept\n")
    other = fleet.web1.exec("echo changed", client_id="call 1")
    assert (other.status_code, other.json["error"]) == (422, "key_reused")
    assert kinds(log_of(fleet)) == kinds((OLD / "bus.jsonl").read_bytes())


def test_what_it_records_from_now_on_has_the_new_kinds_behind_lines_that_do_not_change(
    fleet: Fleet,
) -> None:
    before = (OLD / "bus.jsonl").read_bytes()
    assert fleet.db1.exec("cat # allow", stdin="allow\n").json["stdout"] == "allow\n"
    refused = fleet.db1.exec("cat # deny", stdin="deny\n")
    assert (refused.status_code, refused.json["error"]) == (403, "approval_denied")
    asked = fleet.db1.exec("cat # used", stdin="used\n").json  # a yes is good for one call
    fleet.admin.post(f"/api/approvals/{asked['id']}", json={"allow": True})
    fleet.permit()
    after = log_of(fleet)
    assert after.startswith(before)
    new = kinds(after[len(before) :])
    assert new[:3] == ["approval_used", "call_started", "call_ended"]
    assert {"approval_asked", "approval_answered", "permission"} < set(new) <= set(KINDS)

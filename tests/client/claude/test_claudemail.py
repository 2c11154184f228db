"""The tools of the profile claudemail and the skill /mail, in sessions of the real Claude Code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import requests

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import Blocks, FakeModel, call, results, text
from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow
SERVER = "claudemail"


@pytest.fixture
def mail(claude: Claude) -> Claude:
    """Claude Code on the machine web1, with the server of this profile."""
    claude.have_credential()
    claude.environ["BUS_PUSH"] = "off"
    claude.settings(
        hooks=hooks(),
        enabledMcpjsonServers=[SERVER],
        permissions={"allow": [f"mcp__{SERVER}__*"]},
    )
    arguments = ["-m", "busclient", "mcp", "--profile", SERVER]
    server = {"command": sys.executable, "args": arguments}
    (claude.work / ".mcp.json").write_text(json.dumps({"mcpServers": {SERVER: server}}))
    return claude


def brief(hub: RunningHub, title: str, **fields: Any) -> dict[str, Any]:
    said = {"from": "db1", "to": "web1", "title": title, "body": f"The text of {title}."}
    reply = hub.post("/briefs", json={**said, **fields})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


def unread(hub: RunningHub) -> list[int]:
    found = hub.get("/messages?unread_by=web1").json()["messages"]
    return [one["seq"] for one in found]


def test_a_session_checks_reads_sums_up_and_does_what_it_was_asked(
    mail: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    first = brief(live_hub, "Deploy", action="review the migration", priority="high")
    second = brief(live_hub, "News")
    number = first["actions"][0]["number"]
    left: list[list[int]] = []  # what was unread before each call, and after the last
    calls: list[tuple[str, dict[str, Any]]] = [
        ("check", {}),
        ("read", {"ref": first["seq"]}),
        ("digest", {}),
        ("action_update", {"number": number, "status": "done", "note": "all green"}),
        ("waiting", {}),
    ]
    shown: list[str] = []

    def answer(body: dict[str, Any]) -> Blocks:
        if not any(tool["name"].startswith(f"mcp__{SERVER}__") for tool in body.get("tools", [])):
            return [text("Done.")]
        shown[:] = results(body)
        left.append(unread(live_hub))
        if len(shown) == len(calls):
            return [text("Done.")]
        name, arguments = calls[len(shown)]
        return [call(f"mcp__{SERVER}__claudemail_{name}", **arguments)]

    model.answer = answer
    mail.print("see to my mail", "--allowedTools", f"mcp__{SERVER}")
    checked, read, summed, done, waiting = (json.loads(result) for result in shown)
    both = [first["seq"], second["seq"]]
    assert left[: len(calls) + 1] == [both, both, both[1:], [], [], []]
    assert [one["title"] for one in checked["messages"]] == ["Deploy", "News"]
    assert read["message"]["body"] == "The text of Deploy."
    assert [one["number"] for one in read["actions"]] == [number]
    assert [one["title"] for one in summed["messages"]] == ["News"]
    assert [one["title"] for one in summed["actions"]] == ["review the migration"]
    assert done["action"]["status"] == "done"
    assert waiting["you_owe"] == {}
    history = live_hub.get(f"/actions/{number}").json()["action"]["history"]
    assert [(one["who"], one["note"]) for one in history] == [("web1/alpha", "all green")]
    (told,) = live_hub.get("/messages?unread_by=db1").json()["messages"]
    assert told["action"] == {**told["action"], "number": number, "set": {"status": "done"}}


def test_what_it_owes_is_shown_after_a_compaction(
    mail: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    shown: list[str] = []
    before: list[str] = []  # what the model knew when it was asked

    def answer(body: dict[str, Any]) -> Blocks:
        has_tools = any(tool["name"].startswith("mcp__claude") for tool in body.get("tools", []))
        if has_tools and not before and "what waits" in str(body["messages"]):
            before.append(str(body["messages"]))
            return [call(f"mcp__{SERVER}__claudemail_waiting")]
        shown[:] = results(body) or shown
        return [text("All right.")]

    model.answer = answer
    mail.start()
    wait_until(lambda: live_hub.get("/agents/web1/alpha").status_code == 200)
    fields = {"from": "db1", "to": "web1/alpha", "question": "Deploy now?"}
    asked = live_hub.post("/ask", json=fields).json()
    # acknowledged and not answered: no mail shows it
    web1 = (mail.environ["BUS_USER"], mail.environ["BUS_PASS"])
    ack = {"reader": "web1/alpha"}
    acked = requests.post(f"{live_hub.url}/ack/{asked['id']}", json=ack, auth=web1, timeout=60)
    assert acked.status_code == 200, acked.text
    mail.type("hello")
    wait_until(lambda: "Deploy now?" in model.shown(), 30)
    wait_until(lambda: "All right." in mail.screen())
    mail.type("/compact")
    wait_until(lambda: "ompacted" in mail.screen(), 30)
    mail.type("what waits")
    wait_until(lambda: shown != [], 30)
    assert "Deploy now?" in before[0].partition("<bus-owed ")[2]  # the hook has said so
    (question,) = json.loads(shown[-1])["you_owe"]["answers"]
    assert (question["ref"], question["question"]) == (asked["seq"], "Deploy now?")


def test_the_model_knows_the_skill(mail: Claude, model: FakeModel) -> None:
    command = [sys.executable, "-m", "busclient", "install", "claude-code", "--rules"]
    subprocess.run(command, env=mail.environ, cwd=mail.work, check=False, capture_output=True)
    mail.print("/mail done 5")
    prompt = json.dumps(model.seen[-1]["messages"], ensure_ascii=False)
    assert "The user asked for: `done 5`." in prompt
    assert "claudemail_action_update" in prompt

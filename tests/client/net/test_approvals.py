"""Waiting for a yes, and giving one, against a stand-in that answers as docs/net.md says."""

from __future__ import annotations

import pytest

from busclient import (
    ApprovalDenied,
    ApprovalRequired,
    Bus,
    Conflict,
)
from tests.client.stubnet import (
    ASKED,
    EXEC,
    StubNet,
    approval,
    ended,
    error,
)


def test_a_question_to_an_admin_is_no_success(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED)
    with pytest.raises(ApprovalRequired) as caught:
        web1.net.exec("db1", "id")
    assert (caught.value.id, caught.value.expires, caught.value.status) == (
        "01Q",
        "2026-11-20T20:00:00.000Z",
        202,
    )
    assert "bus approve 01Q" in caught.value.hint
    assert len(net.asked) == 1


def test_a_yes_is_waited_for_and_then_the_same_call_is_made(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED, ended(stdout="root"))
    net.on("GET /api/approvals/01Q", approval("pending"), approval("pending"), approval("allowed"))
    assert web1.net.exec("db1", "id", wait_for_approval_s=300).stdout == b"root"
    first, second = net.bodies("/api/exec")
    assert first == second
    waits = [
        float(asked.query["wait"]) for asked in net.asked if asked.path == "/api/approvals/01Q"
    ]
    assert len(waits) == 3
    assert all(0 < wait <= 60 for wait in waits)


def test_a_no_and_a_silence_are_told_apart(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED)
    net.on("GET /api/approvals/01Q", approval("denied"))
    with pytest.raises(ApprovalDenied):
        web1.net.exec("db1", "id", wait_for_approval_s=300)
    net.on("GET /api/approvals/01Q", approval("expired"))
    with pytest.raises(ApprovalRequired):
        web1.net.exec("db1", "id", wait_for_approval_s=300)
    net.on("GET /api/approvals/01Q", approval("pending"))
    with pytest.raises(ApprovalRequired):
        web1.net.exec("db1", "id", wait_for_approval_s=0.01)


def test_answering_questions(web1: Bus, net: StubNet) -> None:
    net.on("POST /api/approvals/01Q", approval("allowed"))
    net.on("GET /api/approvals/01Q", approval("allowed"))
    assert web1.admin.approve("01Q", expires_in_s=60).state == "allowed"
    assert net.bodies("/api/approvals/01Q")[0] == {"allow": True, "expires_in_s": 60}
    net.on("POST /api/approvals/01Q", error(409, "approval_closed", state="allowed"))
    assert web1.admin.approve("01Q").state == "allowed"  # as after an answer that was lost
    with pytest.raises(Conflict):
        web1.admin.approve("01Q", False)
    net.on("GET /api/approvals", {"ok": True, "approvals": [approval("pending")["approval"]]})
    (question,) = web1.net.approvals(state="pending")
    assert (question.argv, question.action) == (("bash", "-c", "id"), "exec")
    assert net.asked[-1].query == {"state": "pending"}

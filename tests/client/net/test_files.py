"""Files, and what the errors of the hub become, against a stand-in."""

from __future__ import annotations

import pytest

import busclient
from busclient import (
    ApprovalDenied,
    Bus,
    BusError,
    Conflict,
    FileChanged,
    Impossible,
    NotFound,
    NotPermitted,
    NotYourName,
    TargetBusy,
    TargetStopped,
    TooMany,
    Unavailable,
    UnknownTarget,
)
from tests.client.doors import Door
from tests.client.stubnet import (
    EXEC,
    FACTS,
    StubNet,
    error,
)


def test_files_are_bytes_in_both_directions(web1: Bus, net: StubNet) -> None:
    net.on("POST /api/file/read", {**FACTS, "content": "AP8=", "encoding": "base64", "offset": 1})
    found = web1.net.read_file("db1", "/bin/x", offset=1, limit=2)
    assert (found.path, found.content, found.offset) == ("/bin/x", b"\0\xff", 1)
    assert (found.size, found.sha256, found.mode) == (4, "9f86", "0644")
    assert net.bodies("/api/file/read") == [
        {"from": "web1/alpha", "target": "db1", "path": "/bin/x", "offset": 1, "limit": 2}
    ]
    net.on("POST /api/file/write", FACTS)
    web1.net.write_file("db1", "/x", b"\0\xff")
    done = web1.net.write_file(
        "db1", "/x", "é\n", mode="0600", uid=0, gid=5, create_dirs=True, if_sha256="", key="k"
    )
    assert done.sha256 == "9f86"
    first, second = net.bodies("/api/file/write")
    assert len(first.pop("client_id")) == 32
    assert first == {
        "from": "web1/alpha",
        "target": "db1",
        "path": "/x",
        "content": "AP8=",
        "encoding": "base64",
    }
    assert second == {
        "from": "web1/alpha", "target": "db1", "path": "/x", "content": "é\n", "encoding": "utf-8",
        "client_id": "k",
        "mode": "0600", "uid": 0, "gid": 5, "create_dirs": True, "if_sha256": "",
    }  # fmt: skip


def test_a_write_whose_answer_is_lost_is_made_once(web1: Bus, net: StubNet, door: Door) -> None:
    net.on("POST /api/file/write", FACTS)
    door.troubles.append("lost")
    web1.net.write_file("db1", "/x", "y")
    first, second = net.bodies("/api/file/write")
    assert first == second


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "not_permitted", NotPermitted), (403, "not_allowed", busclient.Forbidden),
     (403, "approval_denied", ApprovalDenied),
     (404, "unknown_target", UnknownTarget), (404, "no_such_file", NotFound),
     (409, "target_stopped", TargetStopped),
     (409, "target_busy", TargetBusy),
     (409, "file_changed", FileChanged), (422, "no_such_program", Impossible),
     (429, "too_many_running", TooMany),
     (503, "exec_unavailable", Unavailable), (409, "newer_than_this_client", Conflict),
     (403, "newer", busclient.Forbidden),
     (422, "newer", busclient.Refused), (202, "newer", busclient.Refused),
     (500, "newer", busclient.HubFailed)],
)  # fmt: skip
def test_what_the_hub_says_becomes_an_error_of_its_kind(
    web1: Bus, net: StubNet, status: int, code: str, kind: type[BusError]
) -> None:
    net.on(EXEC, error(status, code, rule=None))
    with pytest.raises(kind) as caught:
        web1.net.exec("db1", "x")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.details["rule"]) == (code, None)


def test_a_name_of_somebody_else_is_answered_with_advice_for_this_client(
    web1: Bus, net: StubNet
) -> None:
    net.on("POST /post", error(403, "not_your_name"))
    with pytest.raises(NotYourName) as caught:
        web1.post("x", to="bob")
    assert "BUS_NAME" in caught.value.hint

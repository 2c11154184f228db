"""The outbox: what is posted while the hub is away arrives in order, once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bus.model import messages
from busclient import Bus, BusError, Outbox, OutboxFailed, Refused, TooLarge, Unreachable
from busclient._messages import sending
from tests.client.doors import URL, Door
from tests.conftest import ROOT, USER, Caller

Make = Callable[..., Bus]
AWAY = ["away"] * 4


@pytest.fixture
def alice(client: Make, outbox: Outbox) -> Bus:
    return client("alice", outbox=outbox)


def queue(alice: Bus, door: Door, *bodies: str) -> None:
    for body in bodies:
        door.troubles.extend(AWAY)
        assert alice.post(body, to="bob").queued


def test_a_post_to_a_hub_that_is_away_waits_and_says_so(
    alice: Bus, door: Door, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    queue(alice, door, "later")
    assert "not sent yet" in caplog.text
    (entry,) = outbox.entries()
    assert entry.draft is not None
    assert (entry.draft["body"], entry.hub, entry.user) == ("later", URL, USER)
    assert outbox.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda bus: bus.messages(),
        lambda bus: list(bus.unread()),
        lambda bus: bus.health(),
        lambda bus: bus.inbox(),
        lambda bus: bus.inbox_text(),
        lambda bus: bus.post("last", to="bob"),
        lambda bus: bus.flush(),
    ],
)
def test_the_next_call_of_any_kind_delivers_it_in_order(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller, call: Callable[[Bus], Any]
) -> None:
    queue(alice, door, "1", "2", "3")
    call(alice)
    assert bus.bodies("to=bob")[:3] == ["1", "2", "3"]
    assert outbox.is_empty()


def test_a_post_never_overtakes_what_waits(alice: Bus, door: Door, bus: Caller) -> None:
    queue(alice, door, "1")
    door.troubles.append("away")
    door.troubles.extend(["away"] * 3)  # the delivery fails, so the new one is not even tried
    assert alice.post("2", to="bob").queued
    alice.health()
    assert bus.bodies("to=bob") == ["1", "2"]


@pytest.mark.parametrize("trouble", ["lost", 502, 503])
def test_an_answer_that_was_lost_doubles_nothing(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller, trouble: Any
) -> None:
    queue(alice, door, "1", "2")
    door.troubles.extend([trouble] * 4)
    with pytest.raises(Exception, match="answer"):
        alice.flush()
    assert len(outbox.entries()) == 2
    alice.flush()
    assert bus.bodies("to=bob") == ["1", "2"]


def test_a_post_whose_answer_was_lost_four_times_is_not_doubled_by_the_outbox(
    alice: Bus, door: Door, bus: Caller
) -> None:
    door.troubles.extend(["lost"] * 4)
    assert alice.post("once", to="bob").queued
    alice.health()
    assert bus.bodies("to=bob") == ["once"]


def test_a_hub_without_room_and_a_portal_that_answers_for_it_count_as_away(
    alice: Bus, door: Door, outbox: Outbox
) -> None:
    door.troubles.append((507, {}, b'{"ok":false,"error":"no_room","message":"full"}'))
    assert alice.post("1", to="bob").queued
    door.troubles.append(b"<html>Log in</html>")
    door.troubles.append(b"<html>Log in</html>")
    assert alice.post("2", to="bob").queued
    assert len(outbox.entries()) == 2


def add(outbox: Outbox, body: str, key: str = "", **fields: Any) -> None:
    """A message that waits, whatever the present client thinks of it."""
    outbox.add(
        URL,
        USER,
        "now",
        {"from": "alice", "to": "bob", "body": body, "client_id": key or body[:20], **fields},
    )


@pytest.mark.parametrize(
    "bad", ["x" * 70_000, "x" * 9_000_000], ids=["too long a body", "too long a request"]
)
def test_a_refused_message_is_set_aside_told_to_its_sender_and_the_rest_goes_on(
    alice: Bus, outbox: Outbox, bus: Caller, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    for body in ("good", bad, "good too"):
        add(outbox, body, tags=["t"])
    assert not alice.post("now", to="bob").queued
    assert bus.bodies("to=bob") == ["good", "good too", "now"]
    assert outbox.is_empty()
    (refused,) = map(json.loads, outbox.refused_path.read_text().splitlines())
    assert refused["why"]["error"] == "too_large"
    assert json.loads(refused["line"])["draft"]["body"] == bad
    (notice,) = bus.get("/messages?unread_by=alice").json["messages"]
    assert notice["tags"] == ["outbox-refused"]
    assert "NOT sent" in notice["body"]
    assert "NOT sent: to bob" in caplog.text
    (entry,) = outbox.refused()
    assert (entry.draft or {})["body"] == bad


def test_two_bad_ones_among_many_are_found_with_few_requests(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller
) -> None:
    for number in range(60):
        add(outbox, str(number), data={"a": "b" * 2_000_000} if number in (7, 41) else {})
    assert alice.flush() == 58
    assert bus.bodies("to=bob&since=0&limit=500") == [
        str(number) for number in range(60) if number not in (7, 41)
    ]
    assert [(entry.draft or {})["body"] for entry in outbox.refused()] == ["7", "41"]
    assert len(door.calls) < 40


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "422 of the hub": (422, {}, b'{"ok":false,"error":"newer_than_me","message":"no"}'),
    "429 that asks for nothing": (429, {}, b'{"ok":false,"error":"too_many","message":"no"}'),
    "429 that asks to wait": (
        429,
        {"Retry-After": "600"},
        b'{"ok":false,"error":"too_many","message":"wait"}',
    ),
    "408 of a slow line": (408, {}, b'{"ok":false,"error":"too_slow","message":"wait"}'),
    "413 of a proxy": (
        413,
        {"Content-Type": "text/html"},
        b"<html>Request Entity Too Large</html>",
    ),
    "403 of a proxy": (403, {"Content-Type": "text/html"}, b"<html>Forbidden</html>"),
    "404 at a wrong address": (404, {}, b'{"ok":false,"error":"no_such_route","message":"no"}'),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_only_what_the_hub_itself_refuses_is_set_aside(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller, answer: str
) -> None:
    add(outbox, "waits")
    door.troubles.extend([ANSWERS[answer]] * 8)
    is_final = answer in ("422 of the hub", "429 that asks for nothing")
    try:
        alice.flush()
    except BusError:
        assert not is_final
    assert [entry.key for entry in outbox.refused()] == (["waits"] if is_final else [])
    assert [entry.key for entry in outbox.entries()] == ([] if is_final else ["waits"])


@pytest.mark.parametrize("answer", ["413 of a proxy", "403 of a proxy", "429 that asks to wait"])
def test_a_failed_delivery_never_drops_the_new_message(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller, answer: str
) -> None:
    add(outbox, "waits")
    door.troubles.extend([ANSWERS[answer]] * 8)
    assert alice.post("new", to="bob").queued
    door.troubles.clear()
    alice.flush()
    assert bus.bodies("to=bob") == ["waits", "new"]


def test_a_hub_that_fails_at_one_message_gets_the_others(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller
) -> None:
    for body in ("1", "2", "3"):
        add(outbox, body)
    door.troubles.append((500, {}, b'{"ok":false,"error":"internal","message":"defect"}'))
    alice.flush()
    assert bus.bodies("to=bob") == ["1", "2", "3"]


def test_an_outbox_that_cannot_be_changed_does_not_stop_a_post(
    alice: Bus, outbox: Outbox, bus: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.add(
        "http://other",
        USER,
        "now",
        {"from": "alice", "to": "bob", "body": "stays", "client_id": "k"},
    )
    add(outbox, "waits")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("busclient._outbox.outbox.write_private", full)
    alice.post("new", to="bob")
    assert bus.bodies("to=bob")[0] == "waits"
    monkeypatch.undo()
    alice.flush()
    assert bus.bodies("to=bob") == ["waits", "new"]


@pytest.mark.parametrize(("body", "data"), [("é" * 40_000, None), ("short", {"a": "x" * 9_000})])
def test_what_no_hub_takes_is_refused_before_it_waits(
    alice: Bus, door: Door, outbox: Outbox, body: str, data: Any
) -> None:
    door.troubles.extend(AWAY)
    with pytest.raises(TooLarge, match="bytes; at most") as caught:
        alice.post(body, to="bob", data=data)
    assert "neither sent nor kept" in caught.value.hint
    assert outbox.is_empty()


def test_the_limits_are_the_hubs() -> None:
    assert (sending.MAX_BODY, sending.MAX_DATA) == (messages.MAX_BODY, messages.MAX_DATA)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_what_is_no_json_is_refused_at_once(
    alice: Bus, door: Door, outbox: Outbox, value: Any
) -> None:
    with pytest.raises(Refused, match="JSON"):
        alice.post("x", to="bob", data={"a": value})
    assert (door.calls, outbox.is_empty()) == ([], True)


def test_a_message_under_a_name_that_is_no_longer_mine_holds_up_nothing(
    client: Make, door: Door, outbox: Outbox, bus: Caller
) -> None:
    """As when the machine got a credential of its own while messages of the shared user waited."""
    bus.app.extensions["credentials"].add("old", "secret", "member")
    for sender in ("old", "alice"):
        outbox.add(
            URL,
            USER,
            "now",
            {"from": sender, "to": "bob", "body": f"by {sender}", "client_id": sender},
        )
    assert not client("alice", outbox=outbox).post("now", to="bob").queued
    assert bus.bodies("to=bob") == ["by alice", "now"]
    (refused,) = map(json.loads, outbox.refused_path.read_text().splitlines())
    assert refused["why"]["error"] == "not_your_name"


def test_messages_for_another_hub_or_user_stay(
    client: Make, door: Door, outbox: Outbox, bus: Caller
) -> None:
    outbox.add(
        "http://other",
        USER,
        "now",
        {"from": "alice", "to": "bob", "body": "elsewhere", "client_id": "k"},
    )
    alice = client("alice", outbox=outbox)
    assert not alice.post("here", to="bob").queued
    assert bus.bodies("to=bob") == ["here"]
    assert len(outbox.entries()) == 1
    assert alice.flush(any_hub=True) == 1
    assert bus.bodies("to=bob") == ["here", "elsewhere"]


def test_a_long_outbox_goes_out_in_blocks(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller
) -> None:
    for number in range(450):
        outbox.add(
            URL,
            USER,
            "now",
            {"from": "alice", "to": "bob", "body": str(number), "client_id": f"k{number}"},
        )
    assert alice.flush() == 450
    assert len(door.calls) == 3
    assert bus.bodies("to=bob&since=0&limit=500") == [str(number) for number in range(450)]


def test_a_torn_line_is_set_aside_and_spoils_no_other(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller
) -> None:
    queue(alice, door, "1")
    with open(outbox.path, "ab") as file:
        file.write(b'{"key":"torn","hub":"http')  # a crash in the middle of a line
    queue(alice, door, "2")
    alice.flush()
    assert bus.bodies("to=bob") == ["1", "2"]
    assert "torn" in outbox.refused_path.read_text()


def test_a_failed_write_leaves_whole_lines_and_says_that_nothing_is_kept(
    alice: Bus, door: Door, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(alice, door, "1")
    before = outbox.path.read_bytes()
    door.troubles.extend(AWAY)

    def half(fd: int, data: bytes) -> int:
        monkeypatch.undo()
        import os

        os.write(fd, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("busclient._outbox.outbox.os.write", half)
    with pytest.raises(OutboxFailed, match="No space left") as caught:
        alice.post("2", to="bob")
    assert "NOT sent and NOT kept" in caught.value.hint
    assert outbox.path.read_bytes() == before


def test_without_an_outbox_a_post_fails(client: Make, door: Door) -> None:
    door.troubles.extend(AWAY)
    with pytest.raises(Unreachable):
        client().post("x")


@pytest.mark.slow
def test_one_delivers_at_a_time_and_a_post_meanwhile_does_not_overtake(
    client: Make, door: Door, outbox: Outbox, bus: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busclient._bus._DELIVERY_S", 0)
    alice = client("alice", outbox=outbox)
    queue(alice, door, "1")
    meanwhile: list[Any] = []

    def send(drafts: list[dict[str, Any]]) -> list[Any]:
        if not meanwhile:  # what another process does while this one is at it
            meanwhile.extend([alice.flush(), alice.post("2", to="bob").queued])
        for fields in drafts:
            bus.post("/post", json=fields)
        return [None] * len(drafts)

    assert outbox.deliver(URL, USER, send) == 2
    assert meanwhile == [0, True]
    assert bus.bodies("to=bob") == ["1", "2"]


def test_two_shells_post_to_the_outbox_at_once(outbox: Outbox) -> None:
    script = (
        "import sys; from pathlib import Path; from busclient import Outbox; box ="
        " Outbox(Path(sys.argv[1])); input()\nfor n in range(100): box.add('h', 'u', 'now',"
        " {'client_id': f'{sys.argv[2]}{n}', 'body': 'x' * 5000})"
    )
    shells = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(outbox.path.parent), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )
        for name in "ab"
    ]
    for shell in shells:
        assert shell.stdin is not None
        shell.stdin.write(b"\n")
        shell.stdin.flush()
    for shell in shells:
        assert shell.wait(20) == 0
        assert shell.stdin is not None
        shell.stdin.close()
    keys = [entry.key for entry in outbox.entries()]
    assert sorted(keys) == sorted(f"{name}{n}" for name in "ab" for n in range(100))
    for name in "ab":
        assert [key for key in keys if key[0] == name] == [f"{name}{n}" for n in range(100)]


def test_the_same_address_from_another_machine_is_another_hub(
    alice: Bus, door: Door, outbox: Outbox, bus: Caller
) -> None:
    """With BUS_SSH_HOST every hub may be http://127.0.0.1:8787."""
    outbox.add(
        URL,
        USER,
        "now",
        {"from": "alice", "to": "bob", "body": "there", "client_id": "k"},
        via="ovh5",
    )
    old = {
        "key": "o",
        "hub": URL,
        "user": USER,
        "queued": "now",
        "draft": {"from": "alice", "to": "bob", "body": "old"},
    }
    with open(outbox.path, "a") as file:
        file.write(json.dumps(old) + "\n")
    assert not alice.post("here", to="bob").queued
    assert bus.bodies("to=bob") == ["old", "here"]
    assert [entry.via for entry in outbox.entries()] == ["ovh5"]

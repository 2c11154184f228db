"""The log of a simpler bus is taken in beside a running hub: nothing is lost silently, doubled, or
out of reach.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from bus.config import Config
from bus.errors import BusError
from bus.server import old_log
from bus.server.commands import main
from tests.conftest import Caller, RunningHub

OLD = {
    "id": "m-1",
    "ts": "2025-03-01T12:00:00Z",
    "from": "ann",
    "to": "bob",
    "body": "hello",
    "tags": ["a"],
}


class OldBus:
    """The log of another bus, a file that grows, and the command that imports it."""

    def __init__(self, path: Path, data_dir: Path) -> None:
        self.path, self.data_dir = path, data_dir
        path.touch()

    def add(self, **fields: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({**OLD, **fields}) + "\n")

    def imported(self) -> Result:
        environ = {"BUS_DATA_DIR": str(self.data_dir), "BUS_FSYNC": "never"}
        return CliRunner().invoke(main, ["import", str(self.path)], env=environ)


@pytest.fixture
def old(tmp_path: Path, config: Config) -> OldBus:
    return OldBus(tmp_path / "OLD.jsonl", config.data_dir)


def test_what_the_old_bus_had_can_be_read_cited_answered_and_acknowledged(
    bus: Caller, old: OldBus
) -> None:
    before = bus.say("of this bus", to="bob")
    ulid = "01HQZX3V5N8K2M4P6R8T0W2Y4A"
    old.add(acks=["carol", {"reader": "dan"}])
    old.add(
        id=ulid, ts=1740830401.5, to="any", body="a broadcast", acks={"bob": "2025-03-02T00:00:00Z"}
    )
    old.add(
        id=17,
        ts="2025-03-01T13:00:00+01:00",
        to="bob,carol",
        tags="a, b",
        in_reply_to="m-1",
        body="a reply",
    )
    ran = old.imported()
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout == "imported 3 messages and 3 acknowledgements from 3 lines\n"

    first = bus.get("/messages/m-1").json
    assert {
        name: first[name] for name in ("from", "to", "body", "tags", "ts", "old_id", "verified")
    } == {
        **{name: OLD[name] for name in ("from", "to", "body", "tags")},
        "ts": "2025-03-01T12:00:00.000Z",
        "old_id": "m-1",
        "verified": False,
    }
    assert first["seq"] > before["seq"]
    assert len(first["id"]) == 26
    assert bus.get(f"/messages/{ulid.lower()}").json["ts"] == "2025-03-01T12:00:01.500Z"
    reply = bus.get("/messages/old:17").json
    assert (reply["to"], reply["tags"], reply["ts"]) == (
        ["bob", "carol"],
        ["a", "b"],
        "2025-03-01T12:00:00.000Z",
    )
    assert (reply["in_reply_to"], reply["thread"]) == (first["id"], first["id"])

    receipts = bus.get("/messages/m-1/receipts").json["receipts"]
    assert all(receipts[name]["acked"] for name in ("carol", "dan"))
    assert bus.bodies("unread_by=bob") == [
        "of this bus",
        "hello",
        "a reply",
    ]  # acked: the broadcast
    assert bus.bodies("unread_by=bob&since=m-1") == ["a reply"]
    assert bus.say(in_reply_to="m-1")["in_reply_to"] == first["id"]
    assert bus.post("/ack/m-1", json={"reader": "bob"}).json["acked"] == [first["seq"]]
    assert bus.post("/ack", json={"reader": "bob", "ids": ["m-1", "old:17"]}).json["acked"] == [
        reply["seq"]
    ]
    assert bus.get("/search?q=broadcast").json["count"] == 1


def test_an_import_again_takes_in_only_what_has_come(bus: Caller, old: OldBus) -> None:
    old.add()
    old.add(id="m-2", body="second")
    assert old.imported().exit_code == 0
    old.add(id="m-3", body="third", acks=["bob"])
    with old.path.open("a") as file:
        file.write('{"id":"m-4","ts":17408')  # the old hub is writing it just now
    ran = old.imported()
    assert ran.exit_code == 1
    assert ran.stdout.startswith(
        "imported 1 messages and 1 acknowledgements from 4 lines\n2 messages were here already\n1"
        " lines were not imported"
    )
    assert "line 4 was not imported: The line is not JSON" in ran.stderr
    assert bus.bodies("to=bob") == ["hello", "second", "third"]
    # The old bus has noted more readers in the same lines meanwhile.
    old.path.write_text(json.dumps({**OLD, "acks": ["bob"]}) + "\n")
    assert "imported 0 messages and 1 acknowledgements" in old.imported().stdout
    assert "imported 0 messages and 0 acknowledgements" in old.imported().stdout
    assert bus.bodies("unread_by=bob") == ["second"]


def test_what_cannot_be_read_is_told_by_its_line_and_all_else_is_taken_in(
    bus: Caller, old: OldBus
) -> None:
    old.path.write_bytes(b'\xef\xbb\xbf{"id":"a","ts":1,"from":"ann","body":"with a mark"}\n\n')
    bad = [
        ({"from": "no name"}, "`from`"),
        ({"ts": "yesterday"}, "`ts`"),
        ({"ts": None}, "`ts` is missing"),
        ({"ts": 1e300}, "`ts`"),
        ({"body": ""}, "`body` is empty"),
        ({"body": "x" * 70_000}, "at most 65536"),
        ({"id": None}, "`id` is missing"),
        ({"id": "../x"}, "`id`"),
        ({"id": True}, "`id`"),
        ({"kind": "ack"}, "a record of kind 'ack'"),
        ({"id": "a", "body": "something else"}, "that of another message"),
    ]
    for fields, _ in bad:
        old.add(**fields)
    with old.path.open("ab") as file:
        file.write(b"not JSON\n\xff\n[1]\n" + b"x" * (3 * old_log.MAX_LINE) + b"\n")
    old.add(
        id="b",
        in_reply_to="nothing",
        priority="high",
        acks=["ann", "no name"],
        subject="x",
        body="the last",
    )
    ran = old.imported()
    assert ran.exit_code == 1
    told = ran.stderr.splitlines()
    for number, (fields, why) in enumerate(bad, 3):
        assert any(
            line.startswith(f"line {number} was not imported: ") and why in line for line in told
        ), (fields, told)
    for number in (14, 15, 16, 17):
        assert any(line.startswith(f"line {number} was not imported: ") for line in told), told
    notes = [line for line in told if line.startswith("line 18: ")]
    assert [what for what in ("in_reply_to", "priority",
                              "acks") if any(what in note for note in notes)] == [
        "in_reply_to", "priority", "acks"]  # fmt: skip
    assert "15 lines were not imported" in ran.stdout
    assert '"subject" (1 lines)' in ran.stdout
    assert bus.bodies("from=ann") == ["with a mark", "the last"]
    assert bus.get("/messages/b/receipts").json["receipts"]["ann"]["acked"]


def test_an_old_message_makes_nobody_seem_to_have_left(bus: Caller, old: OldBus) -> None:
    now = bus.say(sender="ann")
    old.add()
    old.imported()
    assert bus.say(sender="bob", to="ann")["delivery"]["ann"]["last_seen"] == now["ts"]


def test_one_import_at_a_time_and_none_into_a_mistyped_folder(
    bus: Caller, old: OldBus, tmp_path: Path
) -> None:
    old.add()
    with FileLock(old.data_dir / "run" / "import.lock"):
        ran = old.imported()
    assert (ran.exit_code, bus.bodies("to=bob")) == (2, [])
    assert "Another import" in ran.stderr
    old.data_dir = tmp_path / "dta"
    assert (old.imported().exit_code, (tmp_path / "dta").exists()) == (2, False)


@pytest.mark.parametrize("ref", ["no-such", "old:17", "0" * 19, "m_1"])
def test_an_id_of_no_imported_message_is_refused_as_before(bus: Caller, ref: str) -> None:
    resumed = bus.get(f"/stream?since={ref}", headers={"Last-Event-ID": "0"})
    assert (resumed.status_code, resumed.json["field"]) == (400, "since")
    assert bus.get(f"/messages/{ref}").json["error"] == "bad_field"
    reply = bus.post("/post", json={"from": "ann", "to": "bob", "body": "x", "in_reply_to": ref})
    assert (reply.status_code, reply.json["error"], reply.json["field"]) == (
        400,
        "bad_field",
        "in_reply_to",
    )


NO_MESSAGE = (
    b"{}",
    b"[]",
    b"",
    b'{"id":"a","ts":-1e18,"from":"a","body":"b"}',
    b'{"id":{},"ts":1,"from":"a","body":"b"}',
)


@pytest.mark.parametrize("data", NO_MESSAGE)
def test_a_line_that_is_no_message_raises_an_error_of_the_family(data: bytes) -> None:
    with pytest.raises(BusError):
        old_log.read(data)


@pytest.mark.slow
def test_an_import_beside_a_hub_that_is_used(hub: RunningHub, tmp_path: Path) -> None:
    path = tmp_path / "OLD.jsonl"
    with path.open("w") as file:
        for number in range(5_000):
            file.write(json.dumps({**OLD, "id": f"m-{number}", "body": f"old {number}"}) + "\n")
    waiting = hub.say("before")
    ran = hub.run("import", str(path))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert hub.say("after")["seq"] == waiting["seq"] + 5_001
    assert hub.get("/messages/m-4999").json()["body"] == "old 4999"
    assert "5000 messages were here already" in hub.run("import", str(path)).stdout
    assert "the log is good" in hub.run("verify").stdout

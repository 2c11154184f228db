"""What is in a machine's mailbox when it gets its credential: broadcasts since its invite, nothing
settled behind its back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.credentials import Credentials
from tests.conftest import PASSWORD, USER, Caller, opened, wait_until
from tests.fleet import SECRET, As
from tests.log.folder import drafts
from tests.web.conftest import refusal

HOUR = 3600


class Bus(Caller):
    """The hub as the shared user calls it, with an admin beside."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.admin = As(app, "admin")

    def invite(self, name: str, **fields: Any) -> Callable[[], As]:
        """Invite a machine; what is given back makes it join."""
        made = self.admin.post("/api/invites", json={"name": name, **fields})
        assert made.status_code == 201, made.json
        short, _, code = made.json["code"].partition(".")

        def join() -> As:
            joined = As(self.app, f"invite~{short}", code).post("/api/join")
            assert joined.status_code == 201, joined.json
            return As(self.app, name, joined.json["secret"])

        return join

    def add(self, name: str) -> As:
        return As(
            self.app, name, self.admin.post("/api/credentials", json={"name": name}).json["secret"]
        )

    def revoke(self, name: str) -> None:
        assert self.admin.post("/api/credentials/revoke", json={"name": name}).status_code == 200

    def tell(self, body: str, to: str = "any", **fields: Any) -> dict[str, Any]:
        return self.admin.say(body, sender="admin", to=to, **fields)

    def acknowledge(self, reader: str, **fields: Any) -> None:
        """The shared user does, under this name."""
        reply = self.post("/ack", json={"reader": reader, **fields})
        assert reply.status_code == 200, reply.json

    def unread(self, name: str) -> list[str]:
        """What is unread to a name, once every way to ask has said the same, before and after the
        index is rebuilt.
        """
        for turn in range(2):
            page = self.bodies(f"unread_by={name}&limit=500")
            down = self.bodies(f"unread_by={name}&limit=500&order=desc")
            found = self.get(f"/inbox?reader={name}&budget=100000").json
            seen = [message["body"] for message in found["messages"]]
            assert (down[::-1], sorted(seen), found["unread"]) == (page, sorted(page), len(page))
            if not turn:
                self.hub.index.rebuild()
        return page


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    config = Config(data_dir=tmp_path / "data", fsync="never", lock_timeout_s=2, keepalive_s=0.2)
    credentials = Credentials(config.credentials_file)
    credentials.add(USER, PASSWORD)
    credentials.add("admin", SECRET, "admin")
    for caller in opened(create_app(config)):
        yield Bus(caller.app)


# -- broadcasts ----------------------------------------------------------------------------------


def test_a_machine_starts_with_the_broadcasts_since_its_invite_and_all_mail_to_its_name(
    bus: Bus,
) -> None:
    old = bus.tell("old")
    bus.tell("old and expiring", expires_in_s=HOUR)
    bus.tell("welcome", to="web1")
    join = bus.invite("web1")
    bus.tell("since its invite")
    bus.tell("since its invite, expiring", expires_in_s=HOUR)
    join()
    bus.tell("to all")
    since = ["since its invite", "since its invite, expiring", "to all"]
    assert bus.unread("web1") == ["welcome", *since]
    assert bus.unread("web1/new") == since, "a new session of it too"
    assert bus.unread("web10") == bus.unread("nobody-s") == ["old", "old and expiring", *since], (
        "the shared user's names get all"
    )
    assert bus.bodies("to=web1")[0] == "old", "it can still be read"
    assert (
        bus.get("/messages?unread_by=web1/x&limit=1").json["messages"][0]["body"]
        == "since its invite"
    )
    assert bus.get(f"/messages?unread_by=web1/x&before={old['seq'] + 1}").json["messages"] == []


def test_a_machine_that_is_added_starts_with_that(bus: Bus) -> None:
    bus.tell("old")
    db1 = bus.add("db1")
    bus.tell("new")
    assert bus.unread("db1") == bus.unread("db1/a") == ["new"]
    last = bus.tell("newer")
    db1.post("/ack", json={"through": last["seq"]})
    assert (bus.unread("db1"), bus.unread("db1/a")) == ([], ["new", "newer"])


def test_what_a_machine_acknowledges_among_older_broadcasts_stays_so(bus: Bus) -> None:
    mail = []
    for number in range(4):
        bus.tell(f"old {number}", **({"expires_in_s": HOUR} if number % 2 else {}))
        mail.append(bus.tell(f"mail {number}", to="web1"))
    web1 = bus.invite("web1")()
    bus.tell("new")
    web1.post("/ack", json={"ids": [mail[0]["seq"], mail[2]["seq"]]})
    assert bus.unread("web1") == ["mail 1", "mail 3", "new"]
    web1.post("/ack", json={"ids": [mail[1]["seq"]]})
    web1.say("from itself", sender="web1", to="any")
    web1.post("/ack", json={"through": mail[3]["seq"]})
    assert bus.unread("web1") == ["new"]


def test_receipts_of_a_broadcast_name_no_machine_that_came_later(bus: Bus) -> None:
    key = {"client_id": "k"}
    old = bus.tell("old", **key)
    for name in ("web1", "web2"):
        join = bus.invite(name)()
        join.get("/messages?unread_by=" + name)
        join.say("here", sender=name, to="admin")
    bus.get("/messages?unread_by=bob")
    new = bus.tell("new")
    As(bus.app, "admin").get("/messages?unread_by=admin")
    assert new["delivery"] == {"any": {"readers": 3}}
    assert bus.tell("old", **key)["delivery"] == {"any": {"readers": 1}}, "repeated: bob alone"

    def named(message: dict[str, Any]) -> list[str]:
        return list(bus.get(f"/messages/{message['seq']}/receipts").json["receipts"])

    assert (named(old), named(new)) == (["bob"], ["bob", "web1", "web2"])


def test_a_wait_and_the_count_at_a_post_leave_old_broadcasts_out(bus: Bus) -> None:
    bus.tell("old")
    web1 = bus.invite("web1")()
    got: list[Any] = []
    waiting = threading.Thread(
        target=lambda: got.append(web1.get("/messages?unread_by=web1&wait=20").json["messages"])
    )
    waiting.start()
    wait_until(lambda: bus.get("/health").json["waiting"])
    assert bus.tell("mail", to="web1")["delivery"]["web1"]["unread"] == 1
    waiting.join(20)
    assert [message["body"] for message in got[0]] == ["mail"]


def test_a_name_that_has_lived_under_the_shared_user_keeps_what_was_unread_to_it(bus: Bus) -> None:
    read, _ = bus.tell("read"), bus.tell("not read yet")
    bus.acknowledge("web1", ids=[read["seq"]])
    bus.say("I am here", sender="web1/alpha", to="carol")
    bus.tell("overnight")
    join = bus.invite("web1")
    bus.say("moving", sender="web1/beta", to="carol")
    join()
    assert bus.unread("web1") == ["not read yet", "overnight"]
    assert bus.unread("web1/alpha") == ["read", "not read yet", "overnight"]
    assert bus.unread("web1/beta") == bus.unread("web1/gamma") == [], "those are new"


def test_a_name_that_is_given_again_keeps_its_mail(bus: Bus) -> None:
    bus.tell("old")
    bus.invite("web1")()
    bus.tell("first")
    bus.revoke("web1")
    bus.tell("between")
    bus.invite("web1")()
    assert bus.unread("web1") == bus.unread("web1/a") == ["first", "between"]
    bus.invite("web1", replace=True)()
    bus.tell("after")
    assert bus.unread("web1") == ["first", "between", "after"]


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_an_invite_that_led_to_nothing_begins_nothing(bus: Bus, end: str) -> None:
    bus.invite("web1", expires_in_s=60)
    bus.tell("between")
    bus.acknowledge("web1/a", ids=[bus.tell("mail", to="web1/a")["seq"]])
    if end == "revoke":
        bus.revoke("WEB1")
    else:
        log = bus.hub.log
        clock = log._clock
        log._clock = lambda: clock() + 61
    join = bus.invite("web1")
    bus.tell("after")
    join()
    assert bus.unread("web1") == ["after"]
    assert bus.unread("web1/a") == ["between", "after"], (
        "what was acknowledged before the invite that counts, stays"
    )


# -- acknowledgements ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ids", "through", "both"])
def test_what_the_shared_user_acknowledges_since_the_invite_is_void_when_the_machine_joins(
    bus: Bus, how: str
) -> None:
    settled = bus.tell("before", to="web1")
    bus.acknowledge("web1", ids=[settled["seq"]])
    join = bus.invite("web1")
    sent = [
        bus.tell("mail", to="web1"),
        bus.tell("to all", expires_in_s=HOUR),
        bus.tell("session", to="web1/alpha"),
    ]
    for reader in ("web1", "web1/alpha"):
        if how != "through":
            bus.acknowledge(reader, ids=[message["seq"] for message in sent])
        if how != "ids":
            bus.acknowledge(reader, through=sent[2]["seq"])
        assert bus.unread(reader) == [], "until then it counts"
    bus.say("own", sender="web1", to="any")
    web1 = join()
    assert bus.unread("web1") == ["mail", "to all"]
    assert bus.unread("web1/alpha") == ["to all", "session", "own"]
    assert bus.get(f"/messages/{sent[0]['seq']}/receipts").json["receipts"]["web1"]["acked"] is None
    assert (
        bus.get(f"/messages/{settled['seq']}/receipts").json["receipts"]["web1"]["acked"]
        is not None
    )
    assert web1.post("/ack", json={"ids": [sent[0]["seq"], settled["seq"]]}).json["acked"] == [
        sent[0]["seq"]
    ]
    assert bus.unread("web1") == ["to all"]
    refusal(
        bus.post("/ack", json={"reader": "web1", "ids": [sent[1]["seq"]]}), 403, "not_your_name"
    )


def test_a_fleet_that_moves_over_gets_nothing_again_that_it_acknowledged_before(bus: Bus) -> None:
    history = [bus.tell(f"m{number}", to="web1") for number in range(4)]
    bus.acknowledge("web1", ids=[history[0]["seq"], history[2]["seq"]])
    bus.acknowledge("web1/alpha", through=history[3]["seq"])
    web1 = bus.invite("web1")()
    assert (bus.unread("web1"), bus.unread("web1/alpha")) == (["m1", "m3"], [])
    web1.post("/ack", json={"through": history[3]["seq"]})
    bus.revoke("web1")
    bus.invite("web1")()
    assert bus.unread("web1") == [], "its own acknowledgements are its own"


def test_an_inbox_that_was_begun_before_begins_anew(bus: Bus) -> None:
    join = bus.invite("web1")
    sent = [bus.tell(f"m{number} " + "x" * 900, to="web1") for number in range(20)]
    bus.acknowledge("web1", ids=[sent[0]["seq"]])
    cursor = bus.get("/inbox?reader=web1&budget=1500").json["cursor"]
    assert cursor
    join()
    found = bus.get(f"/inbox?reader=web1&budget=100000&cursor={cursor}").json
    assert [message["seq"] for message in found["messages"]] == [message["seq"] for message in sent]


def test_acknowledgements_of_old_logs_say_not_whose_they_are_and_stay(bus: Bus) -> None:
    join = bus.invite("web1")
    sent = bus.tell("mail", to="web1")
    bus.hub.log.append(drafts([{"kind": "ack", "reader": "web1", "seqs": [sent["seq"]]}]))
    join()
    assert bus.unread("web1") == []


def test_one_that_was_on_its_way_while_the_machine_joined_changes_nothing(bus: Bus) -> None:
    bus.invite("web1")()
    sent = bus.tell("mail", to="web1")
    bus.hub.log.append(
        drafts(
            [
                {"kind": "ack", "auth": USER, "reader": name, "seqs": [sent["seq"]]}
                for name in ("web1", "web1/a")
            ]
        )
    )
    assert bus.unread("web1") == ["mail"]

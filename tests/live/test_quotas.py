"""The count of what a credential holds is one for all processes, and a process that is gone leaves
nothing in it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.credentials import Credentials
from bus.errors import Busy, OverQuota
from bus.hub.daily_quotas import DailyQuotas
from bus.live.quotas import Quotas
from bus.log.base import Appended
from tests.conftest import PASSWORD, ROOT, USER, Caller, basic, opened

HOLD = """
import sys
from pathlib import Path
from bus.live.quotas import Quotas
Quotas(Path(sys.argv[1]), 2).enter("web1")
print("held", flush=True)
sys.stdin.read()
"""


def test_processes_count_together_and_a_killed_one_no_more(tmp_path: Path) -> None:
    quotas = Quotas(tmp_path / "quotas", 2)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "quotas")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        mine = quotas.enter("web1")
        assert quotas.used("web1") == 2
        with pytest.raises(OverQuota):
            quotas.enter("web1")
        quotas.leave(quotas.enter("db1"))
        other.kill()
    assert quotas.used("web1") == 1
    quotas.leave(quotas.enter("web1"))
    quotas.leave(mine)
    assert (quotas.used("web1"), quotas.used("db1")) == (0, 0)


def other(bus: Caller, config: Config) -> dict[str, str]:
    """The header of another credential than the tests' own."""
    Credentials(config.credentials_file).add("web1", "a secret")
    return {"Authorization": basic("web1", "a secret")}


def counted(bus: Caller, config: Config) -> tuple[dict[str, int], dict[str, int]]:
    """What an admin sees of the tests' credential, and what the caps are."""
    Credentials(config.credentials_file).add("root1", "a secret", "admin")
    reply = bus.get("/api/credentials", headers={"Authorization": basic("root1", "a secret")})
    return next(entry for entry in reply.json["credentials"] if entry["name"] == USER), reply.json[
        "quotas"
    ]


@pytest.fixture
def small(config: Config) -> Iterator[Caller]:
    """A hub where a credential causes at most 64 KiB and 5 names a day."""
    Credentials(config.credentials_file).add(USER, PASSWORD)
    yield from opened(create_app(replace(config, max_daily_bytes=65_536, max_daily_names=5)))


def test_the_bytes_of_a_day_end_with_429_and_nothing_half_stored(
    small: Caller, config: Config
) -> None:
    message = {"from": "ann", "to": "bob", "body": "x" * 20_000}
    assert [small.post("/post", json=message).status_code for _ in range(3)] == [201] * 3
    before = small.get("/health").json["last_seq"]
    used = counted(small, config)[0]["bytes_today"]
    assert 60_000 < used < 65_536
    lines = "\n".join(json.dumps({**message, "body": "y" * 3_000}) for _ in range(2))
    many = small.post("/post", data=lines, content_type="application/x-ndjson")
    one = small.post("/post", json={**message, "body": "z" * 6_000})
    for refused in (many, one):
        assert (refused.status_code, refused.json["error"], refused.json["quota"]) == (
            429,
            "over_quota",
            "bytes",
        )
        left_s = 86_400 - time.time() % 86_400
        assert left_s - 60 < int(refused.headers["Retry-After"]) <= left_s + 60 or left_s < 60
    assert small.get("/health").json["last_seq"] == before
    assert counted(small, config)[0]["bytes_today"] == used
    assert small.post("/post", json={**message, "body": "z"}).status_code == 201
    assert (
        small.post(
            "/post", json={"to": "bob", "body": "z" * 6_000}, headers=other(small, config)
        ).status_code
        == 201
    )


def test_every_kind_of_record_counts_for_its_credential_and_a_replay_does_not(
    small: Caller, config: Config
) -> None:
    def used() -> int:
        return counted(small, config)[0]["bytes_today"]

    message = {"from": "ann", "to": "bob", "body": "hello", "client_id": "k1"}
    id = small.post("/post", json=message).json["id"]
    posted = used()
    assert small.post("/post", json=message).json["replayed"]
    assert used() == posted
    assert small.post(f"/ack/{id}", json={"reader": "bob"}).json["acked"]
    assert used() > posted
    acked = used()
    # The shared user may make no call, and that it tried is on record.
    assert small.post("/api/exec", json={"target": "nowhere", "command": "true"}).status_code == 403
    assert used() > acked
    filling = [
        small.post("/post", json={"from": "ann", "to": "bob", "body": "x" * 500}).status_code
        for _ in range(120)
    ]
    assert filling[-1] == 429
    refused = small.post("/api/exec", json={"target": "nowhere", "command": "true"})
    assert (refused.status_code, refused.json["error"]) == (429, "over_quota")


def test_a_credential_brings_so_many_names_into_being_a_day(small: Caller, config: Config) -> None:
    """As a sender, as a reader and by acknowledging; those it has used already go on, and a restart
    begins no new day.
    """
    id = small.post("/post", json={"from": "n1", "to": "any", "body": "x"}).json["id"]
    assert small.get("/messages?unread_by=n2").status_code == 200
    assert small.get("/inbox?reader=n3").status_code == 200
    assert small.post(f"/ack/{id}", json={"reader": "n4"}).status_code == 200
    assert small.get("/messages?unread_by=n1").status_code == 200
    assert (
        small.post("/post", json={"from": USER, "to": "any", "body": "its own"}).status_code == 201
    )
    assert small.get("/messages?unread_by=n5").status_code == 200
    assert counted(small, config)[0]["names_today"] == 5
    with contextmanager(opened)(create_app(replace(config, max_daily_names=5))) as again:
        _no_new_name(small, config, id)
        _no_new_name(again, config, id)


def _no_new_name(bus: Caller, config: Config, id: str) -> None:
    refused = [
        bus.post("/post", json={"from": "n6", "to": "any", "body": "x"}),
        bus.get("/messages?unread_by=n6"),
        bus.get("/stream?unread_by=n6"),
        bus.get("/inbox?reader=n6"),
        bus.post(f"/ack/{id}", json={"reader": "n6"}),
        bus.post("/hooks/claude-code?name=n6", json={"hook_event_name": "Stop"}),
        bus.post("/mcp?name=n6", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    ]
    assert [(reply.status_code, reply.json["quota"]) for reply in refused] == [(429, "names")] * 7
    assert bus.post("/post", json={"from": "n1", "to": "any", "body": "x"}).status_code == 201
    assert bus.get("/messages?unread_by=web1", headers=other(bus, config)).status_code == 200


def test_a_new_day_begins_at_nothing(tmp_path: Path) -> None:
    now = [20_000 * 86_400.0 + 86_390]
    daily = DailyQuotas(tmp_path / "daily", 65_536, 1, clock=lambda: now[0])
    daily.use_name("claude", "ann")
    with pytest.raises(OverQuota) as refused:
        daily.use_name("claude", "bob")
    assert refused.value.retry_after_s == 11
    now[0] += 10
    daily.use_name("claude", "bob")
    assert daily.used("claude") == (0, 1)


def test_changes_to_rights_are_taken_from_one_who_is_over_its_quota(tmp_path: Path) -> None:
    """An admin must always be able to shut a member out."""
    daily = DailyQuotas(tmp_path / "daily", 65_536, 1)
    stored: list[dict[str, Any]] = []

    def store(drafts: Sequence[dict[str, Any]]) -> list[Appended]:
        stored.extend(drafts)
        return [Appended(draft, False) for draft in drafts]

    append = daily.guarding(store)
    with pytest.raises(OverQuota):
        append([{"kind": "message", "auth": "admin", "from": "admin", "body": "x" * 70_000}])
    append([{"kind": "credential", "auth": "admin", "action": "revoke", "name": "x" * 70_000}])
    assert [draft["kind"] for draft in stored] == ["credential"]


def test_an_append_that_fails_counts_for_nothing(tmp_path: Path) -> None:
    daily = DailyQuotas(tmp_path / "daily", 65_536, 1)

    def fail(drafts: Sequence[dict[str, Any]]) -> list[Appended]:
        raise Busy("The log is held.")

    with pytest.raises(Busy):
        daily.guarding(fail)([{"kind": "message", "auth": "claude", "from": "claude", "body": "x"}])
    assert daily.used("claude")[0] == 0


def test_requests_that_meet_at_the_turn_of_the_day_are_all_counted(tmp_path: Path) -> None:
    days = itertools.count()
    quotas = DailyQuotas(
        tmp_path / "daily", 10**9, 10**6, clock=lambda: (next(days) // 7) * 86_400.0
    )

    def ask(number: int) -> bool:
        for name in range(12):
            quotas.use_name(f"machine{number}", f"name{name}")
            quotas.used(f"machine{number}")
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))  # an error of a thread comes out here

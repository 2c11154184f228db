"""Who was turned away, or was refused a change to the credentials, is on record: bounded, and
without secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.credentials import Credentials
from bus.errors import NoRoom, Unauthorized
from bus.model.caller import MEMBER, Caller
from bus.web.http.refusals import PER_MINUTE, Refusals
from tests.conftest import basic
from tests.fleet import As, Fleet, a_fleet

SECRET = "hunter2-is-my-secret"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with a_fleet(tmp_path_factory.mktemp("refusals")) as made:
        yield made


def denied(caller: As) -> list[dict[str, Any]]:
    return [
        event for event in caller.events("type=credential&limit=500") if event["result"] == "denied"
    ]


CHANGES = [
    ("web1", "add", "/api/credentials", {"name": "evil"}, "not_allowed"),
    ("web1", "rotate", "/api/credentials/rotate", {"name": "db1"}, "not_your_name"),
    ("web1", "revoke", "/api/credentials/revoke", {"name": "db1"}, "not_allowed"),
    ("web1", "invite", "/api/invites", {"name": "evil"}, "not_allowed"),
    ("claude", "invite", "/api/invites", {"name": "evil"}, "not_allowed"),
    ("admin", "revoke", "/api/credentials/revoke", {"name": "admin"}, "conflict"),
    ("admin", "add", "/api/credentials", {"name": "db1"}, "credential_exists"),
]


@pytest.mark.parametrize(("who", "action", "path", "body", "code"), CHANGES)
def test_a_refused_change_is_told_to_admins(
    fleet: Fleet, who: str, action: str, path: str, body: dict[str, Any], code: str
) -> None:
    caller = {"web1": fleet.web1, "claude": fleet.shared, "admin": fleet.admin}[who]
    assert caller.post(path, json=body).json["error"] == code
    event = denied(fleet.admin)[-1]
    assert (event["from"], event["type"], event["command"], event["error"]) == (
        who,
        "credential",
        action,
        code,
    )
    assert event["target"] in (body["name"], "")


def test_a_wrong_secret_is_told_without_the_secret(tmp_path: Path) -> None:
    with a_fleet(tmp_path) as fleet:
        for header in (
            basic("web1", SECRET),
            basic(SECRET, "x"),
            None,
            "Bearer " + SECRET,
            basic("invite~4f2a77de10", SECRET),
        ):
            reply = fleet.admin.client.get(
                "/messages", headers={} if header is None else {"Authorization": header}
            )
            assert reply.status_code == 401
        plain = fleet.admin.client.post(
            "/post", json={"body": "x"}, headers={"Authorization": basic("db1", SECRET)}
        )
        assert plain.status_code == 401
        events = denied(fleet.admin)
        assert [event["command"].split(" from ")[0] for event in events] == [
            "sign in as web1", "sign in as hun…", "sign in", "sign in as inv…", "sign in as db1",
        ]  # fmt: skip
        assert {(event["from"], event["error"]) for event in events} == {("?", "unauthorized")}
        assert not any("command" in event or event.get("target") for event in denied(fleet.web1))
        assert all(
            SECRET not in path.read_bytes().decode(errors="replace")
            for path in fleet.config.data_dir.glob("bus.jsonl*")
        )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_is_a_few_records_and_a_count(tmp_path: Path) -> None:
    noted: list[dict[str, Any]] = []
    clock = Clock()
    refusals = Refusals(noted.append, Credentials(tmp_path / "credentials"), clock)
    error = Unauthorized("wrong")
    for number in range(5_000):
        refusals.sign_in(
            {
                "HTTP_AUTHORIZATION": basic(f"{number}", "x"),
                "REMOTE_ADDR": f"10.0.0.{number % 200}",
            },
            error,
        )
        refusals.tell_rest()
    assert len(noted) == PER_MINUTE
    # One who guesses does not hide what a member was refused.
    refusals.change(Caller("web1", MEMBER), "add", "evil", error)
    assert len(noted) == PER_MINUTE + 1
    clock.now = 61
    for _ in range(3):
        refusals.tell_rest()
    assert [record.get("left_out") for record in noted[PER_MINUTE:]] == [None, 5_000 - PER_MINUTE]
    for _ in range(3):
        refusals.sign_in({"HTTP_AUTHORIZATION": basic("a", "x")}, error)
    clock.now = 200
    refusals.sign_in({"HTTP_AUTHORIZATION": basic("a", "x")}, error)
    assert [record.get("left_out") for record in noted[PER_MINUTE + 2 :]] == [None, 2]


def test_a_full_disk_changes_no_answer(tmp_path: Path) -> None:
    def full(_: dict[str, Any]) -> None:
        raise NoRoom("The disk is full.")

    Refusals(full, Credentials(tmp_path / "credentials")).sign_in({}, Unauthorized("wrong"))

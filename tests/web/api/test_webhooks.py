"""Who may add, see and remove webhooks; where their secrets are; which addresses are taken."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest

from bus.config import Config
from bus.hub.webhooks import MOST_WEBHOOKS
from tests.web.conftest import Members, refusal

URL = "https://hooks.example.org/bus?token=x"


def add(caller: Any, **fields: Any) -> Any:
    return caller.post("/webhooks", json={"url": URL, **fields})


def test_a_member_adds_one_for_its_own_name_and_sessions(members: Members) -> None:
    for name in ("web1", "web1/alpha"):
        reply = add(members.web1, name=name)
        assert (reply.status_code, reply.json["webhook"]["name"]) == (201, name)
    assert add(members.web1).json["webhook"] == {
        "id": members.records("webhook_set")[-1]["webhook"],
        "name": "web1",
        "url": URL,
        "by": "web1",
        "created": members.records("webhook_set")[-1]["ts"],
        "state": "active",
        "cursor": members.records("webhook_set")[-1]["seq"],
        "failures": 0,
        "next_attempt": None,
        "dead_letters": 0,
        "answers": [],
    }


def test_a_member_adds_none_for_others_and_none_for_topics(members: Members) -> None:
    refusal(add(members.web1, name="db1"), 403, "not_your_name")
    refusal(add(members.web1, name="web1x"), 403, "not_your_name")
    refusal(add(members.web1, name="topic:deploys"), 403, "not_allowed")
    refusal(add(members.web1, name="#deploys"), 403, "not_allowed")
    refusal(add(members.web1, name="role:deployer"), 403, "not_allowed")
    refusal(add(members.shared), 403, "not_allowed")
    assert members.records("webhook_set") == []


def test_an_admin_adds_them_for_any_name_and_for_topics(members: Members) -> None:
    assert add(members.admin, name="web1").status_code == 201
    assert add(members.admin, name="#deploys").json["webhook"]["name"] == "topic:deploys"


def test_nobody_else_sees_changes_or_tests_one(members: Members) -> None:
    id = add(members.web1).json["webhook"]["id"]
    others = add(members.admin, name="topic:x").json["webhook"]["id"]
    assert members.db1.get("/webhooks").json["webhooks"] == []
    for caller, hook in ((members.db1, id), (members.web1, others)):
        for path in (f"/webhooks/{hook}/test", f"/webhooks/{hook}/replay"):
            refusal(caller.post(path), 404, "no_such_webhook")
        refusal(caller.delete(f"/webhooks/{hook}"), 404, "no_such_webhook")
    listed = {hook["id"] for hook in members.admin.get("/webhooks").json["webhooks"]}
    assert listed == {id, others}
    only = members.admin.get("/webhooks?name=topic:x").json["webhooks"]
    assert [hook["id"] for hook in only] == [others]


def test_a_secret_is_shown_once_and_kept_beside_the_log(members: Members, config: Config) -> None:
    reply = add(members.web1)
    secret, id = reply.json["secret"], reply.json["webhook"]["id"]
    assert secret.startswith("whsec_")
    file = config.data_dir / "webhook-secrets"
    assert json.loads(file.read_text()) == {id: secret}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for caller in (members.web1, members.admin):
        assert secret not in caller.get("/webhooks").get_data(as_text=True)
    for path in config.data_dir.rglob("*"):
        if path != file and path.is_file():
            assert secret.removeprefix("whsec_").encode() not in path.read_bytes(), path


def test_who_removes_one_removes_its_secret(members: Members, config: Config) -> None:
    id = add(members.web1).json["webhook"]["id"]
    assert members.web1.delete(f"/webhooks/{id}").json == {"ok": True, "id": id}
    assert members.web1.get("/webhooks").json["webhooks"] == []
    assert json.loads((config.data_dir / "webhook-secrets").read_text()) == {}
    refusal(members.web1.delete(f"/webhooks/{id}"), 404, "no_such_webhook")


@pytest.mark.parametrize("revoked", ["web1", "admin2"])
def test_a_credential_that_is_revoked_takes_its_webhooks_along(
    members: Members, revoked: str
) -> None:
    members.app.extensions["credentials"].add("admin2", "a secret of this fleet", "admin")
    assert add(members.web1).status_code == 201
    assert add(members.admin, name="web1/alpha").status_code == 201
    assert add(members.admin, name="db1").status_code == 201
    reply = members.admin.post("/api/credentials/revoke", json={"name": revoked})
    assert reply.status_code == 200, reply.json
    left = [hook["name"] for hook in members.admin.get("/webhooks").json["webhooks"]]
    assert left == (["db1"] if revoked == "web1" else ["web1", "web1/alpha", "db1"])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x.org/", "file:///etc/passwd", "x.org", "//x.org", "https://", "http:///x"),
        *("http://user:pw@x.org/", "http://x.org/#a", "http://x.org:0/", "http://x.org:65536/"),
        *(
            "http://x.org/\r\nHost: y",
            "http://x.org /",
            "http://x.org/é",
            "http://-x.org/",
            7,
            None,
        ),
        *("http://x.org\\@127.0.0.1/", "http://x_y.org/", "http://x.org/" + "a" * 2048),
        *("http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.1.2.3"),
        *("https://[::ffff:127.0.0.1]/", "http://100.64.0.1:80/", "http://[fd00::1]:8080/"),
    ],
)
def test_an_address_that_is_none_or_not_public_is_refused(members: Members, url: Any) -> None:
    refusal(members.web1.post("/webhooks", json={"url": url}), 400, "bad_field")
    assert members.records("webhook_set") == []


def test_hostile_bodies_are_refused(members: Members) -> None:
    for data in (b"", b"[]", b"{", b'{"url":"https://x.org/","url":"https://y.org/"}', b"\xff"):
        assert members.web1.post("/webhooks", data=data).status_code == 400, data
    refusal(members.web1.post("/webhooks", json={"url": URL, "secret": "x"}), 400, "unknown_field")
    refusal(members.web1.post("/webhooks", json={"name": "web1"}), 400, "missing_field")
    refusal(add(members.web1, name=["web1"]), 400, "bad_field")
    assert members.records("webhook_set") == []


def test_one_credential_has_so_many_at_most(members: Members) -> None:
    for _ in range(MOST_WEBHOOKS):
        assert add(members.web1).status_code == 201
    assert refusal(add(members.web1), 429, "over_quota")["quota"] == "webhooks"
    assert add(members.db1).status_code == 201

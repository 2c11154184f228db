"""What ends with a credential, what does not, and what who is given a name anew does not
inherit.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import RunningHub, basic
from tests.fleet import SECRET, As, Fleet, a_fleet, is_gone, wait_until
from tests.web.conftest import refusal


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """web1 may do everything on box."""
    with a_fleet(tmp_path) as made:
        made.permit()
        yield made


def revoke(fleet: Fleet, name: str = "web1") -> None:
    reply = fleet.admin.post("/api/credentials/revoke", json={"name": name})
    assert reply.status_code == 200, reply.json


def reissued(fleet: Fleet, name: str = "web1") -> As:
    """Who is given a name that was revoked; may do everything on box."""
    revoke(fleet, name)
    secret = fleet.admin.post("/api/credentials", json={"name": name}).json["secret"]
    fleet.permit(name)
    return As(fleet.app, name, secret)


def by_invite(fleet: Fleet, **fields: Any) -> As:
    """web1 with the secret that an invite makes."""
    made = fleet.admin.post("/api/invites", json={"name": "web1", **fields})
    assert made.status_code == 201, made.json
    short, _, secret = made.json["code"].partition(".")
    joined = As(fleet.app, f"invite~{short}", secret).post("/api/join")
    assert joined.status_code == 201, joined.json
    return As(fleet.app, "web1", joined.json["secret"])


def rebuild(fleet: Fleet) -> None:
    fleet.hub.index.rebuild()


def nothing(fleet: Fleet) -> None:
    """The index stays as it is."""


# -- what a re-issued name does not inherit ------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", [nothing, rebuild])
def test_a_reissued_name_has_no_keys_and_no_results_of_the_one_before(
    fleet: Fleet, meanwhile: Callable[[Fleet], None]
) -> None:
    first = fleet.web1.exec("echo secret-of-the-first; echo x >> ran", client_id="k").json
    sent = fleet.web1.say("the same", sender="web1", client_id="m")
    kept = fleet.config.data_dir / "calls" / f"{first['id']}.json"
    assert "secret-of-the-first" in kept.read_text()
    heir = reissued(fleet)
    meanwhile(fleet)
    again = heir.exec("echo secret-of-the-first; echo x >> ran", client_id="k").json
    assert ("replayed" in again, again["id"] == first["id"]) == (False, False)
    assert (fleet.folder / "box" / "ran").read_text() == "x\nx\n"
    assert heir.exec("echo other", client_id="k").json["error"] == "key_reused"
    assert (
        heir.exec("echo secret-of-the-first; echo x >> ran", client_id="k").json["replayed"] is True
    )
    mine = heir.say("the same", sender="web1", client_id="m")["seq"]
    assert mine > sent["seq"]
    assert (
        heir.post("/post", json={"to": "bob", "body": "the same", "client_id": "m"}).json["seq"]
        == mine
    )
    refusal(heir.get(f"/api/exec/{first['id']}"), 404, "no_such_call")
    assert fleet.admin.get(f"/api/exec/{first['id']}").json["stdout"] is None
    wait_until(lambda: not kept.exists())
    assert "secret-of-the-first; echo x" not in "".join(
        json.dumps(event) for event in heir.events() if event.get("id") == first["id"]
    )


@pytest.mark.parametrize("meanwhile", [nothing, rebuild])
def test_a_yes_to_the_one_before_runs_nothing(
    fleet: Fleet, meanwhile: Callable[[Fleet], None]
) -> None:
    fleet.permit(approval="required")
    said, open_one = (
        fleet.web1.exec("touch pwned").json["id"],
        fleet.web1.exec("touch more").json["id"],
    )
    fleet.admin.post(f"/api/approvals/{said}", json={"allow": True})
    revoke(fleet)
    secret = fleet.admin.post("/api/credentials", json={"name": "web1"}).json["secret"]
    fleet.permit(approval="required")
    heir = As(fleet.app, "web1", secret)
    meanwhile(fleet)
    asked = heir.exec("touch pwned")
    assert (asked.status_code, asked.json["id"] != said) == (202, True)
    for id in (said, open_one):
        refusal(heir.get(f"/api/approvals/{id}"), 404, "no_such_approval")
        assert fleet.admin.get(f"/api/approvals/{id}").json["approval"]["state"] == "expired"
        refusal(
            fleet.admin.post(f"/api/approvals/{id}", json={"allow": True}), 409, "approval_closed"
        )
    assert [item["id"] for item in heir.get("/api/approvals").json["approvals"]] == [
        asked.json["id"]
    ]
    assert not (fleet.folder / "box" / "pwned").exists()


def test_a_yes_of_an_admin_that_is_revoked_runs_nothing(fleet: Fleet) -> None:
    fleet.permit(approval="required")
    fleet.app.extensions["credentials"].add("second", SECRET, "admin")
    id = fleet.web1.exec("touch pwned").json["id"]
    assert (
        As(fleet.app, "second").post(f"/api/approvals/{id}", json={"allow": True}).status_code
        == 200
    )
    revoke(fleet, "second")
    asked = fleet.web1.exec("touch pwned")
    assert (asked.status_code, asked.json["id"] != id) == (202, True)
    assert not (fleet.folder / "box" / "pwned").exists()


def test_who_was_taken_out_of_the_file_by_hand_leaves_nothing_to_the_next(fleet: Fleet) -> None:
    secret = fleet.admin.post("/api/credentials", json={"name": "web9"}).json["secret"]
    fleet.permit("web9")
    first = As(fleet.app, "web9", secret).exec("echo mine", client_id="k").json["id"]
    lines = fleet.config.credentials_file.read_text().splitlines(keepends=True)
    fleet.config.credentials_file.write_text(
        "".join(line for line in lines if not line.startswith("web9:"))
    )
    heir = As(
        fleet.app,
        "web9",
        fleet.admin.post("/api/credentials", json={"name": "web9"}).json["secret"],
    )
    refusal(heir.exec("echo mine", client_id="k"), 403, "not_permitted")
    fleet.permit("web9")
    assert heir.exec("echo mine", client_id="k").json["id"] != first


def test_its_mail_stays(fleet: Fleet) -> None:
    fleet.admin.say("for web1", sender="admin", to="web1")
    heir = reissued(fleet)
    assert heir.bodies("unread_by=web1") == ["for web1"]


def test_an_invite_that_is_taken_back_ends_nothing(fleet: Fleet) -> None:
    """Nobody had the name yet; who gets it then begins at the beginning."""
    assert fleet.admin.post("/api/invites", json={"name": "web7"}).status_code == 201
    revoke(fleet, "web7")
    heir = As(
        fleet.app,
        "web7",
        fleet.admin.post("/api/credentials", json={"name": "web7"}).json["secret"],
    )
    assert "tenure" not in json.dumps(heir.say("x", sender="web7", client_id="k"))
    assert "tenure" not in fleet.records("message")[-1]


def test_all_of_it_holds_after_a_restart(tmp_path: Path) -> None:
    with a_fleet(tmp_path) as fleet:
        fleet.permit()
        first = fleet.web1.exec("echo mine", client_id="k").json["id"]
        heir = reissued(fleet)
        second = heir.exec("echo mine", client_id="k").json["id"]
        lines = fleet.config.credentials_file.read_text()
    with a_fleet(tmp_path) as fleet:
        fleet.config.credentials_file.write_text(lines)
        heir = As(fleet.app, "web1", heir.secret)
        again = heir.exec("echo mine", client_id="k").json
        assert (again["id"], again["replayed"], first != second) == (second, True, True)
        assert fleet.admin.get(f"/api/exec/{first}").json["stdout"] is None


# -- an invite that replaces ---------------------------------------------------------------------


def test_an_invite_that_replaces_changes_the_secret_and_keeps_everything(fleet: Fleet) -> None:
    first = fleet.web1.exec("echo mine", client_id="k").json["id"]
    made = fleet.admin.post("/api/invites", json={"name": "web1", "replace": True}).json
    assert made["role"] == "member"
    assert fleet.web1.get("/api/me").status_code == 200  # until the invite is used
    listed = fleet.admin.get("/api/credentials").json["invites"]
    assert [(item["name"], item["replace"]) for item in listed] == [("web1", True)]
    short, _, secret = made["code"].partition(".")
    joined = As(fleet.app, f"invite~{short}", secret).post("/api/join").json
    refusal(fleet.web1.get("/api/me"), 401, "unauthorized")
    web1 = As(fleet.app, "web1", joined["secret"])
    again = web1.exec("echo mine", client_id="k").json
    assert (again["id"], again["stdout"], again["replayed"]) == (first, "mine\n", True)
    assert [record["action"] for record in fleet.records("credential")] == ["invite", "replace"]
    refusal(As(fleet.app, f"invite~{short}", secret).post("/api/join"), 410, "invite_spent")


def test_an_invite_that_replaces_needs_a_name_that_there_is(fleet: Fleet) -> None:
    for fields, status, code in (
        ({"name": "web7", "replace": True}, 404, "no_such_credential"),
        ({"name": "claude", "replace": True}, 400, "bad_field"),
        ({"name": "web1", "replace": True, "admin": True}, 400, "bad_field"),
        ({"name": "web1", "replace": "yes"}, 400, "bad_field"),
        ({"name": "web1"}, 409, "credential_exists"),
    ):
        refusal(fleet.admin.post("/api/invites", json=fields), status, code)


@pytest.mark.parametrize("how", ["rotate", "revoke"])
def test_an_invite_that_replaces_is_taken_back_by_what_changes_the_name(
    fleet: Fleet, how: str
) -> None:
    code = fleet.admin.post("/api/invites", json={"name": "web1", "replace": True}).json["code"]
    assert fleet.admin.post(f"/api/credentials/{how}", json={"name": "web1"}).status_code == 200
    short, _, secret = code.partition(".")
    refusal(As(fleet.app, f"invite~{short}", secret).post("/api/join"), 401, "unauthorized")


def test_an_admin_that_is_replaced_stays_one(fleet: Fleet) -> None:
    code = fleet.admin.post("/api/invites", json={"name": "admin", "replace": True}).json["code"]
    short, _, secret = code.partition(".")
    joined = As(fleet.app, f"invite~{short}", secret).post("/api/join").json
    assert (joined["name"], joined["role"]) == ("admin", "admin")
    assert As(fleet.app, "admin", joined["secret"]).get("/api/credentials").status_code == 200


# -- what runs -----------------------------------------------------------------------------------


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(call()))
    thread.start()
    return thread, got


def rotate(fleet: Fleet) -> None:
    """A new secret; the old one is over at once."""
    reply = fleet.admin.post("/api/credentials/rotate", json={"name": "web1", "overlap_s": 0})
    assert reply.status_code == 200, reply.json


def overlap_ends(fleet: Fleet) -> None:
    """A new secret; the old one went on for a day, and that is over."""
    assert fleet.admin.post("/api/credentials/rotate", json={"name": "web1"}).status_code == 200
    assert fleet.web1.get("/api/me").status_code == 200
    credentials = fleet.app.extensions["credentials"]
    start = credentials.clock()
    credentials.clock = lambda: start + 86_401


def by_hand(fleet: Fleet) -> None:
    lines = fleet.config.credentials_file.read_text().splitlines(keepends=True)
    fleet.config.credentials_file.write_text(
        "".join(line for line in lines if not line.startswith("web1:"))
    )


@pytest.mark.parametrize("end", [revoke, rotate, by_hand, overlap_ends])
def test_an_open_stream_delivers_nothing_more(fleet: Fleet, end: Callable[[Fleet], None]) -> None:
    reply = fleet.web1.client.open(
        "/stream?format=ndjson&since=0",
        headers={"Authorization": basic("web1", SECRET)},
        buffered=False,
    )
    chunks = (chunk.decode() for chunk in reply.iter_encoded() if chunk)
    fleet.admin.say("before", sender="admin", to="web1")
    assert "before" in next(chunk for chunk in chunks if chunk.strip())
    end(fleet)
    fleet.admin.say("after", sender="admin", to="web1")
    assert [chunk for chunk in chunks if chunk.strip()] == []
    wait_until(lambda: fleet.hub.waiting.total() == 0)


@pytest.mark.parametrize("end", [revoke, rotate])
def test_a_poll_that_waits_is_ended(fleet: Fleet, end: Callable[[Fleet], None]) -> None:
    waiting, got = in_thread(lambda: fleet.web1.get("/messages?unread_by=web1&wait=60"))
    wait_until(lambda: fleet.hub.waiting.total() == 1)
    end(fleet)
    waiting.join(20)
    refusal(got[0], 401, "unauthorized")


def test_others_go_on_waiting_when_a_credential_changes(fleet: Fleet) -> None:
    waiting, got = in_thread(lambda: fleet.db1.get("/messages?unread_by=db1&wait=60"))
    wait_until(lambda: fleet.hub.waiting.total() == 1)
    revoke(fleet)
    fleet.admin.say("hello", sender="admin", to="db1")
    waiting.join(20)
    assert [message["body"] for message in got[0].json["messages"]] == ["hello"]


def test_a_caller_that_waits_for_a_yes_is_ended(fleet: Fleet) -> None:
    fleet.permit(approval="required")
    id = fleet.web1.exec("true").json["id"]
    waiting, got = in_thread(lambda: fleet.web1.get(f"/api/approvals/{id}?wait=60"))
    wait_until(lambda: fleet.hub.waiting.total() == 1)
    revoke(fleet)
    waiting.join(20)
    refusal(got[0], 401, "unauthorized")


RUNS = "echo $$ > pid; echo begun; sleep 600"


def pid_of(fleet: Fleet) -> int:
    file = fleet.folder / "box" / "pid"
    return int(wait_until(lambda: file.exists() and file.read_text().strip()))


@pytest.mark.slow
@pytest.mark.parametrize("end", [revoke, rotate, by_hand])
def test_a_command_that_runs_is_ended(fleet: Fleet, end: Callable[[Fleet], None]) -> None:
    waiting, got = in_thread(lambda: fleet.web1.exec(RUNS, timeout_s=600))
    pid = pid_of(fleet)
    end(fleet)
    waiting.join(30)
    refusal(got[0], 401, "unauthorized")
    wait_until(lambda: is_gone(pid))
    done = fleet.records("call_ended")[-1]
    assert (done["result"], done["cancelled"]) == ("error", True)
    assert "revoked" in done["reason"]
    assert list((fleet.config.data_dir / "calls").glob("*.json")) == [] or end is not revoke


def test_a_command_that_streams_is_ended_and_says_why(fleet: Fleet) -> None:
    command = "echo $$ > pid; while :; do echo line; sleep 0.05; done"
    reply = fleet.web1.client.post(
        "/api/exec",
        json={"target": "box", "command": command, "stream": True, "timeout_s": 600},
        headers={"Authorization": basic("web1", SECRET)},
        buffered=False,
    )
    lines = (line for chunk in reply.iter_encoded() for line in chunk.decode().splitlines() if line)
    assert json.loads(next(lines))["state"] == "running"
    pid = pid_of(fleet)
    revoke(fleet)
    last = json.loads([*lines][-1])
    assert last["error"]["error"] == "unauthorized"
    wait_until(lambda: is_gone(pid))


@pytest.mark.slow
@pytest.mark.parametrize(("end", "goes_on"), [(revoke, False), (by_hand, False), (rotate, True)])
def test_a_detached_command_is_ended_with_its_callers_name(
    fleet: Fleet, end: Callable[[Fleet], None], goes_on: bool
) -> None:
    id = fleet.web1.exec(RUNS, timeout_s=600, detach=True).json["id"]
    pid = pid_of(fleet)
    end(fleet)
    if goes_on:
        ticks = (
            fleet.runner_hub.credentials.last_tenure
        )  # the service looks once a second: wait until it has looked
        looked = threading.Event()
        fleet.runner_hub.credentials.last_tenure = lambda: (looked.set(), ticks())[1]  # type: ignore[method-assign, func-returns-value]
        assert looked.wait(20)
        assert not is_gone(pid)
        assert fleet.admin.delete(f"/api/exec/{id}").json["ended"] is True
    wait_until(lambda: is_gone(pid))
    wait_until(lambda: fleet.admin.get(f"/api/exec/{id}").json["state"] != "running")
    if end is revoke:
        assert fleet.admin.bodies("unread_by=web1&tag=exec") == []


# -- real processes ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_worker_ends_what_is_open(hub_at: Callable[..., RunningHub]) -> None:
    hub = hub_at(BUS_WORKERS="2", BUS_KEEPALIVE_S="300")
    secret = json.loads(hub.run("credential", "add", "web1", "--json").stdout)["secret"]

    def poll() -> int:
        reply = requests.get(
            f"{hub.url}/messages?unread_by=web1&wait=60", auth=("web1", secret), timeout=90
        )
        return reply.status_code

    def stream() -> bytes:
        with requests.get(
            f"{hub.url}/stream?format=ndjson", auth=("web1", secret), timeout=90, stream=True
        ) as reply:
            return reply.content.strip()

    open_ones = [in_thread(what) for what in (poll, stream) for _ in range(4)]
    wait_until(lambda: hub.get("/health").json()["waiting"] == len(open_ones))
    assert hub.run("credential", "revoke", "web1").returncode == 0
    hub.say("after", to="web1")
    for thread, _ in open_ones:
        thread.join(40)
    assert [got[0] for _, got in open_ones] == [401] * 4 + [b""] * 4


@pytest.mark.slow
def test_the_operator_invites_a_machine_that_was_installed_again(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at()
    old = json.loads(hub.run("credential", "add", "web1", "--json").stdout)["secret"]
    assert hub.run("invite", "web7", "--replace").returncode == 2
    assert hub.run("invite", "web1").returncode == 2
    assert hub.run("invite", "web1", "--replace", "--admin").returncode == 2
    code = json.loads(hub.run("invite", "web1", "--replace", "--json").stdout)["code"]
    assert requests.get(f"{hub.url}/api/me", auth=("web1", old), timeout=30).status_code == 200
    short, _, secret = code.partition(".")
    new = requests.post(f"{hub.url}/api/join", auth=(f"invite~{short}", secret), timeout=30).json()[
        "secret"
    ]
    codes = [
        requests.get(f"{hub.url}/api/me", auth=("web1", one), timeout=30).status_code
        for one in (old, new)
    ]
    assert codes == [401, 200]

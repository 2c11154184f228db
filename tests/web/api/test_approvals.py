"""GET and POST /api/approvals: what is asked, what is shown, and what an answer is good for."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bus import create_app
from bus.hub import approvals
from bus.live import waiting
from tests.conftest import move, opened
from tests.fleet import SECRET, As, Fleet, a_fleet, as_base64, wait_until
from tests.web.conftest import refusal


@pytest.fixture
def asking(fleet: Fleet) -> Fleet:
    """web1 may do what an admin says yes to, on box."""
    fleet.permit(approval="required")
    return fleet


def ask(fleet: Fleet, reply: Any) -> str:
    """The id of the question that a call has become."""
    assert reply.status_code == 202, reply.json
    assert (reply.json["ok"], reply.json["error"], reply.json["state"]) == (
        False,
        "approval_required",
        "pending",
    )
    return str(reply.json["id"])


def answer(fleet: Fleet, id: str, allow: bool = True, **more: Any) -> Any:
    return fleet.admin.post(f"/api/approvals/{id}", json={"allow": allow, **more})


def test_a_call_waits_for_a_yes_which_is_good_once(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("echo run >> ran"))
    assert ask(asking, asking.web1.exec("echo run >> ran")) == id
    assert not (asking.folder / "box" / "ran").exists()
    shown = asking.admin.get(f"/api/approvals/{id}").json["approval"]
    assert (shown["argv"], shown["from"], shown["target"]) == (
        ["bash", "-c", "echo run >> ran"],
        "web1",
        "box",
    )
    assert answer(asking, id).json["approval"]["state"] == "allowed"
    assert asking.web1.exec("echo run >> ran").status_code == 200
    assert asking.admin.get(f"/api/approvals/{id}").json["approval"]["state"] == "used"
    assert asking.records("call_started")[-1]["approval"] == id
    assert ask(asking, asking.web1.exec("echo run >> ran")) != id
    assert (asking.folder / "box" / "ran").read_text() == "run\n"


@pytest.mark.parametrize(
    "change",
    [
        {"command": "echo other"},
        {"cwd": "/"},
        {"timeout_s": 31},
        {"env": {"A": "b"}},
        {"stdin": "x"},
        {"user": "0"},
        {"target": "den"},
    ],
)
def test_a_yes_is_for_that_very_request(asking: Fleet, change: dict[str, Any]) -> None:
    asking.permit(target="den", approval="required")
    id = ask(asking, asking.web1.exec("echo run"))
    answer(asking, id)
    assert ask(asking, asking.web1.exec(**{"command": "echo run", **change})) != id
    asking.permit(source="db1", approval="required")
    assert ask(asking, asking.db1.exec("echo run")) != id
    assert asking.web1.exec("echo run").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"content": "y"},
        {"path": "/other"},
        {"target": "den"},
        {"mode": "4755"},
        {"uid": 0},
        {"gid": 0},
        {"create_dirs": True},
        {"if_sha256": ""},
    ],
)
def test_a_yes_to_a_write_is_for_all_that_it_does(asking: Fleet, change: dict[str, Any]) -> None:
    asking.permit(target="den", approval="required")

    def write(**more: Any) -> Any:
        return asking.web1.post(
            "/api/file/write", json={"target": "box", "path": "/note", "content": "x", **more}
        )

    id = ask(asking, write())
    answer(asking, id)
    assert ask(asking, write(**change)) != id
    assert [list((asking.folder / name).iterdir()) for name in ("box", "den")] == [[], []]
    assert write().status_code == 200


def test_an_admin_sees_everything_that_makes_a_command_another(asking: Fleet) -> None:
    fields = {
        "cwd": "/",
        "user": "0",
        "env": {"LD_PRELOAD": "/tmp/x.so"},
        "timeout_s": 7,
        "stdin": "rm -rf /\n",
    }
    shown = asking.admin.get(
        f"/api/approvals/{ask(asking, asking.web1.exec('sh', **fields))}"
    ).json["approval"]
    assert {name: shown[name] for name in fields} == fields


def test_what_cannot_be_done_asks_nobody_and_is_on_record(asking: Fleet) -> None:
    asking.permit(target="nowhere", approval="required")
    refusal(asking.web1.exec("true", target="nowhere"), 404, "unknown_target")
    write = {"target": "box", "path": "/note", "content": "x", "if_sha256": "0" * 64}
    refusal(asking.web1.post("/api/file/write", json=write), 409, "file_changed")
    assert [
        (event["type"], event["error"])
        for event in asking.admin.events()
        if event["result"] == "error"
    ] == [
        ("exec", "unknown_target"),
        ("file_write", "file_changed"),
    ]
    assert asking.records("approval_asked") == []


def test_a_no_stands(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    answer(asking, id, allow=False)
    assert refusal(asking.web1.exec("true"), 403, "approval_denied")["id"] == id
    assert refusal(answer(asking, id), 409, "approval_closed")["state"] == "denied"
    event = asking.admin.events("type=exec")[-1]
    assert (event["result"], event["error"], event["command"]) == (
        "denied",
        "approval_denied",
        "true",
    )


def test_an_admin_sees_the_difference_and_the_yes_is_for_that_file(asking: Fleet) -> None:
    note = asking.folder / "box" / "note"
    note.write_text("old\nsame\n")

    def write() -> Any:
        return asking.web1.post(
            "/api/file/write", json={"target": "box", "path": "/note", "content": "new\nsame\n"}
        )

    id = ask(asking, write())
    assert (
        "-old\n+new\n same\n" in asking.admin.get(f"/api/approvals/{id}").json["approval"]["diff"]
    )
    answer(asking, id)
    note.write_text("changed meanwhile\n")
    refusal(write(), 409, "file_changed")
    assert note.read_text() == "changed meanwhile\n"
    answer(asking, ask(asking, write()))
    assert write().status_code == 200
    assert note.read_text() == "new\nsame\n"


def test_the_caller_can_wait_for_the_answer(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    got: list[Any] = []
    waiting = threading.Thread(
        target=lambda: got.append(asking.web1.get(f"/api/approvals/{id}?wait=30").json)
    )
    waiting.start()
    wait_until(lambda: asking.hub.waiting.total() == 1)
    answer(asking, id)
    waiting.join(20)
    assert got[0]["approval"]["state"] == "allowed"


def test_a_caller_that_waits_hears_of_an_answer_in_another_process_at_once(
    asking: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LOOK_EVERY_S", 60.0)  # only the bell can wake it in time
    ids = [ask(asking, asking.web1.exec(command)) for command in ("true", "false")]
    got: list[Any] = []
    waiter = threading.Thread(
        target=lambda: got.append(asking.web1.get(f"/api/approvals/{ids[0]}?wait=50").json)
    )
    waiter.start()
    wait_until(lambda: asking.hub.waiting.total() == 1)
    for other in opened(create_app(asking.config)):
        admin = As(other.app, "admin")
        admin.post(f"/api/approvals/{ids[1]}", json={"allow": True})
        assert not got  # an answer to another question is none of its business
        admin.post(f"/api/approvals/{ids[0]}", json={"allow": False})
        waiter.join(20)
    assert [reply["approval"]["state"] for reply in got] == ["denied"]


def test_a_caller_that_waits_hears_that_the_question_has_expired(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    move(asking.hub, 15 * 60 - 0.2)
    began = time.monotonic()
    found = threading.Thread(target=lambda: move(asking.hub, 15 * 60 + 1))
    found.start()
    reply = asking.web1.get(f"/api/approvals/{id}?wait=50").json
    assert reply["approval"]["state"] == "expired"
    assert time.monotonic() - began < 20


def test_a_list_of_questions_is_bounded_by_bytes(
    asking: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "MAX_PAGE_BYTES", 20_000)
    ids = [ask(asking, asking.web1.exec(f"cat # {n}", stdin="x" * 9_000)) for n in range(4)]
    listed = asking.admin.get("/api/approvals").json
    assert ([item["id"] for item in listed["approvals"]], listed["has_more"]) == (ids[2:], True)
    asking.admin.post("/api/approvals", json={"ids": ids[2:], "allow": False})
    rest = asking.admin.get("/api/approvals?state=pending").json
    assert ([item["id"] for item in rest["approvals"]], rest["has_more"]) == (ids[:2], False)


def test_an_approval_has_its_time(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    answer(asking, id, expires_in_s=10)
    move(asking.runner_hub, 11)
    assert ask(asking, asking.web1.exec("true")) != id


def test_questions_are_seen_by_who_asked_and_by_admins_who_are_told(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("echo secret"))
    assert [
        item["id"] for item in asking.web1.get("/api/approvals?state=pending").json["approvals"]
    ] == [id]
    assert asking.web1.get("/api/approvals?state=used").json["approvals"] == []
    assert asking.db1.get("/api/approvals").json["approvals"] == []
    refusal(asking.db1.get(f"/api/approvals/{id}"), 404, "no_such_approval")
    refusal(asking.web1.post(f"/api/approvals/{id}", json={"allow": True}), 403, "not_allowed")
    assert [event["type"] for event in asking.admin.events() if event["result"] == "denied"] == [
        "permit"
    ]
    refusal(asking.admin.post(f"/api/approvals/{id}", json={"allow": "yes"}), 400, "missing_field")
    refusal(answer(asking, id, expires_in_s=86_401), 400, "bad_field")
    refusal(answer(asking, id, expires="2099-01-01"), 400, "unknown_field")
    refusal(
        asking.admin.post(f"/api/approvals/{'0' * 26}", json={"allow": True}),
        404,
        "no_such_approval",
    )
    (message,) = asking.admin.get("/messages?unread_by=admin&tag=approval").json["messages"]
    assert (message["from"], message["priority"], message["data"]["id"]) == ("bus", "urgent", id)
    assert "secret" not in str(message)


def test_a_grant_that_is_taken_away_while_the_call_waits_leaves_nothing(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    answer(asking, id)
    asking.permit(allow=False)
    refusal(asking.web1.exec("true"), 403, "not_permitted")


def test_of_two_calls_at_once_one_uses_the_yes(asking: Fleet) -> None:
    answer(asking, ask(asking, asking.web1.exec("echo run >> ran; sleep 0.1")))
    got: list[int] = []
    calls = [
        threading.Thread(
            target=lambda: got.append(asking.web1.exec("echo run >> ran; sleep 0.1").status_code)
        )
        for _ in range(6)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(30)
    assert sorted(got) == [200, 202, 202, 202, 202, 202]
    assert (asking.folder / "box" / "ran").read_text() == "run\n"


# -- nothing is allowed unseen -------------------------------------------------------------------


def write(fleet: Fleet, content: str, **more: Any) -> Any:
    return fleet.web1.post(
        "/api/file/write", json={"target": "box", "path": "/note", "content": content, **more}
    )


def test_asking_to_write_a_file_is_no_way_to_read_it(asking: Fleet) -> None:
    asking.permit(actions=["file_read"], allow=False)
    (asking.folder / "box" / "note").write_text("root:SECRET\n")
    id = ask(asking, write(asking, ""))
    assert "SECRET" in asking.admin.get(f"/api/approvals/{id}").json["approval"]["diff"]
    for path in (f"/api/approvals/{id}", "/api/approvals", "/api/activity"):
        assert "SECRET" not in asking.web1.get(path).get_data(as_text=True)
    assert "base_sha256" not in asking.web1.get(f"/api/approvals/{id}").json["approval"]


def test_bytes_that_are_no_text_hide_nothing_of_a_change(asking: Fleet) -> None:
    (asking.folder / "box" / "note").write_bytes(b"old \xfe\n")
    data = as_base64(b"agent ALL=(ALL) NOPASSWD: ALL\n# \xff\n")
    id = ask(asking, write(asking, data, encoding="base64"))
    diff = asking.admin.get(f"/api/approvals/{id}").json["approval"]["diff"]
    assert "+agent ALL=(ALL) NOPASSWD: ALL\n+# \\xff\n" in diff
    assert "-old \\xfe\n" in diff


def test_a_change_of_the_mode_is_seen(asking: Fleet) -> None:
    note = asking.folder / "box" / "note"
    note.write_text("x")
    note.chmod(0o640)
    id = ask(asking, write(asking, "x", mode="4755"))
    shown = asking.admin.get(f"/api/approvals/{id}").json["approval"]
    assert (shown["mode"], shown["base_mode"], shown["diff"]) == ("4755", "0640", "")


def test_all_of_the_input_is_seen(asking: Fleet) -> None:
    text = "# nothing to see\n" * 300 + "touch pwned\n"
    id = ask(asking, asking.web1.exec(argv=["bash"], stdin=text))
    assert asking.admin.get(f"/api/approvals/{id}").json["approval"]["stdin"] == text


def test_what_is_too_much_to_look_at_cannot_be_approved(asking: Fleet) -> None:
    refusal(asking.web1.exec(argv=["bash"], stdin="#" * 65_537), 413, "too_large")
    refusal(write(asking, "x\n" * 40_000), 413, "too_large")
    refusal(write(asking, "x" * 600_000), 413, "too_large")
    assert asking.admin.get("/api/approvals").json["approvals"] == []


def test_many_at_once_ask_one_question(asking: Fleet) -> None:
    got: list[Any] = []
    calls = [
        threading.Thread(target=lambda: got.append(asking.web1.exec("true").json["id"]))
        for _ in range(6)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(30)
    assert len(got) == 6
    assert len(set(got)) == 1
    assert len(asking.records("approval_asked")) == 1


def test_an_approved_call_that_is_repeated_under_its_key_asks_nobody_again(asking: Fleet) -> None:
    answer(asking, ask(asking, asking.web1.exec("echo run >> ran; sleep 0.1", client_id="k")))
    got: list[Any] = []
    calls = [
        threading.Thread(
            target=lambda: got.append(
                asking.web1.exec("echo run >> ran; sleep 0.1", client_id="k").status_code
            )
        )
        for _ in range(6)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(30)
    assert set(got) <= {200, 409}
    assert len(asking.records("approval_asked")) == 1
    assert (asking.folder / "box" / "ran").read_text() == "run\n"


def test_questions_of_one_caller_do_not_hide_those_of_others(asking: Fleet) -> None:
    asking.permit(source="db1", approval="required")
    mine = ask(asking, asking.db1.exec("true"))
    for number in range(16):
        ask(asking, asking.web1.exec(f"exit {number}"))
    assert refusal(asking.web1.exec("exit 99"), 429, "too_many_questions")["scope"] == "questions"
    pending = asking.admin.get("/api/approvals?state=pending").json["approvals"]
    assert pending[0]["id"] == mine
    assert len(pending) == 17


def test_an_answer_is_told_in_the_feed(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    answer(asking, id, allow=False)
    event = asking.admin.events("type=permit")[-1]
    assert (event["from"], event["command"], event["source"]) == ("admin", f"refuse {id}", "web1")


# -- who answers, and how many at once -----------------------------------------------------------


def another_admin(fleet: Fleet) -> As:
    fleet.app.extensions["credentials"].add("second", SECRET, "admin")
    return As(fleet.app, "second")


def test_an_admin_needs_another_one_for_its_own_calls(fleet: Fleet) -> None:
    fleet.permit(source="admin", approval="required")
    for sender in ({}, {"from": "admin/session"}):
        id = ask(fleet, fleet.admin.exec("touch ran", **sender))
        for path, fields in ((f"/api/approvals/{id}", {}), ("/api/approvals", {"ids": [id]})):
            body = refusal(
                fleet.admin.post(path, json={"allow": True, **fields}), 403, "not_allowed"
            )
            assert "another admin" in body["message"]
    denied = [
        event["command"]
        for event in fleet.admin.events("type=permit")
        if event["result"] == "denied"
    ]
    assert len(denied) == 4
    assert denied[-1] == f"approve {id}"
    assert (
        another_admin(fleet).post(f"/api/approvals/{id}", json={"allow": True}).status_code == 200
    )
    assert fleet.admin.exec("touch ran", **{"from": "admin/session"}).status_code == 200


def test_an_admin_may_say_no_to_its_own_call(fleet: Fleet) -> None:
    fleet.permit(source="admin", approval="required")
    assert (
        answer(fleet, ask(fleet, fleet.admin.exec("true")), allow=False).json["approval"]["state"]
        == "denied"
    )


def test_a_setting_lets_admins_approve_their_own_calls(tmp_path: Path) -> None:
    with a_fleet(tmp_path, approve_own=True) as fleet:
        fleet.permit(source="admin", approval="required")
        assert (
            answer(fleet, ask(fleet, fleet.admin.exec("true"))).json["approval"]["state"]
            == "allowed"
        )
        assert fleet.admin.exec("true").status_code == 200


def test_all_that_was_listed_is_answered_and_nothing_else(asking: Fleet) -> None:
    asking.permit(source="db1", approval="required")
    other = ask(asking, asking.db1.exec("true"))
    seen = [ask(asking, asking.web1.exec(f"exit {number}")) for number in range(3)]
    listed = asking.admin.get("/api/approvals?state=pending&from=web1").json["approvals"]
    assert [item["id"] for item in listed] == seen
    unseen = ask(asking, asking.web1.exec("touch unseen"))
    answer(asking, seen[0], allow=False)
    reply = asking.admin.post("/api/approvals", json={"ids": seen, "allow": True})
    assert [(item["id"], item["state"]) for item in reply.json["approvals"]] == list(
        zip(seen, ["denied", "allowed", "allowed"], strict=True)
    )
    for id in (unseen, other):
        assert asking.admin.get(f"/api/approvals/{id}").json["approval"]["state"] == "pending"
    assert asking.web1.exec("exit 2").json["exitCode"] == 2


def test_an_answer_to_several_is_for_all_of_them_or_none(asking: Fleet) -> None:
    id = ask(asking, asking.web1.exec("true"))
    unknown = {"ids": [id, "0" * 26], "allow": True}
    refusal(asking.admin.post("/api/approvals", json=unknown), 404, "no_such_approval")
    refusal(
        asking.web1.post("/api/approvals", json={"ids": [id], "allow": True}), 403, "not_allowed"
    )
    for bad in (None, [], [1], id):
        assert (
            asking.admin.post("/api/approvals", json={"ids": bad, "allow": True}).status_code == 400
        )
    assert asking.admin.post("/api/approvals", json={"ids": [id]}).status_code == 400
    assert asking.records("approval_answered") == []


# -- what is shown is what is allowed ------------------------------------------------------------


def seen_by_admin(fleet: Fleet, id: str) -> dict[str, Any]:
    found: dict[str, Any] = fleet.admin.get(f"/api/approvals/{id}").json["approval"]
    return found


LOOK_ALIKE = (
    (b"\\xff\n", b"\xff\n"),
    (b"a\n", b"a\r\n"),
    (b"a\n", b"a \n"),
    (b"a\n", b"a"),
    (b"a b\n", b"a\tb\n"),
    (b"a b\n", b"a\xc2\xa0b\n"),  # a space that does not break
    (b"ab\n", b"a\xc2\xadb\n"),  # a soft hyphen
    (b"paypal\n", "p\u0430ypal\n".encode()),  # a Cyrillic letter
    ("\u00e9\n".encode(), "e\u0301\n".encode()),
    ("\u00e9\n".encode(), "\u00e9\n".encode("latin-1")),
    (b"a\n", "a\n".encode("utf-16-le")),
    (b"a\n", b"\xef\xbb\xbfa\n"),
    (b"\\u00e9\n", "\u00e9\n".encode()),
    (b"\\x20\n", b" \n"),
    (b"a\n\\ no newline at the end\n", b"a"),
    (b"a\x0bb\n", b"a\nb\n"),
    ("a\u2028b\n".encode(), b"a\nb\n"),
    (b"", b"\n"),
)


@pytest.mark.parametrize(("old", "new"), LOOK_ALIKE)
def test_two_contents_never_look_alike(asking: Fleet, old: bytes, new: bytes) -> None:
    (asking.folder / "box" / "note").write_bytes(old)
    diff = seen_by_admin(asking, ask(asking, write(asking, as_base64(new), encoding="base64")))[
        "diff"
    ]
    assert diff.isascii()
    assert all(line.isprintable() for line in diff.split("\n"))
    lines = diff.split("\n")[3:]
    taken, given = ([line[1:] for line in lines if line.startswith(sign)] for sign in "-+")
    unended = [
        lines[at - 1][0] for at, line in enumerate(lines) if line == r"\ no newline at the end"
    ]
    assert (taken, "-" in unended) != (given, "+" in unended), diff


def test_input_that_is_no_text_cannot_look_like_text(asking: Fleet) -> None:
    shown = [
        seen_by_admin(
            asking,
            ask(asking, asking.web1.exec("cat", stdin=as_base64(data), stdin_encoding="base64")),
        )["stdin"]
        for data in (b"\xff", b"\\xff")
    ]
    assert shown == ["\\xff", "\\\\xff"]


def test_a_link_that_moves_after_the_yes_leads_nowhere_else(asking: Fleet) -> None:
    box = asking.folder / "box"
    for name in ("mine", "ssh"):
        (box / name).mkdir()
    (box / "notes").symlink_to("mine")

    def put() -> Any:
        fields = {
            "target": "box",
            "path": "/notes/authorized_keys",
            "content": "ssh-ed25519 AAAA\n",
        }
        return asking.web1.post("/api/file/write", json=fields)

    id = ask(asking, put())
    shown = seen_by_admin(asking, id)
    assert shown["real_path"] == "/mine/authorized_keys"
    assert "+++ /mine/authorized_keys\n" in shown["diff"]
    assert "real_path" not in asking.web1.get(f"/api/approvals/{id}").json["approval"]
    answer(asking, id)
    (box / "notes").unlink()
    (box / "notes").symlink_to("ssh")
    refusal(put(), 409, "path_moved")
    assert [list((box / name).iterdir()) for name in ("mine", "ssh")] == [[], []]
    again = ask(asking, put())
    assert seen_by_admin(asking, again)["real_path"] == "/ssh/authorized_keys"
    answer(asking, again)
    assert put().status_code == 200
    assert (box / "ssh" / "authorized_keys").read_text() == "ssh-ed25519 AAAA\n"


def test_a_file_that_may_be_read_is_the_one_that_was_seen(asking: Fleet) -> None:
    box = asking.folder / "box"
    for name in ("public", "secret"):
        (box / name).write_text(name)
    (box / "link").symlink_to("public")

    def read() -> Any:
        return asking.web1.post("/api/file/read", json={"target": "box", "path": "/link"})

    id = ask(asking, read())
    assert seen_by_admin(asking, id)["real_path"] == "/public"
    answer(asking, id)
    (box / "link").unlink()
    (box / "link").symlink_to("secret")
    refusal(read(), 409, "path_moved")
    (box / "link").unlink()
    (box / "link").symlink_to("public")
    answer(asking, ask(asking, read()))
    assert read().json["content"] == "public"


# -- what is kept beside the log -----------------------------------------------------------------

SECRET_INPUT = {"stdin": "password-in-stdin\n", "env": {"TOKEN": "token-in-env"}}


def kept_for(fleet: Fleet, id: str) -> Path:
    return fleet.config.data_dir / "questions" / f"{id}.json"


def in_the_log(fleet: Fleet) -> str:
    return "".join(path.read_text() for path in fleet.config.data_dir.glob("bus*.jsonl"))


@pytest.fixture
def secrets(asking: Fleet) -> str:
    """The id of a question about a call with secrets."""
    return ask(asking, asking.web1.exec("cat", **SECRET_INPUT))


def test_what_may_be_secret_is_not_in_the_log_and_goes_when_the_yes_is_used(
    asking: Fleet, secrets: str
) -> None:
    shown = seen_by_admin(asking, secrets)
    assert {name: shown[name] for name in SECRET_INPUT} == SECRET_INPUT
    assert kept_for(asking, secrets).stat().st_mode & 0o007 == 0
    answer(asking, secrets)
    assert seen_by_admin(asking, secrets)["env"] == SECRET_INPUT["env"]
    assert asking.web1.exec("cat", **SECRET_INPUT).json["stdout"] == "password-in-stdin\n"
    assert not kept_for(asking, secrets).exists()
    assert not {"stdin", "env", "lost"} & set(seen_by_admin(asking, secrets))
    (asking.folder / "box" / "note").write_text("old secret\n")
    ask(asking, write(asking, "new secret\n"))
    for secret in ("password-in-stdin", "token-in-env", "old secret", "new secret"):
        assert secret not in in_the_log(asking)


def test_it_goes_with_a_no(asking: Fleet, secrets: str) -> None:
    answer(asking, secrets, allow=False)
    assert not kept_for(asking, secrets).exists()
    several = [
        ask(asking, asking.web1.exec(f"exit {number}", **SECRET_INPUT)) for number in range(2)
    ]
    asking.admin.post("/api/approvals", json={"ids": several, "allow": False})
    assert list(kept_for(asking, secrets).parent.iterdir()) == []


def test_it_goes_when_the_question_expires(asking: Fleet, secrets: str) -> None:
    approvals = asking.runner_hub.approvals
    file = kept_for(asking, secrets)
    an_hour_ago = file.stat().st_mtime - 3600
    os.utime(file, (an_hour_ago, an_hour_ago))
    approvals.forget_closed()
    assert file.exists()
    move(asking.runner_hub, 16 * 60)
    approvals.forget_closed()
    assert not file.exists()


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda file: file.write_text("{}"), lambda file: file.write_text("")]
)
def test_what_is_gone_or_changed_cannot_be_approved_and_is_asked_anew(
    asking: Fleet, secrets: str, harm: Any
) -> None:
    harm(kept_for(asking, secrets))
    shown = seen_by_admin(asking, secrets)
    assert (shown["lost"], "stdin" in shown) == (True, False)
    refusal(answer(asking, secrets), 409, "question_lost")
    refusal(
        asking.admin.post("/api/approvals", json={"ids": [secrets], "allow": True}),
        409,
        "question_lost",
    )
    assert asking.records("approval_answered") == []
    again = ask(asking, asking.web1.exec("cat", **SECRET_INPUT))
    assert again != secrets
    answer(asking, again)
    assert asking.web1.exec("cat", **SECRET_INPUT).status_code == 200
    assert answer(asking, secrets, allow=False).json["approval"]["state"] == "denied"


def test_what_cannot_be_removed_stops_no_answer(asking: Fleet, secrets: str) -> None:
    kept_for(asking, secrets).unlink()
    kept_for(asking, secrets).mkdir()
    assert seen_by_admin(asking, secrets)["lost"] is True
    assert answer(asking, secrets, allow=False).json["approval"]["state"] == "denied"


def test_what_cannot_be_kept_is_not_asked(asking: Fleet) -> None:
    (asking.config.data_dir / "questions").write_text("no folder")
    refusal(asking.web1.exec("cat", **SECRET_INPUT), 507, "no_room")
    assert asking.records("approval_asked") == []
    assert "password-in-stdin" not in in_the_log(asking)


def test_a_question_of_an_older_log_is_shown_with_what_it_has_inside(asking: Fleet) -> None:
    approvals = asking.runner_hub.approvals
    kept, approvals.beside = approvals.beside, None
    id = ask(asking, asking.web1.exec("cat", **SECRET_INPUT))
    approvals.beside = kept
    assert seen_by_admin(asking, id)["stdin"] == SECRET_INPUT["stdin"]
    answer(asking, id)
    assert asking.web1.exec("cat", **SECRET_INPUT).status_code == 200

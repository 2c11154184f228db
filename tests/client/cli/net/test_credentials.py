"""The commands that invite, join, and manage credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from busclient._cli import exits
from busclient._places import Places
from tests.client.cli.net.conftest import Cli
from tests.client.doors import URL, Door
from tests.client.stubnet import StubNet, error

JOINED = (201, {"ok": True, "name": "new", "secret": "s3cret", "role": "member"})


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, net: StubNet) -> StubNet:
    """A machine without settings, at a hub that takes its round trip."""
    for name in ("BUS_URL", "BUS_USER", "BUS_PASS"):
        monkeypatch.delenv(name)
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "new",
        "to": "new",
        "body": "bus round trip",
    }
    net.on("POST /post", (201, message))
    net.on("GET /messages/01M", message)
    net.on("POST /ack/01M", {"acked": [1], "already": []})
    net.on("GET /messages", {"messages": [], "has_more": False})
    return net


def test_an_invite_is_a_line_to_paste(cli: Cli, net: StubNet) -> None:
    made = {
        "ok": True,
        "name": "new",
        "code": "01I.s",
        "expires": "2026-11-21T20:00:00.000Z",
        "line": f"bus join {URL} --invite 01I.s",
    }
    net.on("POST /api/invites", (201, made))
    assert cli("invite", "new", "--replace").code == 0
    assert net.bodies("/api/invites") == [{"name": "new", "replace": True}]
    assert cli("invite", "new", "--replace", "--admin").code == exits.USAGE
    net.asked.clear()
    ran = cli("invite", "new", "--admin", "--expires", "90m")
    assert ran.out == f"bus join {URL} --invite 01I.s\n"
    assert "works once" in ran.err
    assert "this machine's own" not in ran.err
    assert net.asked[0].fields == {"name": "new", "admin": True, "expires_in_s": 5400}
    for local in ("http://127.0.0.1:8787", "http://localhost", "http://[::1]:8787"):
        made["line"] = f"bus join {local} --invite 01I.s"
        ran = cli("invite", "new")
        assert ran.out == made["line"] + "\n"
        assert "this machine's own" in ran.err
        assert "Add the other machines" in ran.err


def test_an_invite_becomes_the_machines_own_credential(
    cli: Cli, fresh: StubNet, places: Places
) -> None:
    fresh.on("POST /api/join", JOINED)
    ran = cli("join", URL, "--invite", "01I.co.de")
    assert (ran.code, "as new" in ran.out, "s3cret" in ran.out) == (0, True, False)
    assert [asked.user for asked in fresh.asked] == ["invite~01I:co.de", *["new:s3cret"] * 3]
    assert fresh.asked[0].fields == {}
    assert fresh.bodies("/post")[0]["from"] == "new"
    assert places.env_file.stat().st_mode & 0o777 == 0o600
    assert cli("inbox").code == 0  # with the settings that were written
    assert fresh.asked[-1].user == "new:s3cret"


@pytest.mark.parametrize("more", [["--name", "x"], ["--user", "x"], ["--pass", "x"]])
def test_an_invite_stands_for_itself(cli: Cli, fresh: StubNet, more: list[str]) -> None:
    assert cli("join", URL, "--invite", "01I.s", *more).code == exits.USAGE
    assert cli("join", URL, "--invite", "oneword").code == exits.SETTINGS
    assert fresh.asked == []


def test_a_code_is_not_spent_where_its_secret_cannot_be_kept(
    cli: Cli, fresh: StubNet, places: Places, home: Path
) -> None:
    places.env_file.parent.write_text("a file where a folder should be")
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, fresh.asked) == (exits.LOCAL, [])
    assert "cannot be written" in ran.err
    places.env_file.parent.unlink()
    places.env_file.parent.mkdir()
    places.env_file.write_text("BUS_PASS=old\n")
    assert cli("join", URL, "--invite", "01I.s").code == exits.SETTINGS
    assert fresh.asked == []
    fresh.on("POST /api/join", JOINED)
    assert cli("join", URL, "--invite", "01I.s", "--force").code == 0
    assert "s3cret" in places.env_file.read_text()


def test_a_secret_that_could_not_be_kept_after_all_is_shown(
    cli: Cli, fresh: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    fresh.on("POST /api/join", JOINED)
    monkeypatch.setattr("busclient._settings.write_private", full)
    ran = cli("join", URL, "--invite", "01I.s")
    assert ran.code == exits.LOCAL
    assert "BUS_USER='new' BUS_PASS='s3cret'" in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [(error(401, "unauthorized"), exits.CREDENTIAL, "one word"),
     (error(410, "invite_spent"), exits.REFUSED, "hint of"),
     (error(429, "too_many_attempts"), exits.AWAY, "too_many_attempts")],
)  # fmt: skip
def test_an_invite_that_is_refused_says_what_to_do(
    cli: Cli, fresh: StubNet, places: Places, answer: Any, code: int, says: str
) -> None:
    fresh.on("POST /api/join", answer)
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, says in ran.err, places.env_file.exists()) == (code, True, False)
    assert len(fresh.asked) == 1


def test_an_address_with_a_path_is_no_place_to_join(cli: Cli, fresh: StubNet) -> None:
    fresh.on("POST /docs/api/join", error(403, "not_allowed"))
    ran = cli("join", f"{URL}/docs", "--invite", "01I.s")
    assert (ran.code, "without a path" in ran.err) == (exits.CREDENTIAL, True)


def test_an_invite_whose_answer_is_lost_is_not_sent_again(
    cli: Cli, fresh: StubNet, door: Door
) -> None:
    fresh.on("POST /api/join", JOINED)
    door.troubles.append("lost")
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, len(door.calls)) == (exits.UNKNOWN, 1)
    assert "bus credential revoke" in ran.err


def test_settings_of_the_environment_that_hide_the_new_ones_are_told(
    cli: Cli, fresh: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_USER", "claude")
    fresh.on("POST /api/join", JOINED)
    assert (
        "BUS_USER in the environment goes before that file"
        in cli("join", URL, "--invite", "01I.s").err
    )


def test_ones_own_secret_is_replaced_in_the_settings(
    cli: Cli, fresh: StubNet, places: Places
) -> None:
    fresh.on("POST /api/join", JOINED)
    cli("join", URL, "--invite", "01I.s")
    text = places.env_file.read_text() + "# a remark\nBUS_HANDOFFS=/srv/handoffs\n"
    places.env_file.write_text(text)
    fresh.on(
        "POST /api/credentials/rotate",
        {"ok": True, "name": "new", "role": "member", "secret": "it's \\1 new"},
    )
    ran = cli("credential", "rotate", "--overlap", "10m")
    assert (ran.code, "it's" in ran.out) == (0, False)
    assert fresh.bodies("/api/credentials/rotate") == [{"overlap_s": 600}]
    assert fresh.asked[-1].user == "new:it's \\1 new"  # proved
    assert places.env_file.read_text() == text.replace("'s3cret'", '"it\'s \\\\1 new"')


def test_a_secret_is_not_rotated_where_the_new_one_cannot_be_kept(
    cli: Cli, fresh: StubNet, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    fresh.on("POST /api/join", JOINED)
    cli("join", URL, "--invite", "01I.s")
    monkeypatch.setattr("busclient._joining.check_room", full)
    ran = cli("credential", "rotate")
    assert (ran.code, fresh.bodies("/api/credentials/rotate")) == (exits.LOCAL, [])
    assert "No space left on device. Nothing was asked of the hub." in ran.err


def test_a_secret_that_is_not_in_the_file_is_not_rotated_blindly(cli: Cli, net: StubNet) -> None:
    ran = cli("credential", "rotate")
    assert (ran.code, net.asked) == (exits.SETTINGS, [])
    assert "environment" in ran.err


def test_credentials_of_others_are_for_admins(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/credentials/rotate",
        {"ok": True, "name": "old", "role": "member", "secret": "s3cret"},
    )
    assert cli("credential", "rotate", "old").out == "old s3cret\n"
    net.on("POST /api/credentials/revoke", {"ok": True, "name": "old"})
    assert cli("credential", "revoke", "old").out == "revoked old\n"
    invites = [{"name": "b", "role": "member", "expires": "2026-11-21T20:00:00.000Z"}]
    net.on(
        "GET /api/credentials",
        {"ok": True, "credentials": [{"name": "a", "role": "admin"}], "invites": invites},
    )
    assert (
        cli("credential", "list").out
        == "a (admin)\nb (member) invited until 2026-11-21T20:00:00.000Z\n"
    )

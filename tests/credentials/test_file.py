"""The credential file: what a line means, and what every change keeps."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest

from bus.credentials import Credentials, Register
from bus.errors import Unauthorized
from bus.model.caller import ADMIN, MEMBER, SHARED, Caller
from tests.credentials.conftest import DAY, caller, take


def test_a_line_without_a_role_is_a_member_or_the_shared_user(credentials: Credentials) -> None:
    credentials.add("web1", "s")
    assert credentials.users() == {"claude": SHARED, "boss": ADMIN, "web1": MEMBER}
    assert not caller(credentials, "claude", "shared secret").is_verified
    assert caller(credentials, "web1", "s").is_verified


def test_without_a_shared_user_its_name_is_a_member_like_others(credentials: Credentials) -> None:
    alone = Credentials(credentials.path, shared_user="")
    assert caller(alone, "claude", "shared secret") == Caller("claude", MEMBER)
    assert "claude" in alone.taken()
    assert "claude" not in credentials.taken()


# Of the secret "s"; the salt is always the same, because the line is part of the names of tests.
LINE = "{SSHA}" + base64.b64encode(hashlib.sha1(b"s" + b"saltsalt").digest() + b"saltsalt").decode()


@pytest.mark.parametrize(
    "line",
    [
        f"web1:{LINE}:owner",
        f"web1:{LINE}:shared",
        f"web1:{LINE}:Admin",
        f"web1:{LINE}:member until=soon",
        f"web1:{LINE}:member until=",
        f"web1:{LINE}:member limit=5",
        f"web1:{LINE}:member :admin",
        f"web1:{LINE}:invite for=web2 until=9999999999",
        f"web1:{LINE}: member",
        "web1:{SSHA}" + LINE[6:10],
        "web1:{PLAIN}s",
        "web1:s",
        "web1:",
        f" web1:{LINE}",
        f":{LINE}",
    ],
)
def test_a_line_that_is_not_understood_lets_nobody_in(credentials: Credentials, line: str) -> None:
    credentials.path.write_text(credentials.path.read_text() + line + "\n")
    with pytest.raises(Unauthorized):
        caller(credentials, "web1", "s")
    assert caller(credentials, "boss", "boss secret").role == ADMIN


@pytest.mark.parametrize("end", ["", " ", "\r"])
def test_an_old_line_works_with_what_editors_leave_behind_it(
    credentials: Credentials, end: str
) -> None:
    credentials.path.write_bytes(credentials.path.read_bytes() + f"web1:{LINE}{end}\n".encode())
    assert caller(credentials, "web1", "s").role == MEMBER


def test_comments_and_unreadable_lines_survive_every_change(
    credentials: Credentials, register: Register
) -> None:
    kept = ["# who is who", "", "web9:{CRYPT}x", f"web8:{LINE}:owner"]
    credentials.path.write_text("\n".join([*kept, credentials.path.read_text()]))
    register.add("web1", MEMBER, "boss")
    register.rotate("web1", DAY, "boss")
    register.join(take(credentials, register.invite("web2", MEMBER, DAY, "boss").code).name)
    register.revoke("web1", "boss")
    assert credentials.path.read_text().splitlines()[:4] == kept


def test_the_file_keeps_its_mode(credentials: Credentials, register: Register) -> None:
    credentials.path.chmod(0o640)
    register.add("web1", MEMBER, "boss")
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o640
    assert [path.name for path in credentials.path.parent.iterdir()] == ["credentials"]


def test_a_change_is_on_stable_storage_when_it_is_answered(
    credentials: Credentials, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(
            (Path(os.readlink(f"/proc/self/fd/{fd}")).name, "web1:" in credentials.path.read_text())
        )
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    register.add("web1", MEMBER, "boss")
    assert [(name.startswith(".credentials-"), there) for name, there in synced] == [
        (True, False),
        (False, True),
    ]


def test_only_hashes_are_stored(
    credentials: Credentials, register: Register, notes: list[tuple[str, ...]]
) -> None:
    secrets = [
        register.add("web1", MEMBER, "boss").secret,
        register.rotate("web1", DAY, "boss").secret,
    ]
    code = register.invite("web2", MEMBER, DAY, "boss").code
    secrets += [code.partition(".")[2], register.join(take(credentials, code).name).secret]
    assert all(len(secret) >= 43 for secret in secrets)
    seen = credentials.path.read_text() + repr(notes) + repr(register.listing())
    assert not any(secret in seen for secret in secrets)

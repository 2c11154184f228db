"""Secrets are added, rotated and revoked."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from bus.credentials import Credentials, Register
from bus.errors import (
    BadField,
    BusError,
    Busy,
    Conflict,
    CredentialExists,
    NoSuchCredential,
    NotAllowed,
    Unauthorized,
)
from bus.model.caller import ADMIN, MEMBER, Caller
from tests.conftest import basic
from tests.credentials.conftest import DAY, Clock, caller, take


def test_both_secrets_work_until_the_overlap_is_over(
    credentials: Credentials, register: Register, clock: Clock
) -> None:
    old = register.add("web1", MEMBER, "boss").secret
    caller(credentials, "web1", old)
    new = register.rotate("web1", DAY, "web1").secret
    for secret in (old, new, old):
        assert caller(credentials, "web1", secret) == Caller(
            "web1", MEMBER, is_current=secret == new
        )
    assert (
        credentials.path.read_text()
        .splitlines()[-1]
        .endswith(f":member until={int(clock.now) + DAY}")
    )  # nginx takes the first
    clock.now += DAY
    with pytest.raises(Unauthorized):
        caller(credentials, "web1", old)  # verified before, and remembered
    assert caller(credentials, "web1", new)


def test_no_overlap_ends_every_old_secret_at_once(
    credentials: Credentials, register: Register
) -> None:
    old = [register.add("web1", MEMBER, "boss").secret, register.rotate("web1", DAY, "boss").secret]
    new = register.rotate("web1", 0, "boss").secret
    for secret in old:
        with pytest.raises(Unauthorized):
            caller(credentials, "web1", secret)
    assert caller(credentials, "web1", new)
    assert credentials.path.read_text().count("web1:") == 1


def test_no_later_rotation_gives_an_old_secret_more_time(
    credentials: Credentials, register: Register, clock: Clock
) -> None:
    old = register.add("web1", MEMBER, "boss").secret
    register.rotate("web1", DAY, "web1")
    register.rotate("web1", 30 * DAY, "web1")
    clock.now += DAY
    with pytest.raises(Unauthorized):
        caller(credentials, "web1", old)


def test_an_admin_may_repeat_a_rotation_whose_answer_was_lost(
    credentials: Credentials, register: Register
) -> None:
    old = register.add("web1", MEMBER, "boss").secret
    for _ in range(3):
        register.rotate("web1", DAY, "web1")
        assert caller(credentials, "web1", old)
    for _ in range(20):
        register.rotate("web1", DAY, "web1")
    assert credentials.path.read_text().count("web1:") <= 4  # and the file does not grow


@pytest.mark.parametrize("user", ["claude", "boss"])
def test_a_rotation_keeps_the_role(credentials: Credentials, register: Register, user: str) -> None:
    before = credentials.users()[user]
    granted = register.rotate(user, DAY, "boss")
    assert granted.role == before == caller(credentials, user, granted.secret).role
    assert (
        caller(credentials, user, f"{'shared' if user == 'claude' else user} secret").role == before
    )


def test_revoking_takes_every_secret_and_open_invite(
    credentials: Credentials, register: Register, notes: list[tuple[str, ...]]
) -> None:
    code = register.invite("web1", MEMBER, DAY, "boss").code
    secrets = [
        register.add("web1", MEMBER, "boss").secret,
        register.rotate("web1", DAY, "boss").secret,
    ]
    register.revoke("web1", "boss")
    for secret in secrets:
        with pytest.raises(Unauthorized):
            caller(credentials, "web1", secret)
    with pytest.raises(Unauthorized):
        take(credentials, code)
    assert "web1" not in credentials.taken()
    assert notes[-1] == ("revoke", "web1", MEMBER, "boss")
    with pytest.raises(NoSuchCredential):
        register.revoke("web1", "boss")


def test_a_name_that_is_given_anew_has_nothing_of_the_old_one(
    credentials: Credentials, register: Register
) -> None:
    codes = [register.invite(name, ADMIN, DAY, "boss").code for name in ("web1", "WEB1")]
    guests = [take(credentials, code).name for code in codes]
    old = [register.add("web1", MEMBER, "boss").secret, register.rotate("web1", DAY, "boss").secret]
    assert all(caller(credentials, "web1", secret) for secret in old)
    register.revoke("web1", "boss")
    new = register.add("web1", MEMBER, "boss").secret
    assert caller(credentials, "web1", new) == Caller("web1", MEMBER)
    assert "web1" in credentials.taken()
    register.revoke("web1", "boss")
    for attempt in (
        *(lambda secret=secret: caller(credentials, "web1", secret) for secret in (*old, new)),
        *(lambda code=code: take(credentials, code) for code in codes),
        *(lambda guest=guest: register.join(guest) for guest in guests),
    ):
        with pytest.raises(Unauthorized):
            attempt()
    assert "web1" not in credentials.taken()


def test_a_change_is_seen_however_soon_it_comes_after_another(
    credentials: Credentials, register: Register
) -> None:
    """The last file but one had this size, and may have had this inode: only the time tells them
    apart.
    """
    later = (
        os.stat(credentials.path).st_mtime_ns + 10**12
    )  # a clock that stands still, or was set back
    os.utime(credentials.path, ns=(later, later))
    seen = [later]
    for _ in range(3):
        register.rotate("boss", 0, "boss")
        seen.append(os.stat(credentials.path).st_mtime_ns)
    assert seen == sorted(set(seen))


def test_nobody_is_revoked_by_no_name(credentials: Credentials, register: Register) -> None:
    register.rotate("boss", DAY, "boss")
    with pytest.raises(NoSuchCredential):
        register.revoke("", "boss")


def test_an_old_secret_changes_nothing(
    credentials: Credentials, register: Register, notes: list[tuple[str, ...]]
) -> None:
    """Else its holder shuts out the owner who rotated it."""
    code = register.invite("web2", MEMBER, DAY, "boss").code
    old, new = "boss secret", register.rotate("boss", DAY, "boss").secret
    before, noted = credentials.path.read_text(), list(notes)
    for attempt in changes_of("boss"):
        with pytest.raises(NotAllowed, match="was rotated") as caught:
            attempt(register.on_behalf_of(basic("boss", old)))
        assert caught.value.status == 403 and "newest secret of boss" in caught.value.hint
    assert (credentials.path.read_text(), notes) == (before, noted)
    for attempt in changes_of("boss"):
        attempt(register.on_behalf_of(basic("boss", new)))
        new = register.rotate("boss", 0, "test").secret
    assert take(credentials, code)


def changes_of(name: str) -> list[Callable[[Register], object]]:
    """Everything that a request can change, by this name."""
    return [
        lambda register: register.rotate(name, 0, name),
        lambda register: register.rotate("claude", 0, name),
        lambda register: register.add("web1", MEMBER, name),
        lambda register: register.revoke(
            "web1" if "web1" in register._credentials.users() else "claude", name
        ),
        lambda register: register.invite("web3", MEMBER, DAY, name),
    ]


def test_who_was_revoked_meanwhile_gets_no_hold_of_who_has_the_name_now(
    credentials: Credentials, register: Register
) -> None:
    old = register.add("web1", MEMBER, "boss").secret
    late = register.on_behalf_of(basic("web1", old))
    register.revoke("web1", "boss")
    new = register.add("web1", MEMBER, "boss").secret
    with pytest.raises(Unauthorized):
        late.rotate("web1", 0, "web1")
    assert caller(credentials, "web1", new).is_current


def test_of_two_rotations_with_one_secret_the_second_is_refused(
    credentials: Credentials, register: Register
) -> None:
    secret = register.add("web1", MEMBER, "boss").secret
    both = [register.on_behalf_of(basic("web1", secret)) for _ in range(2)]
    new = both[0].rotate("web1", DAY, "web1").secret
    with pytest.raises(NotAllowed):
        both[1].rotate("web1", 0, "web1")
    assert caller(credentials, "web1", new).is_current


def test_the_last_admin_stays(
    credentials: Credentials, register: Register, notes: list[tuple[str, ...]]
) -> None:
    before = credentials.path.read_text()
    with pytest.raises(Conflict):
        register.revoke("boss", "boss")
    assert (credentials.path.read_text(), notes) == (before, [])
    register.add("second", ADMIN, "boss")
    register.revoke("boss", "boss")
    assert ADMIN in credentials.users().values()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, CredentialExists) for name in ("boss", "Boss", "BOSS")),
        *(
            (name, BadField)
            for name in (
                "claude",
                "CLAUDE",
                "human",
                "System",
                "BUS",
                "admin",
                "any",
                "invite~1",
                "web1/a",
            )
        ),
        *((name, BadField) for name in ("web 1", "wеb1", "ｗeb1", "web1:x", "a\nb", "", "a" * 65)),
    ],
)
def test_a_name_that_is_taken_reserved_or_none_is_refused(
    credentials: Credentials,
    register: Register,
    notes: list[tuple[str, ...]],
    name: str,
    error: type[BusError],
) -> None:
    before = credentials.path.read_text()
    for change in (register.add, lambda *given: register.invite(*given[:2], DAY, given[2])):
        with pytest.raises(error):
            change(name, MEMBER, "boss")
    assert (credentials.path.read_text(), notes) == (before, [])


def test_a_change_that_cannot_be_noted_is_not_made(credentials: Credentials) -> None:
    def fail(*change: str) -> None:
        raise Busy("the log is held")

    before = credentials.path.read_text()
    register = Register(credentials, fail)
    for change in (
        lambda: register.add("web1", MEMBER, "boss"),
        lambda: register.rotate("claude", DAY, "boss"),
        lambda: register.revoke("claude", "boss"),
        lambda: register.invite("web1", MEMBER, DAY, "boss"),
    ):
        with pytest.raises(Busy):
            change()
    assert credentials.path.read_text() == before


def test_every_change_is_noted_with_who_made_it(
    credentials: Credentials, register: Register, notes: list[tuple[object, ...]], clock: Clock
) -> None:
    register.add("web1", ADMIN, "boss")
    register.rotate("web1", DAY, "web1")
    code = register.invite("web2", MEMBER, DAY, "web1").code
    invited = take(credentials, code).name
    register.join(invited)
    register.revoke("web2", "boss")
    assert notes == [
        ("add", "web1", ADMIN, "boss"),
        ("rotate", "web1", ADMIN, "web1"),
        ("invite", "web2", MEMBER, "web1", int(clock.now) + DAY),
        ("join", "web2", MEMBER, invited),
        ("revoke", "web2", MEMBER, "boss"),
    ]

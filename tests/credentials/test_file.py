"""The credential file: what a line means, how it changes, and that it never loses or leaks
anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from bus.config import Config
from bus.credentials import Credentials, Register, file, new_secret
from bus.errors import (
    BadField,
    BusError,
    Busy,
    Conflict,
    CredentialExists,
    InviteSpent,
    NoSuchCredential,
    NotAllowed,
    TooManyAttempts,
    Unauthorized,
)
from bus.model.caller import ADMIN, INVITE, MEMBER, SHARED, Caller
from bus.server import first_start
from tests.conftest import basic

DAY = 24 * 3600


class Clock:
    """A clock that tests move."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials(tmp_path: Path, clock: Clock) -> Credentials:
    found = Credentials(tmp_path / "credentials", clock=clock)
    found.add("claude", "shared secret")
    found.add("boss", "boss secret", ADMIN)
    return found


@pytest.fixture
def notes() -> list[tuple[str, ...]]:
    return []


@pytest.fixture
def register(credentials: Credentials, notes: list[tuple[str, ...]]) -> Register:
    return Register(credentials, lambda *change: notes.append(change))


def caller(credentials: Credentials, user: str, secret: str, address: str = "") -> Caller:
    return credentials.caller_of(basic(user, secret), address)


def take(credentials: Credentials, code: str, address: str = "") -> Caller:
    """The caller that an invite's code proves."""
    short, _, secret = code.partition(".")
    return caller(credentials, f"invite~{short}", secret, address)


# -- what a line means ---------------------------------------------------------------------------


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


# -- rotating and revoking -----------------------------------------------------------------------


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


# -- invites -------------------------------------------------------------------------------------


def test_an_invite_makes_one_credential(credentials: Credentials, register: Register) -> None:
    code = register.invite("web1", ADMIN, DAY, "boss").code
    guest = take(credentials, code)
    assert guest.role == INVITE
    granted = register.join(guest.name)
    assert caller(credentials, "web1", granted.secret) == Caller("web1", ADMIN)
    with pytest.raises(InviteSpent, match="used"):
        take(credentials, code)
    with pytest.raises(InviteSpent, match="used"):
        register.join(guest.name)


def test_an_invite_expires_and_is_told_apart_for_a_week(
    credentials: Credentials, register: Register, clock: Clock
) -> None:
    code = register.invite("web1", MEMBER, DAY, "boss").code
    guest = take(credentials, code)
    clock.now += DAY
    for attempt in (lambda: take(credentials, code), lambda: register.join(guest.name)):
        with pytest.raises(InviteSpent, match="expired"):
            attempt()
    assert register.listing()["invites"] == []
    clock.now += 7 * DAY - 1
    register.add("web3", MEMBER, "boss")
    assert isinstance(refused(take, credentials, code), InviteSpent)
    clock.now += 2
    register.add("web2", MEMBER, "boss")  # a change takes old ones away
    with pytest.raises(Unauthorized):
        take(credentials, code)


def test_an_invite_for_a_name_that_was_given_meanwhile_is_not_spent_and_dies_with_it(
    credentials: Credentials, register: Register
) -> None:
    guest = take(credentials, register.invite("web1", MEMBER, DAY, "boss").code)
    register.add("Web1", MEMBER, "boss")
    with pytest.raises(CredentialExists):
        register.join(guest.name)
    assert [invite["name"] for invite in register.listing()["invites"]] == ["web1"]
    register.revoke("Web1", "boss")
    with pytest.raises(Unauthorized):
        register.join(guest.name)


def test_an_invite_that_was_taken_back_joins_no_more(
    credentials: Credentials, register: Register
) -> None:
    guest = take(credentials, register.invite("web1", MEMBER, DAY, "boss").code)
    register.revoke("web1", "boss")
    with pytest.raises(Unauthorized):
        register.join(guest.name)


def test_of_many_who_join_at_once_one_does(credentials: Credentials, register: Register) -> None:
    guest = take(credentials, register.invite("web1", MEMBER, DAY, "boss").code)
    results: list[object] = []

    def attempt() -> None:
        try:
            results.append(
                Register(
                    Credentials(credentials.path, clock=credentials.clock), lambda *c: None
                ).join(guest.name)
            )
        except BusError as error:
            results.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(result).__name__ for result in results) == ["Granted"] + ["InviteSpent"] * 15
    assert credentials.path.read_text().count("\nweb1:") == 1


def test_changes_at_once_lose_none(credentials: Credentials) -> None:
    def add(number: int) -> None:
        Register(Credentials(credentials.path), lambda *change: None).add(
            f"web{number}", MEMBER, "boss"
        )

    threads = [threading.Thread(target=add, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(credentials.users()) == {"claude", "boss", *(f"web{number}" for number in range(24))}


# -- threads, and two starts at once -------------------------------------------------------------


def rotate_with_overlap(register: Register) -> None:
    register.rotate("web1", DAY, "boss")


def rotate_without(register: Register) -> None:
    register.rotate("web1", 0, "boss")


def revoke(register: Register) -> None:
    register.revoke("web1", "boss")


def give_anew(register: Register) -> None:
    register.revoke("web1", "boss")
    register.add("web1", ADMIN, "boss")


@pytest.mark.parametrize("change", [rotate_with_overlap, rotate_without, revoke, give_anew])
def test_a_change_while_a_secret_is_checked_is_not_forgotten(
    credentials: Credentials,
    register: Register,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Register], None],
) -> None:
    """One thread has read the file, and compares; another changes the file, and reads it, before
    the first remembers.
    """
    from bus.credentials import reading

    old = register.add("web1", MEMBER, "boss").secret
    real, changed = reading.matches, []

    def slow(secret: str, known: bytes) -> bool:
        if not changed:
            changed.append(True)
            other = threading.Thread(target=lambda: (change(register), credentials.users()))
            other.start()
            other.join()
        return real(secret, known)

    monkeypatch.setattr(reading, "matches", slow)
    assert caller(credentials, "web1", old) == Caller(
        "web1", MEMBER
    )  # it was right when it was read
    clock.now += DAY if change is rotate_with_overlap else 0
    with pytest.raises(Unauthorized):
        caller(credentials, "web1", old)


def test_an_old_secret_is_not_taken_for_the_new_one_in_between(
    credentials: Credentials, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines and their digests are of one file: else the second of the one is taken for the first of
    the other.
    """
    from bus.credentials import reading

    old = register.add("web1", MEMBER, "boss").secret
    register.rotate("web1", DAY, "boss")
    real, changed = reading.matches, []

    def slow(secret: str, known: bytes) -> bool:
        if not changed:
            changed.append(True)
            register.revoke("web1", "boss")
            register.add("web1", MEMBER, "boss")
            credentials.users()
        return real(secret, known)

    monkeypatch.setattr(reading, "matches", slow)
    assert not caller(credentials, "web1", old).is_current


def started(config: Config) -> threading.Thread:
    """A first start in another thread, which is running."""
    thread = threading.Thread(target=first_start.prepare, args=(config, {}))
    thread.start()
    return thread


def check_files(config: Config) -> None:
    """Each file to be sourced has the secret that counts."""
    for name in ("claude-bus.env", "admin.env"):
        known = dotenv_values(config.data_dir / name)
        assert Credentials(config.credentials_file).knows(
            known["BUS_USER"] or "", known["BUS_PASS"] or ""
        ), name


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as somebody waits for the lock."""
    event, is_ours = threading.Event(), file._is_ours

    def seen(fd: int) -> bool:
        got = is_ours(fd)
        if not got:
            event.set()
        return got

    monkeypatch.setattr(file, "_is_ours", seen)
    return event


@pytest.mark.parametrize("point", ["claude-bus.env", "admin.env"])
def test_a_first_start_in_the_middle_of_another_leaves_the_secrets_that_count(
    config: Config, monkeypatch: pytest.MonkeyPatch, waits: threading.Event, point: str
) -> None:
    write_env, others, is_first = first_start._write_env, [], threading.Lock()

    def write(path: Path, *given: Any) -> Path:
        written = write_env(path, *given)
        if path.name == point and is_first.acquire(blocking=False):
            others.append(started(config))
            while (
                others[0].is_alive() and not waits.is_set()
            ):  # it comes to its end, or to the lock
                others[0].join(0.001)
        return written

    monkeypatch.setattr(first_start, "_write_env", write)
    first_start.prepare(config, {})
    others[0].join()
    check_files(config)


def test_two_first_starts_that_both_find_nothing_leave_the_secrets_that_count(
    config: Config, monkeypatch: pytest.MonkeyPatch, waits: threading.Event
) -> None:
    stopped, write_env = threading.Event(), first_start._write_env

    def secret() -> str:
        if threading.current_thread() is not threading.main_thread():
            stopped.set()  # it has found no credential, and has made none
            assert waits.wait(20)
        return new_secret()

    def write(path: Path, *given: Any) -> Path:
        if threading.current_thread() is threading.main_thread():
            waits.set()  # it came here without waiting; now the other goes on to its end
            other.join()
        return write_env(path, *given)

    monkeypatch.setattr(first_start, "new_secret", secret)
    monkeypatch.setattr(first_start, "_write_env", write)
    other = started(config)
    assert stopped.wait(20)
    first_start.prepare(config, {})
    other.join()
    check_files(config)


# -- guessing ------------------------------------------------------------------------------------


def refused(attempt: Callable[..., object], *given: object) -> BusError:
    with pytest.raises(BusError) as caught:
        attempt(*given)
    return caught.value


def test_wrong_invites_are_slowed_down_each_address_for_itself(
    credentials: Credentials, clock: Clock
) -> None:
    guesses = [refused(take, credentials, f"{number}.x", "192.0.2.1") for number in range(12)]
    assert [type(error) for error in guesses] == [Unauthorized] * 10 + [TooManyAttempts] * 2
    assert guesses[-1].retry_after_s == 6
    assert isinstance(refused(take, credentials, "1.x", "192.0.2.2"), Unauthorized)
    clock.now += 6
    assert isinstance(refused(take, credentials, "1.x", "192.0.2.1"), Unauthorized)
    assert isinstance(refused(take, credentials, "1.x", "192.0.2.1"), TooManyAttempts)


def test_a_right_code_has_to_wait_after_wrong_ones_for_it(
    credentials: Credentials, register: Register, clock: Clock
) -> None:
    code = register.invite("web1", MEMBER, DAY, "boss").code
    for _ in range(10):
        assert isinstance(refused(take, credentials, code[:-1]), Unauthorized)
    assert isinstance(refused(take, credentials, code), TooManyAttempts)
    clock.now -= 5  # a clock that was set back
    assert isinstance(refused(take, credentials, code), TooManyAttempts)
    clock.now += 11
    assert take(credentials, code).role == INVITE


def test_who_guesses_does_not_keep_out_who_has_a_code(
    credentials: Credentials, register: Register
) -> None:
    for number in range(20):
        refused(take, credentials, f"{number}.x")
    assert take(credentials, register.invite("web1", MEMBER, DAY, "boss").code)


def test_guesses_from_everywhere_do_not_fill_the_memory(credentials: Credentials) -> None:
    for number in range(10_100):
        refused(take, credentials, "1.x", f"10.0.{number // 250}.{number % 250}")
    assert len(credentials._attempts._buckets) <= 10_001


def test_what_a_wrong_secret_costs_does_not_tell_whether_the_user_exists(
    credentials: Credentials, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bus.credentials import reading

    register.add("web1", MEMBER, "boss")
    register.rotate("web1", DAY, "boss")
    compared: list[str] = []
    monkeypatch.setattr(reading, "matches", lambda secret, known: bool(compared.append(secret)))
    for user in ("boss", "web1", "nobody", "invite~1"):
        compared.clear()
        assert (
            refused(caller, credentials, user, "wrong").message
            == "The user name or password is wrong."
        )
        assert len(compared) == 2


def test_few_spellings_of_a_credential_are_kept(credentials: Credentials) -> None:
    """Base64 may stand behind any number of spaces: each is a header of its own, and all
    are good.
    """
    credentials.add("web1", "a secret")
    scheme, _, encoded = basic("web1", "a secret").partition(" ")
    tracemalloc.start()
    try:
        for number in range(12_000):
            assert credentials.caller_of(scheme + " " * (1 + number) + encoded).name == "web1"
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 5_000_000

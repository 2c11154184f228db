"""Changes at the same time, in threads and by two first starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from bus.config import Config
from bus.credentials import Credentials, Register, file, new_secret
from bus.errors import Unauthorized
from bus.model.caller import ADMIN, MEMBER, Caller
from bus.server import first_start
from tests.credentials.conftest import DAY, Clock, caller, revoke


def rotate_with_overlap(register: Register) -> None:
    register.rotate("web1", DAY, "boss")


def rotate_without(register: Register) -> None:
    register.rotate("web1", 0, "boss")


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

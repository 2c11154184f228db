"""Who guesses is slowed down, and learns nothing."""

from __future__ import annotations

import tracemalloc

import pytest

from bus.credentials import Credentials, Register
from bus.errors import (
    TooManyAttempts,
    Unauthorized,
)
from bus.model.caller import INVITE, MEMBER
from tests.conftest import basic
from tests.credentials.conftest import DAY, Clock, caller, refused, take


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

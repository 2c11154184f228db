"""Invites make one credential each."""

from __future__ import annotations

import threading

import pytest

from bus.credentials import Credentials, Register
from bus.errors import (
    BusError,
    CredentialExists,
    InviteSpent,
    Unauthorized,
)
from bus.model.caller import ADMIN, INVITE, MEMBER, Caller
from tests.credentials.conftest import DAY, Clock, caller, refused, take


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

"""A credential file with a clock of its own, and the ways to come in by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.credentials import Credentials, Register
from bus.errors import BusError
from bus.model.caller import ADMIN, Caller
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


def revoke(register: Register) -> None:
    register.revoke("web1", "boss")


def refused(attempt: Callable[..., object], *given: object) -> BusError:
    with pytest.raises(BusError) as caught:
        attempt(*given)
    return caught.value

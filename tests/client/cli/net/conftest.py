"""The command line against a stand-in hub that answers as docs/net.md says."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import busclient._cli
import busclient._http.calls
from busclient import Bus
from tests.client.conftest import Ran
from tests.client.doors import URL, Door, transport_by
from tests.client.stubnet import StubNet

Cli = Callable[..., Ran]


@pytest.fixture
def net() -> StubNet:
    return StubNet()


@pytest.fixture
def door(net: StubNet, door_to: Callable[[Any], Door]) -> Door:
    return door_to(net)


@pytest.fixture
def cli(
    home: Path,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    pauses: list[float],
) -> Cli:
    """The `bus` command as web1; what it writes is told with other bytes as surrogates."""
    for name, value in {"BUS_URL": URL, "BUS_USER": "web1", "BUS_PASS": "pw"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        busclient._http.calls,
        "transport_for",
        lambda settings, *, light: transport_by(door, settings),
    )
    monkeypatch.setattr(
        Bus.__init__,
        "__kwdefaults__",
        {**(Bus.__init__.__kwdefaults__ or {}), "sleep": pauses.append},
    )

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = busclient._cli.run(list(arguments))
        said = capsysbinary.readouterr()
        return Ran(
            code,
            said.out.decode(errors="surrogateescape"),
            said.err.decode(errors="surrogateescape"),
        )

    return run

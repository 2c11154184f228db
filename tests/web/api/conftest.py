"""What the tests of the routes share."""

from __future__ import annotations

import pytest

from bus.system import hurry


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer of a hook is late because the machine that runs the tests is slow."""
    monkeypatch.setattr(hurry, "now", lambda: 0.0)

"""Opens logs on one folder, as several processes would, and closes them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.log.jsonl.engine import JsonlLog
from tests.log.faulty import FaultyDisk

OpenLog = Callable[..., JsonlLog]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def open_log(folder: Path) -> Iterator[OpenLog]:
    """`open_log(disk=…, clock=…)`: one more log on `folder`, with short waits and no real syncs."""
    opened = []

    def open_one(**settings: Any) -> JsonlLog:
        log = JsonlLog(
            folder,
            **{"lock_timeout_s": 0.3, "disk": FaultyDisk(), **settings},
        )
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        log.close()

"""Opens logs with their indexes on one folder, and closes them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.index.database import Index
from bus.log.jsonl.engine import JsonlLog
from tests.index.answers import opened

OpenBoth = Callable[[], tuple[JsonlLog, Index]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_both(folder: Path) -> Iterator[OpenBoth]:
    """`open_both()`: one more log and index on `folder`."""
    made: list[tuple[JsonlLog, Index]] = []

    def open_pair() -> tuple[JsonlLog, Index]:
        made.append(opened(folder))
        return made[-1]

    yield open_pair
    for log, index in made:
        index.close()
        log.close()

"""What calls gave is kept for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bus.log.outputs import Results

KEY, OTHER = "0" * 26, "1" * 26


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "calls", keep_s=3600)


def test_what_is_kept_is_given_again(results: Results, tmp_path: Path) -> None:
    assert results.get(KEY) is None
    results.put(KEY, {"stdout": "grüße\0"})
    assert results.get(KEY) == {"stdout": "grüße\0"}
    assert [path.name for path in (tmp_path / "calls").iterdir()] == [f"{KEY}.json"]
    assert (tmp_path / "calls" / f"{KEY}.json").stat().st_mode & 0o007 == 0


def test_old_ones_go(results: Results, tmp_path: Path) -> None:
    assert results.prune() == 0
    results.put(KEY, {})
    results.put(OTHER, {})
    old = time.time() - 3601
    os.utime(tmp_path / "calls" / f"{KEY}.json", (old, old))
    assert results.prune() == 1
    assert (results.get(KEY), results.get(OTHER)) == (None, {})


def test_half_a_file_is_none(results: Results, tmp_path: Path) -> None:
    results.put(KEY, {"stdout": "x"})
    (tmp_path / "calls" / f"{KEY}.json").write_text('{"stdo')
    assert results.get(KEY) is None


@pytest.mark.parametrize("key", ["", "../x", "0" * 25 + "/", "0" * 27, "é" * 26])
def test_what_is_no_id_is_no_file(results: Results, key: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        results.get(key)


def test_of_too_much_the_oldest_go(tmp_path: Path) -> None:
    results = Results(tmp_path / "calls", keep_s=3600, keep_bytes=2_500)
    for number in range(4):
        assert not results.is_growing() or number
        key = f"{number:026}"
        results.put(key, {"stdout": "x" * 1_000})
        os.utime(tmp_path / "calls" / f"{key}.json", (time.time() - 100 + number,) * 2)
    assert results.is_growing()
    assert results.prune() == 2
    assert [results.get(f"{number:026}") is not None for number in range(4)] == [
        False,
        False,
        True,
        True,
    ]

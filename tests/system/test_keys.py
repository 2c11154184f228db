"""Secret keys in files: made once, whoever comes first."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bus.system.keys import key_in


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: key_in(path), range(64)))
    assert keys == {path.read_bytes()}
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["a.key"]


def test_what_is_no_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(b"short")
    key = key_in(path)
    assert len(key) == 32
    assert key_in(path) == key

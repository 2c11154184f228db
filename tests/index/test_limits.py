"""A question to the index holds nobody up, and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bus.errors import TooCostly
from bus.index import limits
from bus.index.database import Index
from bus.log.memory import MemoryLog
from bus.system.scheduler import Turns
from tests.log.folder import draft, drafts

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
LONG = (
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT"
    " max(x) FROM n"
)
COUNT = "SELECT count(*) FROM messages"


def asks(sql: str) -> Callable[[sqlite3.Connection], int]:
    return lambda db: int(db.execute(sql).fetchone()[0])


class Beside(Turns):
    """Does something of its own before each job that runs beside the requests."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def block(self, job: Callable[[], object]) -> None:
        self.meanwhile()
        job()


def test_a_question_without_an_end_is_stopped_and_the_index_is_as_good_as_before(
    tmp_path: Path,
) -> None:
    log = MemoryLog()
    index = Index(tmp_path / "index.db", log, query_max_s=0.02)
    log.append([draft("a")])
    inode = index.path.stat().st_ino if index.ask(asks(COUNT)) == 1 else 0
    for ask in (lambda: index.ask(asks(ENDLESS)), lambda: read(index, ENDLESS)):
        with pytest.raises(TooCostly, match="stopped after 20 ms"):
            ask()
    log.append([draft("b")])
    assert index.ask(asks(COUNT)) == read(index, COUNT) == 2
    assert index.path.stat().st_ino == inode, "it was not taken for damaged"
    index.close()


def read(index: Index, sql: str) -> int:
    with index.reading() as db:
        return asks(sql)(db)


def test_a_long_question_is_answered_beside_the_others(tmp_path: Path) -> None:
    log, turns, seen = MemoryLog(), Beside(), []
    index = Index(tmp_path / "index.db", log, turns, query_max_s=30)
    log.append([draft("a")])

    def meanwhile() -> None:
        log.append([draft("b")])
        seen.append(index.ask(asks(COUNT)))

    turns.meanwhile = meanwhile
    assert index.ask(asks(LONG)) == 300_000
    assert seen == [2], "posts are applied and read while it runs"
    assert index.rebuild() == 2
    assert index.ask(asks(LONG)) == 300_000, "the new file is opened"
    assert seen == [2, 3]
    index.close()


def test_after_a_long_question_the_next_one_waits_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, now, slept = MemoryLog(), [1_000.0], []
    turns = Beside()
    index = Index(tmp_path / "index.db", log, turns, query_max_s=30)
    log.append([draft("a")])

    def take_three_seconds() -> None:
        now[0] += 3

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    turns.meanwhile = take_three_seconds
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    assert [index.ask(asks(COUNT), is_long=True) for _ in range(3)] == [1, 1, 1]
    assert slept == [0, 3, 3]
    index.close()


def test_a_question_that_is_stopped_leaves_no_line_in_the_log_of_the_server(tmp_path: Path) -> None:
    """A job that fails in a thread of gevent's is printed there, twenty lines for each."""
    log, failed = MemoryLog(), []

    class Printing(Turns):
        def block(self, job: Callable[[], object]) -> None:
            try:
                job()
            except Exception as error:
                failed.append(error)
                raise

    index = Index(tmp_path / "index.db", log, Printing(), query_max_s=0.02)
    log.append([draft("a")])
    with pytest.raises(TooCostly):
        index.ask(asks(ENDLESS))
    assert failed == []
    index.close()


def test_catching_up_is_never_stopped(tmp_path: Path) -> None:
    log = MemoryLog()
    index = Index(tmp_path / "index.db", log, query_max_s=0.001)
    log.append(
        drafts([draft(f"word {number}", tags=["a", "b"], to=["x", "y"]) for number in range(4_000)])
    )
    assert index.ask(asks(COUNT)) == 4_000
    assert index.rebuild() == 4_000
    index.close()

"""An index that may be wrong is noticed and rebuilt from the log, with the same answers."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.config import Config
from bus.errors import Rebuilding
from bus.index import building
from bus.index.database import Index
from bus.log.jsonl.engine import JsonlLog
from tests.conftest import Caller
from tests.index.answers import answers, fill, opened
from tests.log.folder import draft, flip, lines_of, reboot

OpenBoth = Callable[[], tuple[JsonlLog, Index]]


def write_over(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(5_000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1_000)


def spoil_the_first_page(path: Path) -> None:
    write_over(path, 0, b"\xff" * 100)


def make_it_of_another_time(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {building.SCHEMA - 1}")
    db.close()


def take_a_table_away(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE place")
    db.close()


HARM = [
    delete,
    truncate,
    empty,
    fill_with_garbage,
    spoil_the_first_page,
    make_it_of_another_time,
    take_a_table_away,
]


def ask_again(index: Index) -> dict[str, object]:
    """The answers; a caller is told once to come again when the index is found damaged."""
    try:
        return answers(index)
    except Rebuilding:
        return answers(index)


@pytest.mark.parametrize("harm", HARM)
def test_a_harmed_index_is_made_anew_at_a_start(
    folder: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    log, index = opened(folder)
    fill(log)
    before = answers(index)
    index.close()
    for ending in ("-wal", "-shm"):
        Path(f"{index.path}{ending}").unlink(missing_ok=True)
    harm(index.path)
    with caplog.at_level(logging.WARNING):
        anew = Index(index.path, log)
    assert answers(anew) == before
    assert harm is delete or "rebuilding it" in caplog.text, "it is said"
    anew.close()
    log.close()


@pytest.mark.parametrize("harm", [delete, fill_with_garbage, spoil_the_first_page, truncate, empty])
def test_a_harmed_index_is_made_anew_under_a_running_hub(
    folder: Path, open_both: OpenBoth, harm: Callable[[Path], None]
) -> None:
    log, index = open_both()
    fill(log)
    before = answers(index)
    index.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    harm(index.path)
    assert ask_again(index) == before
    log.append([draft("after", to="carol")])
    assert "after" in str(ask_again(index)["unread by carol"])


def test_an_index_that_knows_more_than_the_log_is_made_anew(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A power cut took the last records, or somebody put an older log back."""
    log, index = opened(folder)
    fill(log)
    before = answers(index)
    shutil.copyfile(folder / "bus.jsonl", tmp_path / "older")
    log.append([draft("taken back", to="carol")])
    assert answers(index) != before
    index.close()
    log.close()
    shutil.copyfile(tmp_path / "older", folder / "bus.jsonl")
    reboot(folder)
    log, index = opened(folder)
    assert answers(index) == before
    assert "which the log does not hold" in caplog.text
    index.close()
    log.close()


def test_an_index_of_another_log_of_the_same_length_is_made_anew(
    folder: Path, tmp_path: Path
) -> None:
    for place, body in ((folder, "mine"), (tmp_path / "other", "hers")):
        log, index = opened(place)
        log.append([draft(body)])
        index.catch_up()
        index.close()
        log.close()
    shutil.copyfile(tmp_path / "other" / "index.db", folder / "index.db")
    log, index = opened(folder)
    assert "mine" in str(answers(index)["to bob"])
    index.close()
    log.close()


def test_a_good_index_is_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, index = opened(folder)
    fill(log)
    answers(index)
    index.close()
    log.close()
    inode = index.path.stat().st_ino
    reboot(folder)
    log, index = opened(folder)
    answers(index)
    assert index.path.stat().st_ino == inode and caplog.text == ""
    index.close()
    log.close()


def test_a_rebuild_shows_its_progress_and_gives_the_same_answers(open_both: OpenBoth) -> None:
    log, index = open_both()
    fill(log)
    before = answers(index)
    told: list[tuple[int, int]] = []
    assert index.rebuild(lambda done, total: told.append((done, total))) == log.position().seq
    assert told[-1] == (log.position().seq,) * 2
    assert answers(index) == before


@pytest.mark.parametrize("number", [1, 4, 9])
def test_damaged_lines_are_counted_and_everything_else_is_answered(
    config: Config, bus: Caller, number: int
) -> None:
    for turn in range(9):
        bus.say(f"m{turn + 1}")
    active = config.data_dir / "bus.jsonl"
    lines = lines_of(active)
    flip(active, sum(map(len, lines[: number - 1])) + len(lines[number - 1]) // 2)
    bus.hub.index.rebuild()
    health = bus.get("/health").json
    assert (health["count"], health["damaged_lines"], health["index"]) == (8, 1, "ready")
    assert bus.bodies("unread_by=bob") == [f"m{turn}" for turn in range(1, 10) if turn != number]
    bus.say("next")
    assert bus.bodies("unread_by=bob")[-1] == "next"


def test_a_log_that_ends_in_damage_does_not_hold_readers_up(open_both: OpenBoth) -> None:
    """The newline between the last two records is lost: the log counts two and gives one damaged
    line.
    """
    log, index = open_both()
    log.append([draft("a"), draft("b"), draft("c")])
    lines = lines_of(log.folder / "bus.jsonl")
    flip(log.folder / "bus.jsonl", len(lines[0]) + len(lines[1]) - 1)
    assert len(answers(index)["to bob"].messages) == 1
    log.append([draft("d")])
    assert [json.loads(text)["body"] for text in answers(index)["to bob"].messages] == ["a", "d"]


def test_a_line_that_comes_twice_is_no_obstacle(open_both: OpenBoth) -> None:
    log, index = open_both()
    log.append([draft("a"), draft("b")])
    first, _ = lines_of(log.folder / "bus.jsonl")
    with open(log.folder / "bus.jsonl", "ab") as file:
        file.write(first)
    log.append([draft("c")])
    assert [json.loads(text)["body"] for text in answers(index)["to bob"].messages] == [
        "a",
        "b",
        "c",
    ]

"""The one road from the log to the index, also when several processes walk it and when it is
blocked.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from bus.errors import Rebuilding
from bus.index import database
from bus.index.database import Index
from bus.log.jsonl.engine import JsonlLog
from bus.log.memory import MemoryLog
from bus.system.scheduler import Turns
from tests.conftest import Caller
from tests.index.answers import answers, fill
from tests.log.folder import ROOT, draft, drafts

OpenBoth = Callable[[], tuple[JsonlLog, Index]]

FOLLOW = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.index.answers import opened
from tests.log.folder import draft
log, index = opened(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(150):
    log.append([draft(f"{sys.argv[2]} {number}", key=f"{sys.argv[2]} {number}")])
    index.catch_up()
with index.reading() as db:
    print(db.execute("SELECT count(*) FROM messages WHERE seq <= 300").fetchone()[0])
"""


def test_two_processes_that_post_and_catch_up_at_once_apply_every_record_once(
    folder: Path, open_both: OpenBoth
) -> None:
    _, index = open_both()
    followers = [
        Popen([sys.executable, "-c", FOLLOW, folder, name], cwd=ROOT, stdout=PIPE, text=True)
        for name in "ab"
    ]
    counted = [follower.communicate(timeout=60)[0].split() for follower in followers]
    assert [follower.returncode for follower in followers] == [0, 0]
    assert max(int(words[-1]) for words in counted) == 300
    said = answers(index)
    assert said["count"] == (300, 0)
    assert said["unread count of bob"] == 100, "counted up to a hundred"


def test_one_process_answers_with_what_another_has_applied(open_both: OpenBoth) -> None:
    log, index = open_both()
    _, other = open_both()
    fill(log)
    assert answers(index) == answers(other)
    assert index.lag() == other.lag() == 0


def test_a_process_that_holds_the_index_makes_readers_answer_as_of_before(
    open_both: OpenBoth,
) -> None:
    log, index = open_both()
    fill(log)
    before = answers(index)
    log.append([draft("later", to="carol")])
    with closing(sqlite3.connect(index.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not index.catch_up(wait=False)
        with index.as_is() as db:
            assert db.execute("SELECT count(*) FROM messages").fetchone()[0] == before["count"][0]
        assert index.lag() == 1
        other.execute("ROLLBACK")
    assert answers(index)["count"][0] == before["count"][0] + 1


def test_a_full_disk_does_not_stop_reads(open_both: OpenBoth) -> None:
    log, index = open_both()
    fill(log)
    before = answers(index)
    db = index.connection()
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    log.append([draft("x" * 20_000) for _ in range(5)])
    assert answers(index) == before
    assert index.lag() == 5
    db.execute("PRAGMA max_page_count = 1000000")
    assert answers(index)["count"][0] == before["count"][0] + 5
    assert index.lag() == 0


def test_a_reader_killed_while_it_applies_leaves_the_index_usable(
    folder: Path, open_both: OpenBoth
) -> None:
    log, index = open_both()
    fill(log)
    script = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, ".")
from bus.index import projections
from tests.index.answers import opened
apply = projections.Applier.apply
def die(self, record):
    apply(self, record)
    if record["seq"] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
projections.Applier.apply = die
log, index = opened(Path(sys.argv[1]))
index.catch_up()
"""
    with Popen([sys.executable, "-c", script, folder], cwd=ROOT) as killed:
        assert killed.wait(60) == -9
    assert answers(index)["count"] == (15, 0)


class Later(Turns):
    """Keeps what should run beside the requests until it is told to run it."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []

    def beside(self, job: Callable[[], object]) -> None:
        self.jobs.append(job)


def test_a_long_rebuild_refuses_callers_until_it_is_done(
    open_both: OpenBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, index = open_both()
    fill(log)
    before = answers(index)
    index.close()
    index.path.unlink()
    monkeypatch.setattr(database, "_FAR_BEHIND", 3)
    turns = Later()
    anew = Index(index.path, log, turns)
    with pytest.raises(Rebuilding, match="rebuilt"):
        answers(anew)
    turns.jobs[0]()
    assert answers(anew) == before
    anew.close()


def test_every_post_is_found_by_the_next_read(bus: Caller) -> None:
    for number in range(20):
        bus.say(f"m{number}")
        assert bus.bodies("unread_by=bob&limit=500")[-1] == f"m{number}"


def test_heavy_records_are_applied_in_steps_with_turns_for_others_in_between(
    tmp_path: Path,
) -> None:
    log, seen = MemoryLog(), []

    class Watched(Turns):
        def one_round(self) -> None:
            with index.as_is() as db:  # others are answered meanwhile, as of the last step
                seen.append(db.execute("SELECT seq FROM place").fetchone()[0])

    index = Index(tmp_path / "index.db", log, Watched())
    log.append(
        drafts(
            [draft(" ".join(f"{number}w{word}" for word in range(8_000))) for number in range(8)]
        )
    )
    log.append(drafts([draft("x", to=[f"n{name}" for name in range(64)]) for _ in range(200)]))
    log.append(
        drafts([{"kind": "ack", "reader": "bob", "seqs": list(range(1, 200))} for _ in range(8)])
    )
    assert index.catch_up()
    assert len(seen) >= 12
    assert seen == sorted(set(seen))
    assert index.lag() == 0
    index.close()

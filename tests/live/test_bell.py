"""How processes on one data folder wake each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bus.live.bell import Bell
from tests.conftest import ROOT, wait_until
from tests.fleet import a_fleet

LISTENS = """
import sys, time
from pathlib import Path
from bus.live.bell import Bell
with Bell(Path(sys.argv[1])).listening():
    time.sleep(60)
"""


def test_a_ring_wakes_whoever_listens_in_another_process(tmp_path: Path) -> None:
    one, other = Bell(tmp_path), Bell(tmp_path)
    one.ring()  # nobody there
    with other.listening() as ear, one.listening() as own:
        one.ring()
        assert ear.wait(20)
        assert not own.wait(0)
        other.ring()
        assert own.wait(20)
    one.ring()
    assert list((tmp_path / "bells").iterdir()) == []


def test_rings_that_nobody_hears_hold_nobody_up(tmp_path: Path) -> None:
    one, other = Bell(tmp_path), Bell(tmp_path)
    with other.listening() as ear:
        for _ in range(1_000):
            one.ring()
        assert ear.wait(20)
        assert not ear.wait(0)  # they are one
        one.ring()


def test_a_listener_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    bell, bells = Bell(tmp_path), tmp_path / "bells"
    process = subprocess.Popen([sys.executable, "-c", LISTENS, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: len(list(bells.iterdir())) == 1)
    process.kill()
    process.wait()
    wait_until(lambda: bell.ring() or not list(bells.iterdir()))


def test_the_service_that_runs_commands_rings_for_what_it_appends(tmp_path: Path) -> None:
    """The end of a detached command, and the message about it: who waits hears at once, and not at
    the next look.
    """
    with a_fleet(tmp_path) as fleet:
        fleet.permit()
        os.mkfifo(fleet.folder / "box" / "go")
        fleet.web1.exec("read x <go", detach=True)
        with Bell(fleet.config.data_dir / "run").listening() as ear:
            while ear.wait(0):
                pass
            (fleet.folder / "box" / "go").write_text("\n")
            wait_until(lambda: ear.wait(20) and fleet.records("message"))


def test_a_long_path_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    one, other = Bell(folder), Bell(folder)
    with other.listening() as ear:
        one.ring()
        assert ear.wait(20)

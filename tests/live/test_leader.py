"""One process leads; the next one does when it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from bus.live.leader import Leader


def _lead_until_killed(path: Path, told: multiprocessing.Queue[bool]) -> None:
    leader = Leader(path)
    told.put(leader.lead())
    signal.pause()


def test_one_process_leads_and_another_after_it_was_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[bool] = context.Queue()
    other = context.Process(target=_lead_until_killed, args=(tmp_path / "leader.lock", told))
    other.start()
    mine = Leader(tmp_path / "leader.lock")
    assert told.get(timeout=20) is True
    assert mine.lead() is False
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join(20)
    assert mine.lead() is True


def test_who_leaves_lets_another_lead(tmp_path: Path) -> None:
    one, two = Leader(tmp_path / "leader.lock"), Leader(tmp_path / "leader.lock")
    assert (one.lead(), one.lead(), two.lead()) == (True, True, False)
    one.leave()
    assert (two.lead(), one.lead()) == (True, False)

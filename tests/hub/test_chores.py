"""The leader does its work; a chore that fails keeps no other from being done."""

from __future__ import annotations

from pathlib import Path

from bus.hub.chores import Chores
from bus.live.leader import Leader


def test_a_chore_that_fails_keeps_no_other_from_being_done(tmp_path: Path) -> None:
    chores, done = Chores(Leader(tmp_path / "lock")), []

    def fail() -> None:
        done.append("failed")
        raise ValueError("a defect")

    chores.add(fail)
    chores.add(lambda: done.append("other"))
    assert chores.do() and chores.do()
    assert done == ["failed", "other"] * 2


def test_only_the_leader_does_them(tmp_path: Path) -> None:
    one, two = (Chores(Leader(tmp_path / "lock")) for _ in range(2))
    done: list[str] = []
    two.add(lambda: done.append("two"))
    assert one.do() and not two.do()
    one.leave()
    assert two.do()
    assert done == ["two"]

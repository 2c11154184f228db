"""How several workers (pytest-xdist) share the tests between them.

A whole run takes a worker for each core; a run of named files takes none, because it is over before
they have started. `-n 0` or `-p no:xdist` is a run in one process, `-n 4` one with four workers.

Tests that share something costly, or that nothing may run beside, have the mark `xdist_group("its
name")`: one worker runs them all, and makes what they share once. Others are given out by the
dozen, from one file each time, so that what a file shares is made about once. The longest groups
come first, so that no worker has a long one left when the others are through.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

try:
    from xdist.scheduler import LoadGroupScheduling
except ImportError:  # without pytest-xdist, or with -p no:xdist, there is one process
    LoadGroupScheduling = object

MOST_WORKERS = 8
DOZEN = 12


class ByTheDozen(LoadGroupScheduling):  # type: ignore[misc]
    """Gives out what has a group by its group, and everything else by the dozen."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._seen: Counter[str] = Counter()
        self._scopes: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        if nodeid not in self._scopes:
            scope: str = super()._split_scope(nodeid)
            if scope == nodeid:
                file = nodeid.partition("::")[0]
                scope = f"{file}, dozen {self._seen[file] // DOZEN}"
                self._seen[file] += 1
            self._scopes[nodeid] = scope
        return self._scopes[nodeid]


@pytest.hookimpl(tryfirst=True)  # before the plugin reads what is asked for
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Ask for workers where the command line says nothing of them."""
    option = config.option
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):
        return
    if option.numprocesses is None:
        option.numprocesses = "auto"
    if option.numprocesses != 0 and option.dist == "no":
        option.dist, option.loadscopereorder = "loadgroup", False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return ByTheDozen(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers `-n auto` is: none for named files, or on one core."""
    if all(Path(name.partition("::")[0]).is_file() for name in config.args):
        return 0
    cores = len(os.sched_getaffinity(0))
    return min(cores, MOST_WORKERS) if cores > 1 else 0


@pytest.hookimpl(tryfirst=True)  # before the groups become part of the names
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the groups first and the fast tests last, where there are workers.

    Raises UsageError if tests share an id: the scheduler keeps its work by id, so it would run one
    of them only.
    """
    ids = Counter(item.nodeid for item in items)
    if shared := sorted(id for id, count in ids.items() if count > 1):
        raise pytest.UsageError(f"Several tests have one id: {', '.join(shared[:5])}")
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    if group is not None:
        return 0 if group.args == ("server",) else 1  # the longest of them
    return 2 if item.get_closest_marker("slow") else 3

"""The count of what a credential holds is one for all processes, and a process that is gone leaves nothing in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus.errors import OverQuota
from bus.quotas import Quotas
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from bus.quotas import Quotas
Quotas(Path(sys.argv[1]), 2).enter("web1")
print("held", flush=True)
sys.stdin.read()
"""


def test_processes_count_together_and_a_killed_one_no_more(tmp_path: Path) -> None:
    quotas = Quotas(tmp_path / "quotas", 2)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "quotas")], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        mine = quotas.enter("web1")
        assert quotas.used("web1") == 2
        with pytest.raises(OverQuota):
            quotas.enter("web1")
        quotas.leave(quotas.enter("db1"))
        other.kill()
    assert quotas.used("web1") == 1
    quotas.leave(quotas.enter("web1"))
    quotas.leave(mine)
    assert (quotas.used("web1"), quotas.used("db1")) == (0, 0)

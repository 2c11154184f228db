"""A few rounds of each fault on real processes; `scripts/torture` runs the same ones by the
hundred.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.check import Tally
from tests.faults.rounds import ROUNDS, Round, cut_the_power

pytestmark = pytest.mark.slow

TIMES = {"power": 3, "kill": 2}


@pytest.mark.parametrize(
    ("fault", "round_of", "number"),
    [
        pytest.param(fault, one, number, id=f"{one.__name__}-{number}")
        for fault, rounds in ROUNDS.items()
        for one in rounds
        for number in range(TIMES.get(fault, 1))
    ],
)
def test_no_acknowledged_message_is_lost_or_doubled(
    fault: str, round_of: Round, number: int, tmp_path: Path
) -> None:
    tally = Tally(fault, rounds=1)
    round_of(random.Random(f"{fault}:{number}"), tmp_path, tally)
    assert tally.is_good()
    assert tally.injected > 0 and tally.acknowledged > 20


def test_without_fsync_a_power_cut_does_lose_messages(tmp_path: Path) -> None:
    """So the rounds above see a loss when there is one."""
    tally = Tally("power")
    cut_the_power(random.Random(1), tmp_path, tally, BUS_FSYNC="never")
    assert tally.lost > 20

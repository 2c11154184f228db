"""About how long a record takes to be put into the index, so that a few heavy ones make a step like
many light ones.
"""

from __future__ import annotations

from bus.model.filter import recipients
from bus.model.groups import is_topic
from bus.model.records import Fields

STEP_US = 20_000  # what is applied before others have a turn
# Measured on a laptop: a short message, a row of another table, a byte of words that no message had
# before, an acknowledgement.
_SUBSCRIBERS = 100  # rows that a topic stands for, as nobody knows here how many there are
_RECORD_US, _ROW_US, _BYTE_US, _ACK_US = 20, 4, 0.5, 60


def weight_us(record: Fields) -> float:
    """Microseconds, about, for a record or the draft of one."""
    if record["kind"] == "message":
        names = recipients(record)
        rows = 2 * len(names) + len(record.get("tags", ()))
        rows += _SUBSCRIBERS * sum(map(is_topic, names))
        return _RECORD_US + rows * _ROW_US + len(record["body"]) * _BYTE_US
    return _RECORD_US + len(record.get("seqs", ())) * _ACK_US

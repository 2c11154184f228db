"""From which seq on broadcasts are for a name: a machine's mail begins with its invite.

A row of the table `floors` is for the name itself or, where it ends in a slash, for all sessions of
that machine. A name without either gets every broadcast there ever was. `joining.py` writes the
rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

_FLOOR = (
    "coalesce((SELECT seq FROM floors WHERE name = {0}),"
    " (SELECT seq FROM floors WHERE name = substr({0}, 1, instr({0}, '/'))), 0)"
)


def floor(db: sqlite3.Connection, name: str) -> int:
    """Return the seq of the first broadcast that may be for this name; 0 where all are."""
    seq: int = db.execute(f"SELECT {_FLOOR.format('?1')}", (name,)).fetchone()[0]
    return seq


def not_for(db: sqlite3.Connection, seq: int, names: Iterable[str]) -> set[str]:
    """Return those of these names that a broadcast with this seq was never for."""
    rows = db.execute(
        f"SELECT value FROM json_each(?) WHERE {_FLOOR.format('value')} > ?",
        (json.dumps(list(names)), seq),
    )
    return {name for (name,) in rows}

"""Which mailboxes a reader has: its own, those of the roles that it holds, and its machine's where
that is asked for.

Each mailbox is acknowledged by itself, so that what one reader of it has done is done for all.
Broadcasts count in one of them only: in the machine's where it is among them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from bus.index import roles
from bus.model.records import EVERYBODY


class Mailboxes(NamedTuple):
    """`whole` is the name whose broadcasts count; of the names in `direct`, only mail to them."""

    whole: str
    direct: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.whole, *self.direct)

    def of(self, recipients: Collection[str], reader: str) -> list[str]:
        """Return those that a message to these recipients lies in; the reader's own, if none."""
        found = [name for name in self.names if name in recipients]
        if EVERYBODY in recipients and self.whole not in found:
            found.append(self.whole)
        return found or [reader]


def of_reader(db: sqlite3.Connection, reader: str, with_machine: bool = False) -> Mailboxes:
    """Return the mailboxes of a reader; `with_machine`, if it is a session, its machine's too."""
    machine = reader.partition("/")[0]
    held = roles.held_by(db, reader)
    if not with_machine or machine == reader:
        return Mailboxes(reader, tuple(held))
    return Mailboxes(machine, (reader, *held, *roles.held_by(db, machine)))

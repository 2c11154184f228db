"""The list of all projections. A noun that has tables adds a line here."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable

from bus.index.acks import Acks
from bus.index.actions import Actions
from bus.index.activity import Events
from bus.index.acts import Acts
from bus.index.agents import Agents
from bus.index.approvals import Approvals
from bus.index.asks import Asks
from bus.index.attachments import Attachments
from bus.index.briefs import Briefs
from bus.index.calls import Calls
from bus.index.credentials import Credentials
from bus.index.escalations import Escalations
from bus.index.expectations import Expectations
from bus.index.file_leases import FileLeases
from bus.index.messages import Messages
from bus.index.permissions import Permissions
from bus.index.place import Damage
from bus.index.projection import Batch, Projection
from bus.index.roles import Roles
from bus.index.search import Words
from bus.index.signatures import Signatures
from bus.index.stars import Stars
from bus.index.tallies import Tallies
from bus.index.topics import Topics
from bus.index.tracking import Tracking
from bus.index.unique_keys import UniqueKeys
from bus.index.webhooks import Webhooks
from bus.model.records import Position, Record

# In this order they see a record.
PROJECTIONS: tuple[type[Projection], ...] = (
    *(Damage, Acts, Messages, Words, UniqueKeys, Acks),
    *(Credentials, Events, Calls, Permissions, Approvals, Agents, Topics, Roles, Tracking),
    *(Asks, Webhooks, FileLeases, Briefs, Actions, Stars, Signatures, Tallies, Attachments),
    *(Expectations, Escalations),
)
SCHEMA_SQL = "\n".join(projection.schema for projection in PROJECTIONS)


class Applier:
    """Applies records in order within one transaction; `finish` writes what was held back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._batch = Batch(db)
        self._by_kind: dict[str, list[Callable[[Record], None]]] = defaultdict(list)
        for made in (projection(self._batch) for projection in PROJECTIONS):
            for kind in made.kinds:
                self._by_kind[kind].append(made.apply)

    def apply(self, record: Record) -> None:
        """Apply one record. A kind that no projection reads means nothing for queries."""
        for apply in self._by_kind.get(record["kind"], ()):
            apply(record)

    def finish(self, reached: Position) -> None:
        """Write everything, and that the log has been applied up to here."""
        self._batch.finish(reached)

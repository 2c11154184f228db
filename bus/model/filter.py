"""Which messages a reader asks for: the one form of a filter, for queries, long polls and streams.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bus.model.records import EVERYBODY, Record

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
MAX_PAGE_BYTES = (
    1024 * 1024
)  # of messages in one answer: 500 usual ones, or some that are as long as can be


@dataclass(frozen=True)
class Selection:
    """A filter over messages; None means any.

    `to` takes in broadcasts. `unread_by` is what that reader has neither acknowledged nor written
    itself. `after` and `before` are seqs, both exclusive. `newest` takes the last `limit` instead
    of the first; the result is oldest first all the same, unless `descending`.
    """

    to: str | None = None
    sender: str | None = None
    tag: str | None = None
    thread: str | None = None
    unread_by: str | None = None
    after: int | None = None
    before: int | None = None
    limit: int = DEFAULT_LIMIT
    newest: bool = False
    descending: bool = False
    expired: bool = False

    @property
    def kind(self) -> str:
        """The kind of record that is asked for."""
        return "message"

    @property
    def mailbox(self) -> str | None:
        """The one recipient whose messages and broadcasts are asked for."""
        return self.unread_by or self.to

    @property
    def is_plain(self) -> bool:
        """Whether it asks for every message that lives, but for its places."""
        return not (self.mailbox or self.sender or self.tag or self.thread or self.expired)

    def since(self, seq: int) -> Selection:
        """Return the same filter for what comes after `seq`, oldest first."""
        return replace(self, after=seq, newest=False, descending=False)

    def matches(self, record: Record) -> bool:
        """Return whether a new record may be among those asked for.

        Acknowledgements and expiry are not looked at.
        """
        names = recipients(record)
        return (
            all(
                name is None or name in names or EVERYBODY in names
                for name in (self.to, self.unread_by)
            )
            and (self.unread_by is None or record["from"] != self.unread_by)
            and (self.sender is None or record["from"] == self.sender)
            and (self.tag is None or self.tag in record.get("tags", ()))
            and (self.thread is None or self.thread in (record.get("thread"), record["id"]))
        )


def recipients(record: dict[str, Any]) -> list[str]:
    """Return the names in `to`, whether it is one or a list."""
    to = record["to"]
    return to if isinstance(to, list) else [to]

"""Which messages a reader asks for: GET /messages, GET /search and GET /stream. No I/O.

Each query is read into a `Selection`, the one form of a filter that pages, long polls and streams
share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

from bus.errors import BadField, MissingField
from bus.model.groups import is_group
from bus.model.kinds import (
    AGENT,
    REFERENCE_TEXT,
    TAG,
    THREAD,
    WAIT,
    ZERO_OR_ONE,
    Format,
    choice,
    whole,
)
from bus.model.messages import TO_ONE
from bus.model.records import EVERYBODY, Record
from bus.model.shape import Kind, Shape

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
# Bytes of messages in one answer: 500 of the usual size, or fewer long ones.
MAX_PAGE_BYTES = 1024 * 1024


class View(Protocol):
    """What a caller may see where mail is private; see `bus.index.privacy`."""

    def only_seen(self, db: Any, rows: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Yield those rows (seq, JSON) that it may see."""
        ...


@dataclass(frozen=True)
class Selection:
    """A filter over messages; None means any.

    `to` takes in broadcasts. `unread_by` is what that reader has neither acknowledged nor written
    itself, with `machine` its machine's mail too. `after` and `before` are seqs, both exclusive.
    `briefs` takes only those, `starred_by` what that reader has starred. `newest` takes the last
    `limit` instead of the first; the result is oldest first all the same, unless `descending`.
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
    machine: bool = False
    briefs: bool = False
    starred_by: str | None = None
    view: View | None = field(default=None, compare=False)

    @property
    def kind(self) -> str:
        """The kind of record that is asked for."""
        return "message"

    @property
    def mailbox(self) -> str | None:
        """The one recipient whose messages and broadcasts are asked for; None if there may be
        several.
        """
        return None if self.machine else self.unread_by or self.to

    @property
    def is_plain(self) -> bool:
        """Whether it asks for every message that lives, but for its places."""
        names = (self.to, self.unread_by, self.sender, self.starred_by)
        wanted = (self.tag, self.thread, self.expired, self.briefs, self.view)
        return not (any(names) or any(wanted))

    def seen_by(self, view: View | None) -> Selection:
        """Return the same filter, for what a caller may see."""
        return replace(self, view=view)

    def since(self, seq: int) -> Selection:
        """Return the same filter for what comes after `seq`, oldest first."""
        return replace(self, after=seq, newest=False, descending=False)

    def matches(self, record: Record) -> bool:
        """Return whether a new record may be among those asked for.

        Acknowledgements, expiry and who has subscribed to what are not looked at.
        """
        names = recipients(record)
        is_for_many = EVERYBODY in names or any(map(is_group, names))
        if self.machine and self.unread_by is not None:
            is_for_many = is_for_many or self.unread_by.partition("/")[0] in names
        return (
            all(name is None or name in names or is_for_many for name in (self.to, self.unread_by))
            and (self.unread_by is None or record["from"] != self.unread_by)
            and (self.sender is None or record["from"] == self.sender)
            and (not self.briefs or "brief" in record)
            and (self.tag is None or self.tag in record.get("tags", ()))
            and (self.thread is None or self.thread in (record.get("thread"), record["id"]))
        )


SeqOf = Callable[[str | int], int]
STARRED = "1: only what the reader has starred"
STARS_OF = "whose stars; left out: those of `unread_by`, else the caller's"


@dataclass(frozen=True, kw_only=True)
class _Filter(Shape):
    """The conditions that every query for messages has; None is no condition."""

    to: Annotated[str | None, TO_ONE, "this recipient, and broadcasts"] = None
    sender: Annotated[str | None, AGENT, "this sender"] = None
    tag: Annotated[str | None, TAG, "with this tag"] = None
    thread: Annotated[str | None, THREAD, "of this thread"] = None
    unread_by: Annotated[str | None, AGENT, "what this reader has not acknowledged"] = None
    since: Annotated[str | int | None, REFERENCE_TEXT, "after this id or seq"] = None
    expired: Annotated[int, ZERO_OR_ONE, "1: expired ones too"] = 0
    machine: Annotated[int, ZERO_OR_ONE, "1, of a session: its machine's mail too"] = 0

    def _conditions(self, seq_of: SeqOf) -> dict[str, Any]:
        return {
            "to": self.to,
            "sender": self.sender,
            "tag": self.tag,
            "thread": self.thread,
            "unread_by": self.unread_by,
            "after": None if self.since is None else seq_of(self.since),
            "expired": bool(self.expired),
            "machine": bool(self.machine),
        }


@dataclass(frozen=True, kw_only=True)
class _PageQuery(_Filter, Format):
    """A query that is answered with one page."""

    before: Annotated[str | int | None, REFERENCE_TEXT, "before this id or seq"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "at most so many"] = DEFAULT_LIMIT

    @property
    def is_descending(self) -> bool:
        """Whether the newest come first."""
        return False

    def selection(self, seq_of: SeqOf) -> Selection:
        """Return the filter; `seq_of` turns a reference into a seq, or raises NotFound."""
        is_open = self.since is None and self.unread_by is None
        return Selection(
            **self._conditions(seq_of),
            before=None if self.before is None else seq_of(self.before),
            limit=self.limit,
            newest=is_open and not self.is_descending,
            descending=self.is_descending,
        )


_ORDER = choice(("asc", "desc"), "One of asc (oldest first), desc.")


@dataclass(frozen=True, kw_only=True)
class MessageQuery(Format):
    """GET /messages/<ref>: who reads it, if the reference proves something of one."""

    reader: Annotated[
        str | None, AGENT, "who reads, for a reference such as 412.k7f3; left out: the caller"
    ] = None


@dataclass(frozen=True, kw_only=True)
class MessagesQuery(_PageQuery):
    """GET /messages: in which order, of which stars, and for how many seconds to wait for a first
    message.
    """

    order: Annotated[str, _ORDER, "asc: oldest first"] = "asc"
    wait: Annotated[float, WAIT, "seconds to wait for a message"] = 0.0
    starred: Annotated[int, ZERO_OR_ONE, STARRED] = 0
    reader: Annotated[str | None, AGENT, STARS_OF] = None
    peek: Annotated[int, ZERO_OR_ONE, "1: nothing counts as fetched, or as given"] = 0

    def __post_init__(self) -> None:
        if self.starred and self.wait:
            raise BadField(
                "`wait` waits for messages, and a star is none.",
                hint="Leave `wait` out, or `starred`.",
                field="wait",
            )

    @property
    def is_descending(self) -> bool:
        return self.order == "desc"


def _words(value: str, field: str) -> str:
    if not value.strip():
        raise MissingField("`q` is missing.", hint=_Q_HINT, field=field)
    return value


_Q_HINT = 'For example /search?q="smoke tests" green'
_Q = Kind(
    _words,
    {"type": "string", "minLength": 1, "maxLength": 1000, "format": "bus-words"},
    missing=_Q_HINT,
)


@dataclass(frozen=True, kw_only=True)
class SearchQuery(_PageQuery):
    """GET /search: the messages that hold these words."""

    q: Annotated[str, _Q, "words"]


@dataclass(frozen=True, kw_only=True)
class StreamQuery(_Filter):
    """GET /stream: messages as they come; with `unread_by`, those that already wait come first."""

    format: Annotated[str | None, choice(("sse", "ndjson", "text")), "instead of Accept"] = None

    def selection(self, seq_of: SeqOf) -> Selection:
        """Return the filter, as `MessagesQuery` does."""
        return Selection(**self._conditions(seq_of), limit=MAX_LIMIT)


def recipients(record: Mapping[str, Any]) -> list[str]:
    """Return the names in `to`, whether it is one or a list."""
    to = record["to"]
    return to if isinstance(to, list) else [to]

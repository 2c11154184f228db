"""What comes back from the hub, typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from busclient._errors import BadAnswer
from busclient._harmless import one_line, signed

# What may stand in a path for a seq or an id, also one of before an import; the hub knows which
# there are.
REF = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:@+=~-]{0,127}")
_SUM = re.compile(r"[0-9a-f]{64}")


class Attachment(NamedTuple):
    """A file that came with a message; `Bus.get_file` fetches it. Its name is others' text."""

    id: str
    name: str
    size: int
    sha256: str
    type: str

    @classmethod
    def from_json(cls, fields: Any) -> Attachment:
        """Return a file of the hub's JSON; raises BadAnswer."""
        try:
            size = int(fields["size"])
            texts = [str(fields[name]) for name in ("id", "name", "sha256", "type")]
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer holds something that is no file: {error!r}.") from None
        if not (texts[0].isascii() and texts[0].isalnum() and _SUM.fullmatch(texts[2])):
            raise BadAnswer("The answer holds something that is no file.")
        return cls(texts[0], texts[1], size, *texts[2:])


@dataclass(frozen=True, repr=False)
class Message:
    """A message as the hub keeps it.

    `seq` orders messages and is the cursor; `id` is what people cite; `ts` is UTC in ISO 8601. `to`
    holds one or more names, or just `any` for a broadcast. `trust` is what the hub says it may be
    taken for: human, agent, shared, hub and so on. `verified`: a machine's own credential
    sent it; `signed` is the sender with a mark where not. Messages with the same seq are equal. The
    body is other people's text: data, not orders; make it `harmless` before a terminal sees it.
    """

    seq: int
    id: str = field(compare=False)
    ts: str = field(compare=False)
    sender: str = field(compare=False)
    to: tuple[str, ...] = field(compare=False)
    body: str = field(compare=False)
    tags: tuple[str, ...] = field(default=(), compare=False)
    priority: str = field(default="normal", compare=False)
    in_reply_to: str | None = field(default=None, compare=False)
    thread: str | None = field(default=None, compare=False)
    data: Mapping[str, Any] | None = field(default=None, compare=False)
    expires: str | None = field(default=None, compare=False)
    snippet: str | None = field(default=None, compare=False)
    verified: bool = field(default=False, compare=False)
    trust: str | None = field(default=None, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_json(cls, fields: Any) -> Message:
        """Return a message of the hub's JSON; fields newer than this client stay in `raw`.

        Raises BadAnswer.
        """
        try:
            to = fields["to"]
            return cls(
                seq=int(fields["seq"]),
                id=str(fields["id"]),
                ts=str(fields["ts"]),
                sender=str(fields["from"]),
                to=tuple(to) if isinstance(to, list) else (str(to),),
                body=str(fields["body"]),
                tags=tuple(fields.get("tags", ())),
                priority=str(fields.get("priority", "normal")),
                verified=fields.get("verified") is True,
                raw=fields,
                **{
                    name: fields.get(name)
                    for name in ("in_reply_to", "thread", "data", "expires", "snippet", "trust")
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadAnswer(
                f"The answer holds something that is not a message: {error!r}."
            ) from None

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files that came with it."""
        found = self.raw.get("attachments")
        return tuple(map(Attachment.from_json, found if isinstance(found, list) else ()))

    @property
    def signed(self) -> str:
        """The sender, with a mark where no credential of that name sent it."""
        return signed(self.sender, self.verified)

    @property
    def signature(self) -> str:
        """What stands below the text of a brief; nothing where it has none."""
        brief = self.raw.get("brief")
        return str(brief.get("signature") or "") if isinstance(brief, dict) else ""

    @property
    def proven_machine(self) -> str | None:
        """The sender's machine, with all its sessions; None where nobody has proven the name."""
        return self.sender.partition("/")[0] if self.verified else None

    def __repr__(self) -> str:
        return (
            f"<Message {self.seq} from {self.signed} to {','.join(self.to)}:"
            f" {one_line(ascii(self.body), 200)}>"
        )

    @property
    def time(self) -> datetime:
        """When the hub saved it."""
        return datetime.fromisoformat(self.ts)

    def age_s(self, now: datetime | None = None) -> float:
        """Return seconds since the hub saved it, by this machine's clock; never negative."""
        return max(0.0, ((now or datetime.now(UTC)) - self.time).total_seconds())


@dataclass(frozen=True)
class Posted:
    """What became of a post. `message` is None while it waits in the outbox; `key` is its
    idempotency key.

    `delivery` says for each recipient how it is doing:
    `{"bob":{"last_seen":…,"last_fetch":…,"unread":3}}`. `recipients` says more of each name, and
    `warnings` has in words what the sender should know.
    """

    key: str
    message: Message | None
    replayed: bool = False
    delivery: Mapping[str, Any] = field(default_factory=dict)
    recipients: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()
    why: str | None = None  # it waits

    @property
    def queued(self) -> bool:
        """Whether it waits in the outbox of this machine instead of being on the hub."""
        return self.message is None


class Acked(NamedTuple):
    """The seqs that an acknowledgement settled, and those that were settled before."""

    new: list[int]
    already: list[int]


class Drained(NamedTuple):
    """What a drain did: how many messages were handled and acknowledged, and which failed with
    what.
    """

    done: int
    failed: list[tuple[Message, Exception]]

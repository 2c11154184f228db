"""Attachments: a file comes in, its message is posted, and who may read the message fetches it."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from bus.errors import (
    FileExpired,
    NoRoom,
    NoSuchAttachment,
    NotFound,
    OverQuota,
    StorageFailed,
    SumDiffers,
    TooLarge,
    Unavailable,
)
from bus.hub.journal import Journal
from bus.hub.messages import Messages, Posted
from bus.hub.privacy import Privacy
from bus.index import attachments as queries
from bus.log.contents import Contents, Part, Said
from bus.model import records
from bus.model.attached import Attachment
from bus.model.attachments import HEAD, attachment, type_of
from bus.model.caller import Caller
from bus.model.messages import Draft, Message

logger = logging.getLogger("bus.hub.attachments")

_DAY_S = 86_400
Job = Callable[[], object]
T = TypeVar("T")


class Limits(NamedTuple):
    """What attachments may take, in bytes, and how long they are kept, in seconds."""

    max_bytes: int
    each_bytes: int
    all_bytes: int
    keep_s: float
    upload_keep_s: float


class Found(NamedTuple):
    """A file that a caller may fetch: what its message says of it, and where it is."""

    attachment: Attachment
    path: Path


class Incoming:
    """A file that is coming. `sum` is the SHA-256 that it must have, if that was said."""

    def __init__(self, part: Part, name: str, sum: str | None, files: Attachments) -> None:
        self.part, self.name, self._sum, self._files = part, name, sum, files

    def add(self, data: bytes) -> None:
        """Write some more of it; raises TooLarge, NoRoom."""
        self._files.check_size(self.part.size + len(data))
        self._files.carry(partial(self.part.append, data))

    def finish(self) -> Attachment:
        """Return what a message will say of it; on return it is on stable storage. Raises
        SumDiffers, NoRoom.
        """
        sum = self._files.carry(self.part.finish)
        if self._sum not in (None, sum):
            raise SumDiffers(f"{self.name!r} has the SHA-256 {sum}, not {self._sum}.", sha256=sum)
        head = self.part.head(HEAD)
        type = type_of(head, self.part.size <= HEAD)
        return attachment(self.part.id, self.name, self.part.size, sum, type)


class Attachments:
    """The verbs of attachments. `carry` does a job on a large file; `block` a short one that syncs,
    which waits for none of those: whoever holds the lock must not wait for who waits for it.
    """

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        privacy: Privacy,
        contents: Contents,
        limits: Limits,
        carry: Callable[[Job], None],
        block: Callable[[Job], None],
    ) -> None:
        self._journal, self._messages, self._privacy = journal, messages, privacy
        self.contents, self.limits = contents, limits
        self._carry, self._block = carry, block

    # -- sending ---------------------------------------------------------------------------------

    def check(self, caller: Caller, draft: Draft) -> None:
        """Raise what posting this message would raise, before its files come."""
        self._messages.check(caller, draft)

    def check_size(self, size: int) -> None:
        """Raise TooLarge for more bytes than a file may have."""
        limit = self.limits.max_bytes
        if size > limit:
            raise TooLarge(
                f"The file has {size} bytes or more; at most {limit} are allowed.",
                hint="BUS_ATTACHMENT_MAX_BYTES sets the cap. Send it in parts.",
                size=size,
                limit=limit,
            )

    def check_room(self, caller: Caller, size: int, but: Sequence[str] = ()) -> None:
        """Raise if so many bytes more are too many for the caller (OverQuota) or for all (NoRoom).

        Uploads that are open count with their whole size, except for those in `but`.
        """
        if self._journal.log.failed():
            raise StorageFailed("The hub takes no posts: a write or a sync has failed.")
        with self._journal.current() as db:
            mine, all = queries.used(db, caller.name, self._kept_since_ms())
        for upload in self.contents.uploads():
            if upload.id not in but:
                all += upload.said["size"]
                mine += upload.said["size"] if upload.said["owner"] == caller.name else 0
        if mine + size > self.limits.each_bytes:
            raise OverQuota(
                f"{caller.name} has {mine} bytes of attachments on the hub; {size} more are too"
                f" many.",
                hint="BUS_ATTACHMENT_EACH_BYTES sets the cap. They go when their time is over, or"
                " when you retract their messages.",
                quota="attachments",
                limit=self.limits.each_bytes,
                name=caller.name,
                retry_after_s=_DAY_S,
            )
        if all + size > self.limits.all_bytes:
            raise NoRoom(
                f"The hub has {all} bytes of attachments; {size} more are too many.",
                hint="BUS_ATTACHMENT_ALL_BYTES sets the cap. Nothing was stored.",
                limit=self.limits.all_bytes,
            )

    @contextmanager
    def receive(self, name: str, size: int, sum: str | None = None) -> Iterator[Incoming]:
        """Take a file in, in one request; what was not posted when the block ends goes.

        `size` is what is to come, as far as that is known. Raises TooLarge, NoRoom, Busy.
        """
        self.check_size(size)
        part = self.begin(self._journal.new_id(), None, size)
        try:
            yield Incoming(part, name, sum, self)
        finally:
            part.drop()
            part.close()

    def post(self, caller: Caller, draft: Draft, files: Sequence[Incoming]) -> Posted:
        """Post a message with files that have come whole; on return all is on stable storage.

        Raises what `Messages.post` raises, SumDiffers, OverQuota, NoRoom, Busy. A repeated key
        gives the first message, with its files.
        """
        said = [file.finish() for file in files]
        new: list[str] = []
        with self.contents.lock():
            size = sum(one["size"] for one in said)
            self.check_room(caller, size, [file.part.id for file in files])
            try:
                for file, one in zip(files, said, strict=True):
                    if self._done(
                        self._block, partial(self.contents.put, file.part, one["sha256"])
                    ):
                        new.append(one["sha256"])
                return self._messages.post(caller, draft, files=said)
            except Unavailable:
                raise  # the message may be there; if it is not, `tend` removes what nobody needs
            except Exception:
                for content in new:
                    self.contents.remove(content)
                raise

    # -- fetching --------------------------------------------------------------------------------

    def find(self, caller: Caller, id: str) -> Found:
        """Return a file of a message that the caller may read; raises NoSuchAttachment,
        FileExpired.
        """
        unknown = NoSuchAttachment(f"There is no attachment {id[:40]}.")
        with self._journal.index.reading() as db:
            placed = queries.by_id(db, id)
        if placed is None:
            raise unknown
        try:
            text = self._messages.get(placed.seq, self._privacy.view(caller))
        except NotFound:
            raise unknown from None
        message: Message = json.loads(text)
        said = next(one for one in message["attachments"] if one["id"] == id)
        if "retracted" in message:
            raise FileExpired(
                f"The message {placed.seq} was retracted, and {said['name']!r} with it.",
                hint="Ask its sender.",
            )
        ends_ms = placed.posted_ms + int(self.limits.keep_s * 1000)
        if ends_ms <= self._journal.now_ms():
            raise FileExpired(
                f"{said['name']!r} of message {placed.seq} was kept until"
                f" {records.utc(ends_ms / 1000)}.",
                expired=records.utc(ends_ms / 1000),
            )
        path = self.contents.place(placed.sum)
        if not path.is_file():
            logger.error("the content %s of attachment %s is gone", placed.sum, id)
            raise FileExpired(f"The hub has lost {said['name']!r} of message {placed.seq}.")
        return Found(said, path)

    def posted(self, id: str) -> tuple[Message, Attachment] | None:
        """Return the message that carries a file, and what it says of it."""
        with self._journal.index.reading() as db:
            placed = queries.by_id(db, id)
        if placed is None:
            return None
        message: Message = json.loads(self._messages.get(placed.seq))
        return message, next(one for one in message["attachments"] if one["id"] == id)

    # -- by itself -------------------------------------------------------------------------------

    def tend(self) -> None:
        """Remove what is kept no longer: a chore."""
        since_ms = self._kept_since_ms()

        def is_needed(sum: str) -> bool:
            with self._journal.current() as db:
                return queries.is_needed(db, sum, since_ms)

        self.contents.tend(is_needed, self._journal.time(), self.limits.upload_keep_s)

    def start(self) -> None:
        """Remove what a crash has left."""
        with suppress(OSError):
            self.contents.sweep(self._journal.time(), self.limits.upload_keep_s)

    def begin(self, id: str, said: Said | None, size: int) -> Part:
        """Return a new part, see `Contents.begin`; raises NoRoom, Busy."""
        return self._done(lambda job: job(), lambda: self.contents.begin(id, said, size))

    def carry(self, job: Callable[[], T]) -> T:
        """Do a job on a large file beside the requests, and return what it gives; raises NoRoom for
        a full disk.
        """
        return self._done(self._carry, job)

    def _done(self, do: Callable[[Job], object], job: Callable[[], T]) -> T:
        results: list[T] = []
        try:
            do(lambda: results.append(job()))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom("The hub's disk is full: nothing of the file was stored.") from error
            raise
        return results[0]

    def _kept_since_ms(self) -> int:
        return self._journal.now_ms() - int(self.limits.keep_s * 1000)

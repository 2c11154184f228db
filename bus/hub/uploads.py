"""Uploads: a file that comes in several requests, until a message takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bus.errors import (
    NoRoom,
    NoSuchUpload,
    OverQuota,
    SumDiffers,
    TooLarge,
    UploadBusy,
    UploadIncomplete,
    WrongOffset,
)
from bus.hub.attachments import Attachments, Incoming
from bus.hub.journal import Journal
from bus.hub.messages import Messages, Posted
from bus.log.contents import Open, Part, Said, Taken
from bus.model import records
from bus.model.attachments import NewUpload, Upload
from bus.model.caller import Caller
from bus.model.messages import Draft

_MAX_OPEN = 64  # of one credential


class Uploads:
    """The verbs of uploads. Each belongs to the credential that began it."""

    def __init__(self, journal: Journal, messages: Messages, files: Attachments) -> None:
        self._journal, self._messages, self._files = journal, messages, files

    def begin(self, caller: Caller, asked: NewUpload) -> Upload:
        """Begin an upload; raises TooLarge, OverQuota, NoRoom."""
        files = self._files
        files.check_size(asked.size)
        files.check_room(caller, asked.size)
        mine = [one for one in files.contents.uploads() if one.said["owner"] == caller.name]
        if len(mine) >= _MAX_OPEN:
            raise OverQuota(
                f"{caller.name} has begun {len(mine)} uploads that are not posted.",
                hint="Post them, or give them up: DELETE /uploads/<id>.",
                quota="uploads",
                limit=_MAX_OPEN,
                name=caller.name,
            )
        said = {**asked.as_dict(), "owner": caller.name, **caller.stamp()}
        id = self._journal.new_id()
        part = files.begin(id, said, asked.size)
        part.close()
        return self.look(caller, id)

    def look(self, caller: Caller, id: str) -> Upload:
        """Return how far an upload of the caller's is; raises NoSuchUpload."""
        try:
            found = self._files.contents.look(id)
        except FileNotFoundError:
            raise _unknown(id) from None
        if not _is_own(caller, found.said):
            raise _unknown(id)
        return self._told(found)

    @contextmanager
    def go_on(self, caller: Caller, id: str, offset: int) -> Iterator[Incoming]:
        """Have more of an upload come in while the block runs; raises NoSuchUpload, UploadBusy,
        WrongOffset.

        What has come stays when it breaks, except where the disk is full: then the upload goes.
        """
        part, said = self._open(caller, id)
        try:
            if offset != part.size:
                raise WrongOffset(
                    f"{part.size} bytes are there, and this part begins at {offset}.",
                    offset=part.size,
                )
            yield _Bounded(part, said, self._files)
        except NoRoom:
            part.drop()
            raise
        finally:
            part.close()

    def give_up(self, caller: Caller, id: str) -> None:
        """Remove an upload; raises NoSuchUpload, UploadBusy."""
        part, _ = self._open(caller, id)
        part.drop()
        part.close()

    def names(self, caller: Caller, ids: Sequence[str]) -> list[str]:
        """Return the names of uploads, posted ones too; raises NoSuchUpload."""
        found = []
        for id in ids:
            posted = self._files.posted(id)
            is_mine = posted is not None and posted[0].get("auth") == caller.name
            found.append(posted[1]["name"] if posted and is_mine else self.look(caller, id)["name"])
        return found

    def post(self, caller: Caller, draft: Draft, ids: Sequence[str]) -> Posted:
        """Post a message with whole uploads, which end with it. Raises NoSuchUpload, UploadBusy,
        UploadIncomplete, and what `Attachments.post` raises.
        """
        parts: list[tuple[Part, Said]] = []
        try:
            before = [found for id in ids if (found := self._files.posted(id)) is not None]
            if before:
                message, _ = before[0]
                is_same = message.get("auth") == caller.name and draft.client_id is not None
                if not is_same or message.get("client_id") != draft.client_id:
                    raise NoSuchUpload("These uploads are posted already.")
                posted = self._messages.post(caller, draft, files=[said for _, said in before])
                self._drop_rest(caller, ids)
                return posted
            for id in ids:
                parts.append(self._open(caller, id))
            for part, said in parts:
                if part.size != said["size"]:
                    raise UploadIncomplete(
                        f"{part.size} of {said['size']} bytes of {said['name']!r} are there.",
                        id=part.id,
                        offset=part.size,
                    )
            files = [Incoming(part, said["name"], said.get("sha256"), self._files)
                     for part, said in parts]  # fmt: skip
            posted = self._post(caller, draft, files)
            for part, _ in parts:
                part.drop()
            return posted
        finally:
            for part, _ in parts:
                part.close()

    def _post(self, caller: Caller, draft: Draft, files: Sequence[Incoming]) -> Posted:
        try:
            return self._files.post(caller, draft, files)
        except SumDiffers:
            for file in files:  # going on with one that is wrong would not mend it
                file.part.drop()
            raise

    def _drop_rest(self, caller: Caller, ids: Sequence[str]) -> None:
        """Remove what a crash between the post and this has left."""
        for id in ids:
            try:
                self.give_up(caller, id)
            except (NoSuchUpload, UploadBusy):
                continue

    def _open(self, caller: Caller, id: str) -> tuple[Part, Said]:
        self.look(caller, id)
        try:
            return self._files.contents.open(id)
        except FileNotFoundError:
            raise _unknown(id) from None
        except Taken:
            raise UploadBusy(f"Another request has the upload {id}.") from None

    def _told(self, found: Open) -> Upload:
        return {
            "ok": True,
            "id": found.id,
            "name": found.said["name"],
            "size": found.said["size"],
            "offset": found.size,
            "expires": records.utc(found.at + self._files.limits.upload_keep_s),
            "url": f"/uploads/{found.id}",
        }


class _Bounded(Incoming):
    """An upload that may not grow beyond what was said."""

    def __init__(self, part: Part, said: Said, files: Attachments) -> None:
        super().__init__(part, said["name"], said.get("sha256"), files)
        self._size = said["size"]

    def add(self, data: bytes) -> None:
        if self.part.size + len(data) > self._size:
            raise TooLarge(
                f"The upload is to have {self._size} bytes, and more come.",
                hint="Give the right size to POST /uploads.",
                size=self.part.size + len(data),
                limit=self._size,
            )
        super().add(data)


def _is_own(caller: Caller, said: Said) -> bool:
    """Return whether the caller began an upload: the same credential, and nobody who has been given
    its name since.
    """
    return bool(said["owner"] == caller.name) and said.get("tenure", 0) == (caller.tenure or 0)


def _unknown(id: str) -> NoSuchUpload:
    return NoSuchUpload(f"There is no upload {id[:40]} of yours.")

"""The files of a `Bus`: sent with a message, fetched from one."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busclient._messages import reading, sending
from busclient._messages.message import Message, Posted
from busclient._messages.reading import Ref
from busclient._reading import Reading

if TYPE_CHECKING:
    from busclient._agents.attachments import Progress


class Filing(Reading):
    """What a `Bus` does with files of any size."""

    def send_file(
        self,
        *paths: str | PathLike[str],
        to: str | Sequence[str] = "any",
        body: str | None = None,
        key: str | None = None,
        progress: Progress | None = None,
        remember: Path | None = None,
        **fields: Any,
    ) -> Posted:
        """Post a message with files, 16 at most; on return it is on the hub's stable storage.

        Without `body`, its text is their names. Files go in parts, and on where they broke: within
        this call, and with `remember` (a folder for notes) in another process too. `progress` is
        called with a file's name, its bytes so far and its size. Other fields as in `post`. Not
        through the outbox. Raises BusError, OSError.
        """
        from busclient._agents.attachments import Attachments  # noqa: PLC0415

        more: dict[str, Any] = {"client_id": key, **fields}
        for name in ("in_reply_to", "supersedes", "forward"):
            if more.get(name) is not None:
                more[name] = reading.ref(more[name])
        draft = sending.draft(self.name, body or "", to, more)
        if not body:
            del draft["body"]
        files = Attachments(self._connection, self._sleep, progress)
        return files.send([Path(path) for path in paths], draft, remember)

    def get_file(
        self,
        message: Ref,
        folder: str | PathLike[str] = ".",
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Fetch the files of a message into a folder, with their sums checked; return where they
        are.

        What broke goes on. A name is only a name: none leads out of the folder. Another file of the
        same name is replaced with `force` only. Raises NotFound, LocalTrouble, BusError, OSError.
        """
        from busclient._agents.attachments import Attachments  # noqa: PLC0415

        found = message if isinstance(message, Message) else self.message(message)
        files = Attachments(self._connection, self._sleep, progress)
        return files.get(found, Path(folder), force=force)

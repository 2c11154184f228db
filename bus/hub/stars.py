"""Stars: a reader marks a message that it wants to find again. Nobody else sees that."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bus.errors import Busy, KeyReused, OverQuota
from bus.hub import idempotency
from bus.hub.credentials import CredentialRecords
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.index import stars as queries
from bus.index.messages import Page
from bus.index.privacy import View
from bus.model.caller import Caller
from bus.model.records import Fields
from bus.model.stars import Star, Starred

MOST_STARS = 10_000  # of one credential
_ATTEMPTS = 200  # each that fails means that the same reader has starred something meanwhile


class Stars:
    """The verbs of stars."""

    def __init__(
        self, journal: Journal, messages: Messages, credentials: CredentialRecords
    ) -> None:
        self._journal, self._messages, self._credentials = journal, messages, credentials

    def star(self, caller: Caller, ref: str | int, asked: Star, view: View | None) -> Starred:
        """Set the star of a reader on a message, or take it away; without `starred`, the other of
        what it is now.

        Raises NotFound, also for a message that is not in `view`; KeyReused, OverQuota, Busy.
        """
        message = json.loads(self._messages.get(ref, view))
        seq, reader = message["seq"], asked.reader
        about: Fields = {"kind": "message_starred", "auth": caller.name, "reader": reader}
        about["message"] = seq
        if asked.client_id is not None:
            about |= idempotency.stamp(caller, asked.client_id, f"{seq} {asked.starred}")
        self._credentials.use_name(caller, reader)
        for _ in range(_ATTEMPTS):
            with self._journal.current() as db:
                is_on = seq in queries.starred(db, reader, [seq])
                count, prior = queries.count_of(db, caller.name), queries.last(db, reader)
            wanted = not is_on if asked.starred is None else asked.starred
            if wanted is is_on:
                return _answer(message, reader, is_on, True)
            if wanted and count >= MOST_STARS:
                raise OverQuota(
                    f"{caller.name} has {count} stars.",
                    hint='Take some away: POST /star/<ref> with {"starred":false}.',
                    quota="stars",
                    limit=MOST_STARS,
                    name=caller.name,
                )
            appended = self._journal.append([{**about, "on": wanted, "prior": prior}])[0]
            if not appended.replayed:
                return _answer(message, reader, wanted, False)
            if asked.client_id is not None:
                first = appended.record
                if first["digest"] != about["digest"]:
                    raise KeyReused(
                        f"The key {asked.client_id!r} was used by {reader} for another star.",
                        first=first["id"],
                    )
                return _answer(message, reader, first["on"], True)
        raise Busy(f"The stars of {reader} are changed by many at once.")

    def marked(self, reader: str, page: Page) -> Page:
        """Return a page in which the messages that a reader has starred say so."""
        on = self.of(reader, page.seqs)
        texts = [
            f'{text[:-1]},"starred":true}}' if seq in on else text
            for seq, text in zip(page.seqs, page.messages, strict=True)
        ]
        return page._replace(messages=texts)

    def of(self, reader: str, seqs: Sequence[int]) -> set[int]:
        """Return those of these messages that a reader has starred."""
        return self._journal.index.ask(lambda db: queries.starred(db, reader, seqs))


def _answer(message: Fields, reader: str, is_on: bool, replayed: bool) -> Starred:
    told: Starred = {
        "ok": True,
        "id": message["id"],
        "seq": message["seq"],
        "reader": reader,
        "starred": is_on,
    }
    return {**told, "replayed": True} if replayed else told

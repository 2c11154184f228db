"""Proof of context: a message stood before a model, as the use of its reference shows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from bus.live.shown import ShownMail
from bus.model import context_refs
from bus.model.caller import Caller
from bus.system.keys import key_in

logger = logging.getLogger("bus.hub.proofs")


class Proofs:
    """Gives references that prove something, and notes those that are used.

    `file` holds the key that nonces are made with.
    """

    def __init__(self, file: Path | None, shown: ShownMail, now_ms: Callable[[], int]) -> None:
        self._file, self._shown, self._now_ms = file, shown, now_ms

    @cached_property
    def _key(self) -> bytes | None:
        try:
            return None if self._file is None else key_in(self._file)
        except OSError as error:
            logger.warning("references prove nothing, for want of a key: %s", error)
            return None

    def reference(self, seq: int, id: str, name: str) -> str:
        """Return the reference of a message for the eyes of `name` alone: `412.k7f3`."""
        if self._key is None:
            return str(seq)
        return f"{seq}.{context_refs.nonce(self._key, id, name)}"

    def note(
        self, caller: Caller | None, name: str | None, ref: str | int, id: str, seq: int, by: str
    ) -> None:
        """Note that a reference to a message was used, if it proves that the message stood in the
        context of `name`, or of a name of the caller that it was shown to.

        `by` is the use: `reply`, `ack` or `read`. A wrong nonce proves nothing and does no harm.
        Who speaks as one session proves nothing of another.
        """
        given = context_refs.nonce_of(ref)
        if given is None or caller is None or self._key is None:
            return
        if name is not None and "/" in name:
            if given == context_refs.nonce(self._key, id, name):
                self._shown.note_context(name, seq, by, self._now_ms())
            return
        names = [] if name is None else [name]
        names += [caller.name] if caller.is_verified else []
        # Whoever speaks as the machine may be a shell of a session; a look at which costs a query.
        names += [one.name for one in self._shown.of_message(seq) if caller.is_me(one.name)]
        for whose in dict.fromkeys(names):
            if given == context_refs.nonce(self._key, id, whose):
                self._shown.note_context(whose, seq, by, self._now_ms())
                return

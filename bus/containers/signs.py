"""What the script START says of a run, taken out of the run's stderr."""

from __future__ import annotations

import secrets

_WORDS = 4096


class Signs:
    """Lines that begin with a word which only the script and the hub know, wherever in the stream they stand.

    `said` has what they said: `started` (with the session and the inodes of the pipes), `folder`, `failed`, `code` (with the
    exit code). `before` is what came before the first of them: the client's own words, and not the program's.
    """

    def __init__(self) -> None:
        self.word = secrets.token_hex(16)
        self.said: dict[str, str] = {}
        self.before = b""
        self._begin = b"\x1e%s " % self.word.encode()
        self._held = b""

    def take(self, chunk: bytes) -> bytes:
        """What the program wrote; a sign that has come in part is held back."""
        data, out = self._held + chunk, b""
        while (at := data.find(self._begin)) >= 0:
            end = data.find(b"\n", at)
            if end < 0:
                break
            out += self._by_program(data[:at])
            key, _, value = data[at + len(self._begin) : end].decode("ascii", "replace").partition(" ")
            self.said[key] = value
            data = data[end + 1 :]
        if at < 0:
            at = data.rfind(b"\x1e", max(0, len(data) - len(self._begin)))
            at = at if at >= 0 and self._begin.startswith(data[at:]) else len(data)
        self._held = data[at:]
        return out + self._by_program(data[:at])

    def rest(self) -> bytes:
        """What was held back and is no sign after all."""
        held, self._held = self._held, b""
        return self._by_program(held)

    def _by_program(self, data: bytes) -> bytes:
        if self.said:
            return data
        self.before = (self.before + data)[-_WORDS:]
        return b""

    def numbers(self, key: str) -> tuple[int, ...]:
        """The numbers that were said behind this key."""
        return tuple(int(value) for value in self.said.get(key, "").split() if value.lstrip("-").isdigit())

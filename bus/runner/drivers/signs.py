"""What start.sh says of a run, taken out of the run's stderr.

The word stands in no arguments and no environment that the program can see, but it is in the memory
of the script's shell, which what runs as the same user may read (docs/security.md). So a sign is
taken only where the script itself would say it, once and in its form; the rest is the program's.
"""

from __future__ import annotations

import re
import secrets

_WORDS = 4096
_LONGEST = 256  # a sign has at most 79 bytes
_SIGN = re.compile(
    rb"(started) (-?\d{1,10}) (\d{1,10}) (\d{1,10})|(folder)|(failed)|(code) (\d{1,3})"
)
# What may follow what. The program begins after `started`: nothing of it comes before that.
_NEXT = {"": ("started", "folder", "failed"), "started": ("failed", "code"), "failed": ("code",)}


class Beginning:
    """Finds where a run's own stdout begins, at the line that begin.sh says. A login shell may
    print something before.
    """

    def __init__(self, word: str) -> None:
        self._sign = b"\x1e%s begin\n" % word.encode()
        self._held: bytes | None = b""

    def take(self, chunk: bytes) -> bytes:
        """Return what the run wrote."""
        if self._held is None:
            return chunk
        _, sign, rest = (self._held + chunk).partition(self._sign)
        if sign:
            self._held = None
            return rest
        self._held = (self._held + chunk)[-len(self._sign) :]
        return b""


class Signs:
    """Lines that begin with a word of this run only, wherever in the stream they stand.

    `said` has what they said, in its order: `started` (with the session and the inodes of the
    pipes), `folder`, `failed`, `code` (with the exit code). `before` is what came before the first
    of them: the client's own words, and not the program's.
    """

    def __init__(self) -> None:
        self.word = secrets.token_hex(16)
        self.said: dict[str, tuple[int, ...]] = {}
        self.before = b""
        self._begin = b"\x1e%s " % self.word.encode()
        self._held = b""

    def take(self, chunk: bytes) -> bytes:
        """Return what the program wrote; a sign that has come in part is held back."""
        data, out = self._held + chunk, b""
        done = looked = 0
        while (at := data.find(self._begin, looked)) >= 0:
            looked = at + len(self._begin)
            end = data.find(b"\n", looked, at + _LONGEST)
            if end < 0 and len(data) - at < _LONGEST:
                break
            if end >= 0 and (sign := self._understood(data[looked:end])) is not None:
                out += self._by_program(data[done:at])  # at most thrice in a run
                self.said[sign[0]] = sign[1]
                done = looked = end + 1
        if at < 0:
            at = data.rfind(b"\x1e", max(looked, len(data) - len(self._begin)))
            at = at if at >= 0 and self._begin.startswith(data[at:]) else len(data)
        self._held = data[at:]
        return out + self._by_program(data[done:at])

    def rest(self) -> bytes:
        """Return what was held back and is not a sign after all."""
        held, self._held = self._held, b""
        return self._by_program(held)

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return the numbers that were said behind this key."""
        return self.said.get(key, ())

    def _understood(self, line: bytes) -> tuple[str, tuple[int, ...]] | None:
        found = _SIGN.fullmatch(line)
        if found is None:
            return None
        key, *values = (part.decode() for part in found.groups() if part is not None)
        numbers = tuple(map(int, values))
        if key not in _NEXT.get(next(reversed(self.said), ""), ()) or (
            key == "code" and numbers[0] > 255
        ):
            return None
        return key, numbers

    def _by_program(self, data: bytes) -> bytes:
        if self.said:
            return data
        self.before = (self.before + data)[-_WORDS:]
        return b""

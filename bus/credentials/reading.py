"""Whom a credential proves. The file is read again whenever it changes: no restart is needed."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

from bus.credentials import file
from bus.credentials.attempts import Attempts
from bus.credentials.lines import INVITE_PREFIX, NOBODY, Kept, Line, matches, usable
from bus.errors import Unauthorized
from bus.identity import INVITE, MEMBER, SHARED, Caller, normalised

_LEAST_COMPARED = 2  # with a user's one line, its two while a rotation lasts, and with none: the same work


class Credentials:
    """The credential file. `shared_user` is the name whose line is the old fleet's; empty: there is none."""

    def __init__(self, path: Path, shared_user: str = "claude", clock: Callable[[], float] = time.time) -> None:
        self.path, self.shared_user = path, shared_user
        self.clock = clock
        self._attempts = Attempts()
        self._version: tuple[int, int, int] | None = None
        self._users: dict[str, list[Line]] = {}
        self._digests: dict[str, list[bytes]] = {}
        self._verified: dict[str, tuple[Caller, int | None]] = {}
        self._taken: frozenset[str] = frozenset()

    def caller_of(self, header: str | None, address: str = "") -> Caller:
        """Whom an Authorization header proves; raises Unauthorized, or for invites InviteSpent and TooManyAttempts.

        A wrong password and an unknown user take the same time and give the same answer. `address` is where the
        request comes from: wrong invites are counted by it.
        """
        self._refresh()
        if header is None:
            raise Unauthorized("This call has no credential.")
        known = self._verified.get(header)
        if known is not None and (known[1] is None or self.clock() < known[1]):
            return known[0]
        user, secret = _user_and_secret(header)
        if user.startswith(INVITE_PREFIX):
            return self._invited(user, secret, address)
        line = self._verify(user, secret)
        caller = Caller(user, self.role_of(self._users[user][0]))
        if len(self._verified) > 10_000:
            self._verified.clear()
        self._verified[header] = caller, line.until
        return caller

    def knows(self, user: str, secret: str) -> bool:
        """Whether this is a user's secret."""
        header = base64.b64encode(f"{user}:{secret}".encode()).decode()
        try:
            return self.caller_of(f"Basic {header}").name == user
        except Unauthorized:
            return False

    def add(self, user: str, secret: str, role: str = "") -> None:
        """Give a user this secret and no other, with the role it had unless one is given."""
        file.put(self.path, user, secret, role)

    def users(self) -> dict[str, str]:
        """The names in the file with their roles; no invites."""
        self._refresh()
        return {user: self.role_of(lines[0]) for user, lines in self._users.items() if not lines[0].is_invite}

    def taken(self) -> frozenset[str]:
        """The names that belong to somebody, normalised: those of all credentials but the shared user's."""
        self._refresh()
        return self._taken

    def role_of(self, line: Line) -> str:
        """The role that a line gives its user."""
        return line.role or (SHARED if line.user == self.shared_user else MEMBER)

    def _verify(self, user: str, secret: str) -> Line:
        digests = self._digests.get(user, [])
        padding = [NOBODY] * (_LEAST_COMPARED - len(digests))
        good = [matches(secret, digest) for digest in (*digests, *padding)]
        now = self.clock()
        for line, is_good in zip(self._users.get(user, []), good, strict=False):
            if is_good and (line.is_invite or not line.is_past(now)):
                return line
        raise Unauthorized("The user name or password is wrong.")

    def _invited(self, user: str, secret: str, address: str) -> Caller:
        # A stranger's guesses must not keep out who has a code, though all come through one proxy: they are counted
        # together, and those at an invite that exists with that invite.
        now, bucket = self.clock(), f"{address} {user if user in self._users else ''}"
        self._attempts.check(bucket, now)
        try:
            line = self._verify(user, secret)
        except Unauthorized:
            self._attempts.note(bucket, now)
            raise
        line.refuse_spent(now)
        return Caller(user, INVITE)

    def _refresh(self) -> None:
        try:
            stat = os.stat(self.path)
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            version = None
        if version != self._version or version is None:
            self._learn(file.read(self.path))
            self._version = version

    def _learn(self, lines: list[Line | Kept]) -> None:
        users: dict[str, list[Line]] = {}
        for line in usable(lines):
            users.setdefault(line.user, []).append(line)
        self._users, self._verified = users, {}
        self._digests = {user: [line.digest for line in lines] for user, lines in users.items()}
        names = [user for user, lines in users.items() if not lines[0].is_invite]
        self._taken = frozenset(normalised(name) for name in names if self.role_of(users[name][0]) != SHARED)


def _user_and_secret(header: str) -> tuple[str, str]:
    """What a header of basic auth says; a user that does not exist where it says nothing."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, secret) if scheme.lower() == "basic" else ("", "")

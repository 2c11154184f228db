"""Whom a credential proves. The file is read again whenever it changes: no restart is needed."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bus.credentials import file
from bus.credentials.attempts import Attempts
from bus.credentials.lines import INVITE_PREFIX, NOBODY, Kept, Line, matches, usable
from bus.errors import InviteSpent, TooManyAttempts, Unauthorized
from bus.model.caller import INVITE, MEMBER, SHARED, Caller, normalised

_KEPT, _LONGEST_KEPT = 4_000, 512  # headers known to be good, and their characters: 2 MB in all
# With a user's one line, its two while a rotation lasts, and with none: the same work
_LEAST_COMPARED = 2


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The file as it was at one moment. Only `verified` grows: what was proven by these very lines,
    and until when it is.

    Whoever looks at the file works with one snapshot to the end; another thread may have put the
    next in its place.
    """

    version: file.Version | None
    users: Mapping[str, list[Line]]
    digests: Mapping[str, list[bytes]]
    taken: frozenset[str]
    verified: dict[str, tuple[Caller, int | None]] = field(default_factory=dict)


class Credentials:
    """The credential file. `shared_user` is the name whose line is the old fleet's; empty: there is
    none. For any thread.

    `tenure_of` says what `Caller.tenure` is for a name now.
    """

    def __init__(
        self,
        path: Path,
        shared_user: str = "claude",
        clock: Callable[[], float] = time.time,
        tenure_of: Callable[[str], int | None] = lambda name: 0,
    ) -> None:
        self.path, self.shared_user = path, shared_user
        self.clock, self._tenure_of = clock, tenure_of
        self._attempts = Attempts()
        self._latest = _Snapshot(None, {}, {}, frozenset())

    def caller_of(self, header: str | None, address: str = "") -> Caller:
        """Whom an Authorization header proves; raises Unauthorized, or for invites InviteSpent and
        TooManyAttempts.

        A wrong password and an unknown user take the same time and give the same answer. `address`
        is where the request comes from: wrong invites are counted by it.
        """
        snapshot = self._current()
        if header is None:
            raise Unauthorized("This call has no credential.")
        known = snapshot.verified.get(header)
        if known is not None and (known[1] is None or self.clock() < known[1]):
            return known[0]
        user, secret = _user_and_secret(header)
        if user.startswith(INVITE_PREFIX):
            return self._invited(snapshot, user, secret, address)
        line = self._verify(snapshot, user, secret)
        # After the file was read: a revocation is on record before the file loses the line, so this
        # is not an older tenure.
        tenure = self._tenure_of(user)
        caller = Caller(
            user,
            self.role_of(snapshot.users[user][0]),
            is_current=line.until is None,
            tenure=tenure,
        )
        if tenure is None:
            return caller
        # One credential has many headers: more spaces, another letter case. Those are proven anew
        # each time.
        if len(header) <= _LONGEST_KEPT:
            if len(snapshot.verified) >= _KEPT:
                snapshot.verified.clear()
            snapshot.verified[header] = caller, line.until
        return caller

    def still_proves(self, header: str | None, caller: Caller) -> bool:
        """Return whether a header that has proven this caller does so now: not revoked, not over,
        not demoted. Costs a `stat`.
        """
        try:
            now = self.caller_of(header)
        except (Unauthorized, InviteSpent, TooManyAttempts):
            return False
        return (now.name, now.role) == (caller.name, caller.role) and now.tenure in (
            caller.tenure,
            None,
        )

    def still_has_name(self, caller: Caller) -> bool:
        """Return whether a caller's name is still its own, in the same role, whatever its secret is
        now.
        """
        mine = self._current().users.get(caller.name)
        if mine is None or self.role_of(mine[0]) != caller.role:
            return False
        return self._tenure_of(caller.name) in (caller.tenure, None)

    def knows(self, user: str, secret: str) -> bool:
        """Return whether this is a user's secret."""
        header = base64.b64encode(f"{user}:{secret}".encode()).decode()
        try:
            return self.caller_of(f"Basic {header}").name == user
        except Unauthorized:
            return False

    def add(self, user: str, secret: str, role: str = "") -> None:
        """Give a user this secret and no other, with the role it had unless one is given."""
        file.put(self.path, user, secret, role)

    def users(self) -> dict[str, str]:
        """Return the names in the file with their roles; no invites."""
        return {
            user: self.role_of(lines[0])
            for user, lines in self._current().users.items()
            if not lines[0].is_invite
        }

    def taken(self) -> frozenset[str]:
        """Return the names that belong to somebody, normalised: those of all credentials but the
        shared user's.

        As of the last time the file was looked at, which is when the caller of this request was
        proved. The same object as before while the file is the same.
        """
        return (self._latest if self._latest.version is not None else self._current()).taken

    def role_of(self, line: Line) -> str:
        """Return the role that a line gives its user."""
        return line.role or (SHARED if line.user == self.shared_user else MEMBER)

    def _verify(self, snapshot: _Snapshot, user: str, secret: str) -> Line:
        digests = snapshot.digests.get(user, [])
        padding = [NOBODY] * (_LEAST_COMPARED - len(digests))
        good = [matches(secret, digest) for digest in (*digests, *padding)]
        now = self.clock()
        for line, is_good in zip(snapshot.users.get(user, []), good, strict=False):
            if is_good and (line.is_invite or not line.is_past(now)):
                return line
        raise Unauthorized("The user name or password is wrong.")

    def _invited(self, snapshot: _Snapshot, user: str, secret: str, address: str) -> Caller:
        # A stranger's guesses must not keep out who has a code, though all come through one proxy:
        # they are counted together, and those at an invite that exists with that invite.
        now, bucket = self.clock(), f"{address} {user if user in snapshot.users else ''}"
        self._attempts.check(bucket, now)
        try:
            line = self._verify(snapshot, user, secret)
        except Unauthorized:
            self._attempts.note(bucket, now)
            raise
        line.refuse_spent(now)
        return Caller(user, INVITE)

    def _current(self) -> _Snapshot:
        """Return the file as it is."""
        latest = self._latest
        if latest.version is None or latest.version != file.version(self.path):
            latest = self._latest = self._learned(*file.read_version(self.path))
        return latest

    def _learned(self, version: file.Version | None, lines: list[Line | Kept]) -> _Snapshot:
        users: dict[str, list[Line]] = {}
        for line in usable(lines):
            users.setdefault(line.user, []).append(line)
        digests = {user: [line.digest for line in mine] for user, mine in users.items()}
        names = [user for user, mine in users.items() if not mine[0].is_invite]
        taken = frozenset(
            normalised(name) for name in names if self.role_of(users[name][0]) != SHARED
        )
        return _Snapshot(version, users, digests, taken)


def user_in(header: str) -> str:
    """Return the user name that a header of basic auth gives, proven or not; empty where it gives
    none.
    """
    return _user_and_secret(header)[0]


def _user_and_secret(header: str) -> tuple[str, str]:
    """Return what a header of basic auth says; a user that does not exist where it says nothing."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, secret) if scheme.lower() == "basic" else ("", "")

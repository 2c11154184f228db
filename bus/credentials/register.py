"""Changes to who may call: made one at a time, noted in the log before they take effect.

Each verb raises NoSuchCredential, CredentialExists or Conflict, and then nothing was changed. A
change whose note fails is not made; one that fails after its note (a full disk) leaves a note of
something that did not come to be.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeGuard

from bus.credentials import file
from bus.credentials.lines import INVITE_PREFIX, Kept, Line, hashed, new_secret, of_user, usable
from bus.credentials.reading import Credentials
from bus.errors import (
    BadField,
    Conflict,
    CredentialExists,
    NoSuchCredential,
    NotAllowed,
    Unauthorized,
)
from bus.model import records
from bus.model.caller import (
    ADMIN,
    HUMAN,
    HUMANS,
    INVITE,
    MACHINES,
    MEMBER,
    bare,
    is_reserved,
    normalised,
)
from bus.model.records import NAME

_SPENT_KEPT_S = 7 * 24 * 3600  # so long a spent invite is told apart from a wrong one
# Of a credential that is rotated again and again: a lost answer must not shut its owner out
_OLD_SECRETS = 3

Lines = list[Line | Kept]


class Note(Protocol):
    """Notes a change in the log; `expires` (Unix seconds) is an invite's."""

    def __call__(
        self, action: str, name: str, role: str, by: str, expires: int | None = None, /
    ) -> None: ...


class Granted(NamedTuple):
    """A credential with its new secret, which nobody can be shown again."""

    name: str
    role: str
    secret: str


class Invite(NamedTuple):
    """A code that makes one credential until it expires (Unix seconds)."""

    name: str
    role: str
    code: str
    expires: int


class Register:
    """The one who changes the credential file.

    `note` is called with each change, before it is made.
    """

    def __init__(self, credentials: Credentials, note: Note) -> None:
        self._credentials, self._path = credentials, credentials.path
        self._note = note
        self._check: Callable[[], None] = lambda: None

    def on_behalf_of(self, header: str | None) -> Register:
        """Return the same, for whom an Authorization header proves; each change raises Unauthorized
        or NotAllowed.

        What counts is the moment of the change, not that of the request's first look: the newest
        secret of its name changes credentials, one that was rotated does not. Else it would shut
        out the one who rotated it.
        """
        register = Register(self._credentials, self._note)
        register._check = lambda: self._refuse_old_secret(header)
        return register

    def add(self, name: str, role: str, by: str) -> Granted:
        """Return a new credential."""
        with self._changing() as lines:
            self._check_free(lines, name, role)
            return self._grant("add", lines, name, role, by)

    def rotate(self, name: str, overlap_s: int, by: str) -> Granted:
        """Return a new secret for a name; those before it go on for `overlap_s`, 0: not at all."""
        with self._changing() as lines:
            mine = self._lines_of(lines, name)
            now = self._now()
            old = [
                line.ending(now + overlap_s) for line in mine if overlap_s and not line.is_past(now)
            ][:_OLD_SECRETS]
            secret = new_secret()
            role = self._credentials.role_of(mine[0])
            self._note("rotate", name, role, by)
            # Who was invited to take this name over would end the secret that has just been made.
            others = [
                line for line in lines if not (_is_open_for(line, name) and line.is_replacing)
            ]
            self._write(
                file.replaced(others, name, [Line(name, hashed(secret), mine[0].role), *old])
            )
        return Granted(name, role, secret)

    def revoke(self, name: str, by: str) -> None:
        """Take a name's credential and its open invites away, however they write it; the last
        admin's stays.
        """
        with self._changing() as lines:
            mine = [line for line in of_user(lines, name) if not line.is_used]
            gone = mine + [line for line in usable(lines) if _is_open_for(line, name)]
            if not gone:
                raise NoSuchCredential(
                    f"There is no credential and no invite for {name!r}.", name=name
                )
            left: Lines = [line for line in lines if line not in gone]
            if file.has_admin(lines) and not file.has_admin(left):
                raise Conflict(f"{name} is the last admin.", hint="Make another admin first.")
            self._note("revoke", name, self._credentials.role_of(mine[0]) if mine else INVITE, by)
            self._write(left)

    def invite(self, name: str, role: str, lasts_s: int, by: str, replace: bool = False) -> Invite:
        """Return a code by which a machine makes its own credential.

        With `replace` the name has one and keeps its role: the code exchanges its secret. Raises
        NoSuchCredential.
        """
        with self._changing() as lines:
            if replace:
                role = self._replaceable(lines, name)
            else:
                self._check_free(lines, name)
            short, secret, expires = secrets.token_hex(5), new_secret(), self._now() + lasts_s
            self._note("invite", name, role, by, expires)
            line = Line(
                INVITE_PREFIX + short,
                hashed(secret),
                INVITE,
                expires,
                name,
                role == ADMIN,
                is_replacing=replace,
            )
            self._write([*lines, line])
        return Invite(name, role, f"{short}.{secret}", expires)

    def join(self, invite_user: str) -> Granted:
        """Turn a proven invite into the credential that it is for; raises InviteSpent."""
        with self._changing() as lines:
            found = of_user(lines, invite_user)
            if not found or not found[0].is_invite:
                raise Unauthorized(
                    "The user name or password is wrong."
                )  # it was taken back a moment ago
            invite = found[0]
            invite.refuse_spent(self._now())
            if not invite.is_replacing:
                self._check_free(lines, invite.target)
            # Further invites for this name have nobody left to be for.
            others = [
                line for line in lines if line is invite or not _is_open_for(line, invite.target)
            ]
            used = file.replaced(others, invite_user, [replace(invite, is_used=True)])
            if invite.is_replacing:
                return self._exchange(used, invite.target, invite_user)
            return self._grant(
                "join", used, invite.target, ADMIN if invite.is_for_admin else MEMBER, invite_user
            )

    def listing(self) -> dict[str, list[dict[str, Any]]]:
        """Return the credentials by name, and the invites that are open; no hashes and no codes."""
        now, lines = self._now(), list(usable(file.read(self._path)))
        named = {line.user: line for line in reversed(lines) if not line.is_invite}
        invites = [
            line for line in lines if line.is_invite and not line.is_used and not line.is_past(now)
        ]
        return {
            "credentials": [self._entry(line, lines, now) for _, line in sorted(named.items())],
            "invites": [
                {
                    "name": line.target,
                    "role": ADMIN if line.is_for_admin else MEMBER,
                    "expires": records.utc(line.until or 0),
                    **({"replace": True} if line.is_replacing else {}),
                }
                for line in invites
            ],
        }

    def _entry(self, line: Line, lines: list[Line], now: int) -> dict[str, Any]:
        ends = [
            other.until
            for other in of_user(lines, line.user)[1:]
            if other.until is not None and not other.is_past(now)
        ]
        more = {"rotated_until": records.utc(max(ends))} if ends else {}
        return {"name": line.user, "role": self._credentials.role_of(line), **more}

    def _grant(self, action: str, lines: Lines, name: str, role: str, by: str) -> Granted:
        secret = new_secret()
        self._note(action, name, role, by)
        self._write([*lines, Line(name, hashed(secret), role)])
        return Granted(name, role, secret)

    def _exchange(self, lines: Lines, name: str, by: str) -> Granted:
        """Return a new secret and no other, for a name that keeps everything else."""
        role, secret = self._replaceable(lines, name), new_secret()
        mine = self._lines_of(lines, name)
        self._note("replace", name, role, by)
        self._write(file.replaced(lines, name, [Line(name, hashed(secret), mine[0].role)]))
        return Granted(name, role, secret)

    def _replaceable(self, lines: Lines, name: str) -> str:
        """Return the role of a name whose secret an invite may exchange; raises NoSuchCredential,
        BadField.
        """
        role = self._credentials.role_of(self._lines_of(lines, name)[0])
        if role not in MACHINES:
            raise BadField(
                f"`name` is {name!r}, which is not a machine's.",
                hint="Rotate it instead.",
                field="name",
            )
        return role

    @contextmanager
    def _changing(self) -> Iterator[Lines]:
        with file.locked(self._path) as lines:
            self._check()
            yield lines

    def _refuse_old_secret(self, header: str | None) -> None:
        caller = self._credentials.caller_of(header)
        if not caller.is_current:
            raise NotAllowed(
                f"This secret of {caller.name} was rotated: it goes on for a while, but changes no"
                " credentials and no invites.",
                hint=(
                    f"Use the newest secret of {caller.name}; if it is lost, ask an admin to rotate"
                    f" {caller.name}."
                ),
            )

    def _write(self, lines: Lines) -> None:
        """Write the lines, without those whose time is long over."""
        now = self._now()
        kept = [
            line
            for line in lines
            if isinstance(line, Kept) or not line.is_past(now - line.is_invite * _SPENT_KEPT_S)
        ]
        file.write(self._path, kept)

    def _lines_of(self, lines: Lines, name: str) -> list[Line]:
        mine = [line for line in of_user(lines, name) if not line.is_invite]
        if not mine:
            raise NoSuchCredential(f"There is no credential {name!r}.", name=name)
        return mine

    def _check_free(self, lines: Lines, name: str, role: str = MEMBER) -> None:
        if role == HUMAN:
            _check_human(name)
        elif NAME.fullmatch(name) is None or "/" in name:
            raise BadField(
                f"`name` is {name[:64]!r}.",
                hint="A name without a session: letters, digits, . _ -",
                field="name",
            )
        if role != HUMAN and (
            is_reserved(name) or bare(name) == bare(self._credentials.shared_user)
        ):
            raise BadField(
                f"`name` is {name!r}, which no machine may have.",
                hint="Give the machine's own name.",
                field="name",
            )
        for line in usable(lines):
            if not line.is_invite and bare(line.user) == bare(name):
                raise CredentialExists(f"There is a credential {line.user!r}.", name=line.user)

    def _now(self) -> int:
        return int(self._credentials.clock())


def _check_human(name: str) -> None:
    """Refuse a name that is not a person's: `human/chas`."""
    if NAME.fullmatch(name) is None or not name.startswith(HUMANS):
        raise BadField(
            f"`name` is {name[:64]!r}.",
            hint="A person's name is human/ and letters, digits, . _ -",
            field="name",
        )


def _is_open_for(line: Line | Kept, name: str) -> TypeGuard[Line]:
    if not isinstance(line, Line) or not line.is_invite or line.is_used:
        return False
    return normalised(line.target) == normalised(name)

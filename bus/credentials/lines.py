"""The lines of the credential file. Pure.

    name:{SSHA}hash                                  a member, or the old fleet's shared user
    name:{SSHA}hash:admin                            with its role: member, admin, human or watcher
    name:{SSHA}hash:member until=1763673267          rotated, good until then (Unix seconds)
    invite~4f2a…:{SSHA}hash:invite for=name until=…  an invite

Words behind an invite: `admin` makes it one for an admin; `replace` lets it change the secret of a
name that exists; `state=used` says that it was taken.

nginx reads the same file (`auth_basic_user_file`): it takes the first line of a name, and stops at
the second colon. A line that cannot be used lets nobody in, and is kept as it is, like a comment.

To change this format: add a KEY=VALUE. A line with one that this code does not know is not used,
because what it does not understand might have been a limit.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bus.errors import InviteSpent
from bus.model.caller import ADMIN, HUMAN, INVITE, MEMBER, WATCHER

logger = logging.getLogger("bus.credentials")

INVITE_PREFIX = "invite~"
_SHA1_BYTES = 20
_ROLES = ("", MEMBER, ADMIN, HUMAN, WATCHER, INVITE)
_KEYS = ("for", "until", "state", "admin", "replace")
NOBODY = hashlib.sha1(b"no such user").digest() + b"saltsalt"


def new_secret() -> str:
    """Return a secret of 256 random bits in 43 letters, digits, - and _."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """`{SSHA}` and base64 of SHA-1(secret + salt) + salt, as nginx's auth_basic knows it."""
    salt = secrets.token_bytes(8)
    return (
        "{SSHA}" + base64.b64encode(hashlib.sha1(secret.encode() + salt).digest() + salt).decode()
    )


def matches(secret: str, known: bytes) -> bool:
    """Return whether a secret is the one of this digest with its salt."""
    digest = hashlib.sha1(secret.encode() + known[_SHA1_BYTES:]).digest()
    return hmac.compare_digest(digest, known[:_SHA1_BYTES])


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be used. `role` is "" where none is written, `until` None without an end."""

    user: str
    hash: str
    role: str = ""
    until: int | None = None
    target: str = ""  # the name that an invite is for
    is_for_admin: bool = False
    is_used: bool = False
    is_replacing: bool = False  # an invite for a name that has a credential

    @property
    def is_invite(self) -> bool:
        return self.role == INVITE

    @property
    def digest(self) -> bytes:
        return base64.b64decode(self.hash.removeprefix("{SSHA}"))

    def is_past(self, now: float) -> bool:
        """Return whether its time is over."""
        return self.until is not None and now >= self.until

    def refuse_spent(self, now: float) -> None:
        """Raise InviteSpent when this invite was used, or has expired."""
        if self.is_used:
            raise InviteSpent(f"The invite for {self.target} was used.")
        if self.is_past(now):
            raise InviteSpent(f"The invite for {self.target} has expired.")

    def as_text(self) -> str:
        """Return the line as it stands in the file."""
        more = [f"for={self.target}"] if self.target else []
        more += [] if self.until is None else [f"until={self.until}"]
        words = {
            "admin": self.is_for_admin,
            "replace": self.is_replacing,
            "state=used": self.is_used,
        }
        more += [word for word, is_said in words.items() if is_said]
        tail = " ".join([self.role, *more])
        return f"{self.user}:{self.hash}" + (f":{tail}" if tail else "")

    def ending(self, until: int) -> Line:
        """Return the same, good until this time at the latest."""
        return replace(self, until=until if self.until is None else min(until, self.until))


@dataclass(frozen=True, slots=True)
class Kept:
    """A line that is no credential, and stays as it is: a comment, or one that cannot be used."""

    text: str

    def as_text(self) -> str:
        return self.text


def parsed(texts: Iterable[str]) -> list[Line | Kept]:
    """Return the lines of the file.

    One that cannot be used is one user's trouble, not everybody's.
    """
    return [_parsed(text) for text in texts]


def of_user(lines: Iterable[Line | Kept], user: str) -> list[Line]:
    """Return the lines of one user, in order."""
    return [line for line in usable(lines) if line.user == user]


def usable(lines: Iterable[Line | Kept]) -> Iterator[Line]:
    """Return those that are credentials or invites."""
    return (line for line in lines if isinstance(line, Line))


def _parsed(text: str) -> Line | Kept:
    if not text.strip() or text.startswith("#"):
        return Kept(text)
    user, _, rest = text.partition(":")
    hash, _, tail = rest.partition(":")
    try:
        return _line(user, hash.strip(), tail)
    except ValueError as error:
        logger.warning("a line of the credentials cannot be used (%s): %r", error, user[:40])
        return Kept(text)


def _line(user: str, hash: str, tail: str) -> Line:
    if (
        not user
        or not hash.startswith("{SSHA}")
        or len(base64.b64decode(hash[6:], validate=True)) <= _SHA1_BYTES
    ):
        raise ValueError("no {SSHA} hash")
    if not user.isprintable():  # a byte that is no UTF-8 is not either
        raise ValueError("no name")
    role, *words = tail.rstrip().split(" ")
    given = dict(word.partition("=")[::2] for word in words)
    if (
        role not in _ROLES
        or not set(given) <= set(_KEYS)
        or (role == INVITE) != user.startswith(INVITE_PREFIX)
    ):
        raise ValueError("an unknown role or word")
    until = int(given["until"]) if "until" in given else None
    if role == INVITE and (until is None or not given.get("for")):
        raise ValueError("an invite without name or end")
    if given.get("state", "used") != "used":
        raise ValueError("an unknown state")
    return Line(
        user,
        hash,
        role,
        until,
        given.get("for", ""),
        "admin" in given,
        "state" in given,
        "replace" in given,
    )

"""Who may call: a file of `name:{SSHA}…` lines that nginx reads as well (`auth_basic_user_file`).

Secrets are random, 256 bits, so a salted SHA-1 is enough and costs a microsecond; bcrypt on every request
would be a denial of service by our own hand (docs/decisions/0004-password-hash.md has the measurement).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from pathlib import Path

from bus.errors import Unauthorized

logger = logging.getLogger("bus.credentials")

_SHA1_BYTES = 20
_NOBODY = hashlib.sha1(b"no such user").digest() + b"saltsalt"


def new_secret() -> str:
    """A secret of 256 random bits in 43 letters, digits, - and _."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """`{SSHA}` and base64 of SHA-1(secret + salt) + salt, as nginx's auth_basic knows it."""
    salt = secrets.token_bytes(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(secret.encode() + salt).digest() + salt).decode()


class Credentials:
    """The file, read again whenever it changes: no restart is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version: tuple[int, int, int] | None = None
        self._hashes: dict[str, bytes] = {}
        self._verified: dict[str, str] = {}

    def user_of(self, header: str | None) -> str:
        """The user that an Authorization header proves; raises Unauthorized.

        A wrong password and an unknown user take the same time and give the same answer.
        """
        self._refresh()
        if header is None:
            raise Unauthorized("This call has no credential.")
        user = self._verified.get(header)
        if user is None:
            user = self._verify(header)
            if len(self._verified) > 10_000:
                self._verified.clear()
            self._verified[header] = user
        return user

    def knows(self, user: str, secret: str) -> bool:
        """Whether this is a user's secret."""
        header = base64.b64encode(f"{user}:{secret}".encode()).decode()
        try:
            return self.user_of(f"Basic {header}") == user
        except Unauthorized:
            return False

    def add(self, user: str, secret: str) -> None:
        """Add or replace a user's secret; the file is written whole or not at all."""
        lines = [line for line in self._lines() if not line.startswith(user + ":")]
        lines.append(f"{user}:{hashed(secret)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd, scratch = tempfile.mkstemp(dir=self.path.parent, prefix=".credentials-")
        with os.fdopen(fd, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(fd)
        if self.path.exists():
            old = self.path.stat()
            os.chmod(scratch, old.st_mode & 0o777)
            if os.geteuid() == 0:
                os.chown(scratch, old.st_uid, old.st_gid)
        os.replace(scratch, self.path)

    def users(self) -> list[str]:
        """The names in the file."""
        return [line.split(":", 1)[0] for line in self._lines() if ":" in line]

    def _verify(self, header: str) -> str:
        scheme, _, encoded = header.partition(" ")
        try:
            user, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except ValueError:
            user, secret, scheme = "", "", "unreadable"
        known = self._hashes.get(user, _NOBODY)
        salt = known[_SHA1_BYTES:]
        matches = hmac.compare_digest(hashlib.sha1(secret.encode() + salt).digest(), known[:_SHA1_BYTES])
        if not matches or scheme.lower() != "basic" or user not in self._hashes:
            raise Unauthorized("The user name or password is wrong.")
        return user

    def _refresh(self) -> None:
        try:
            stat = os.stat(self.path)
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            version = None
        if version != self._version or version is None:
            self._hashes = _parsed(self._lines())
            self._verified, self._version = {}, version

    def _lines(self) -> list[str]:
        try:
            return [line for line in self.path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        except FileNotFoundError:
            return []


def _parsed(lines: list[str]) -> dict[str, bytes]:
    """The digests with their salts, by user. A line that cannot be used is one user's trouble, not everybody's."""
    found = {}
    for line in lines:
        user, marker, text = line.partition(":{SSHA}")
        try:
            digest = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            digest = b""
        if user and marker and len(digest) > _SHA1_BYTES:
            found[user] = digest
        else:
            logger.warning("a line of the credentials cannot be used: %r", user[:40])
    return found

"""References that prove something: `412.k7f3` was shown to one session, and only with message 412.

A session that uses one has had the message before it. No I/O.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

# The first one is no digit and no "e", so that no reader of JSON or YAML takes it for a number.
_FIRST = "abcdfghjkmnpqrstvwxyz"
_OTHERS = "0123456789abcdefghjkmnpqrstvwxyz"
_SHOWN = re.compile(r"([0-9]{1,18}|[0-9A-Za-z]{26})\.([A-Za-z][0-9A-Za-z]{3})")


class ShownSeq(int):
    """A seq that came with a nonce."""

    nonce: str


class ShownId(str):
    """An id that came with a nonce."""

    nonce: str


def read(text: str) -> ShownSeq | ShownId | None:
    """Return the reference in a text, if it has a nonce; right or wrong."""
    found = _SHOWN.fullmatch(text)
    if found is None:
        return None
    ref, nonce = found.groups()
    shown = ShownSeq(ref) if ref.isdigit() and len(ref) < 26 else ShownId(ref.upper())
    shown.nonce = nonce.lower()
    return shown


def nonce_of(ref: str | int) -> str | None:
    """Return the nonce that a reference came with."""
    return ref.nonce if isinstance(ref, (ShownSeq, ShownId)) else None


def as_text(ref: str | int) -> str | int:
    """Return a reference as it can be given again, its nonce included."""
    nonce = nonce_of(ref)
    plain: str | int = int(ref) if isinstance(ref, int) else str(ref)
    return plain if nonce is None else f"{plain}.{nonce}"


def nonce(key: bytes, id: str, name: str) -> str:
    """Return the four characters that only `name` is shown with the message `id`: 19 bits."""
    digest = hmac.new(key, f"{id} {name}".encode(), sha256).digest()
    first = _FIRST[int.from_bytes(digest[:4], "big") % len(_FIRST)]
    return first + "".join(_OTHERS[byte % len(_OTHERS)] for byte in digest[4:7])

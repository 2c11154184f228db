"""Who is calling: by a token, by a credential, or by where the call comes from."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from bus.config import BadSetting

Networks = Sequence[IPv4Network | IPv6Network]


class Visitor(NamedTuple):
    """Where a call comes from, and its Authorization header."""

    address: str
    authorization: str | None = None

    @property
    def ip(self) -> str:
        """The address; of an IPv4 one in IPv6 clothes, the IPv4 one."""
        return self.address.removeprefix("::ffff:")

    @property
    def is_loopback(self) -> bool:
        """Whether the call comes from this machine."""
        return ip_address(self.ip).is_loopback

    @property
    def token(self) -> str | None:
        """The token that it has brought."""
        scheme, _, token = (self.authorization or "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    @property
    def has_credential(self) -> bool:
        """Whether it has brought a user name and a password, good or not."""
        return (self.authorization or "").lower().startswith("basic ")

    def is_in(self, networks: Networks) -> bool:
        """Return whether the call comes from one of these networks."""
        return any(ip_address(self.ip) in network for network in networks)


class Tokens:
    """Makes and checks tokens. One is good for one lease of one name; with the key in a file they
    outlive the listener.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, name: str, lease: str) -> str:
        """Return the token of a lease."""
        proof = hmac.new(self._key, f"{name} {lease}".encode(), sha256).hexdigest()
        return f"{name}:{lease}:{proof}"

    def name_in(self, token: str) -> str:
        """Return the name that a token says it is for, proven or not."""
        return token.partition(":")[0]

    def proves(self, token: str, name: str, lease: str) -> bool:
        """Return whether a token was given for this lease."""
        return hmac.compare_digest(token.encode(), self.of(name, lease).encode())


def networks(text: str, setting: str) -> Networks:
    """Return the networks in a setting, with commas between them; raises BadSetting."""
    try:
        return [ip_network(one.strip(), strict=False) for one in text.split(",") if one.strip()]
    except ValueError as error:
        raise BadSetting(f"{setting} is {text!r}: {error}") from None

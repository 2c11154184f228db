"""Which addresses of the network anybody may have the hub connect to. No I/O."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Versions of Python differ in what they take for global; these are none of the open internet.
# 168.63.129.16 is the inside of a cloud, though public by the registry: https://learn.microsoft.com,
# "What is IP address 168.63.129.16".
_INSIDE = [
    ip_network(text)
    for text in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "168.63.129.16/32"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
# Of IPv6, all that was ever given out to the open internet; what stands for an address of IPv4 is
# outside of it, or above.
_GIVEN_OUT = ip_network("2000::/3")


def is_public(address: Address) -> bool:
    """Return whether an address is one of the open internet.

    Loopback, link-local (where clouds keep their metadata), private, shared (CGNAT), multicast and
    reserved ones are not, nor is an address of IPv6 that stands for one of IPv4, whichever that is.
    """
    if isinstance(address, IPv6Address) and address not in _GIVEN_OUT:
        return False
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    is_local = address.is_loopback or address.is_link_local or address.is_private
    is_inside = any(address in network for network in _INSIDE)
    return address.is_global and not (is_special or is_local or is_inside)


def literal(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None

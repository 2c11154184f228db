"""Whether calls go through a proxy, and whom they trust: as the environment says, in the words that
requests knows.

So a machine is set up once for whatever it runs, and both transports go the same way.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from busclient._settings import Settings

if TYPE_CHECKING:
    import ssl


def asks_environment(settings: Settings) -> bool:
    """Return whether the environment has a say: a proxy has no business between this machine and
    itself, nor beyond an ssh.
    """
    return not settings.is_loopback and settings.ssh_host is None


def proxy_of(settings: Settings) -> str | None:
    """Return the URL of the proxy that calls to the hub go through; None where they go straight."""
    if not asks_environment(settings) or not _may_be_set():
        return None
    from urllib.request import getproxies  # noqa: PLC0415  15 ms, where there is a proxy

    hub = urlsplit(settings.url)
    if _is_exempt(hub):
        return None
    proxies = getproxies()
    names = (f"{hub.scheme}://{hub.hostname}", hub.scheme, f"all://{hub.hostname}", "all")
    found = next((proxies[name] for name in names if name in proxies), None)
    return found if not found or "://" in found else f"http://{found}"


def _may_be_set() -> bool:
    """macOS and Windows have settings of their own for it."""
    return (
        os.name == "nt"
        or sys.platform == "darwin"
        or any(name.lower().endswith("_proxy") for name in os.environ)
    )


def _is_exempt(hub: SplitResult) -> bool:
    """Return whether no_proxy names this host: an end of its name (with its port or not), its
    address, or a network that it is in.
    """
    from urllib.request import proxy_bypass  # noqa: PLC0415

    host = hub.hostname or ""
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    entries = [entry for entry in said.replace(" ", "").split(",") if entry]
    address = _address(host)
    if address is not None:
        if any(entry == host or _is_in(address, entry) for entry in entries):
            return True
    elif any(
        _ends_with(name, entry.lstrip("."))
        for entry in entries
        for name in (host, f"{host}:{hub.port}")
    ):
        return True
    with contextlib.suppress(OSError, TypeError):  # macOS looks the name up
        return bool(proxy_bypass(host))
    return False


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _address(host: str) -> int | None:
    """Return the number of an IPv4 address; None for a name."""
    try:
        return int.from_bytes(socket.inet_aton(host))
    except OSError:
        return None


def _is_in(address: int, network: str) -> bool:
    """Return whether an address is in a network such as 10.0.0.0/8."""
    start, slash, bits = network.partition("/")
    number = _address(start)
    if number is None or not slash or not bits.isdecimal() or not 1 <= int(bits) <= 32:
        return False
    return number >> (32 - int(bits)) == address >> (32 - int(bits))


def trust(settings: Settings) -> ssl.SSLContext:
    """Return who may vouch for a hub: those of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE (a file or a
    folder), else certifi's.

    Raises FileNotFoundError.
    """
    import ssl  # noqa: PLC0415

    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle = named if named and asks_environment(settings) else _certifi()
    if not os.path.exists(bundle):
        raise FileNotFoundError(
            2, "There is no such file of certificates (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE)", bundle
        )
    is_folder = os.path.isdir(bundle)
    return ssl.create_default_context(
        cafile=None if is_folder else bundle, capath=bundle if is_folder else None
    )


def _certifi() -> str:
    from certifi import where  # noqa: PLC0415

    return where()

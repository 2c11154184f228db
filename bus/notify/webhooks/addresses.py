"""Connections to addresses that others choose: only to those of the open internet.

A name is looked up once for each connection, what it leads to is checked, and the connection goes
to what was checked: a name that leads elsewhere a moment later leads nowhere. TLS proves the name
all the same.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from bus.model.addresses import is_public, literal
from bus.model.webhooks import Place

_MOST_ADDRESSES = 4  # of a name that are tried
_CONNECT_S = 5.0

# Called with a host and a port; gives what `socket.getaddrinfo` does.
Resolve = Callable[[str, int], list[tuple[Any, ...]]]


class Refused(Exception):
    """No connection is made to this address; the text says why."""


class Target(NamedTuple):
    """An address that was checked, as `connect` takes it."""

    family: int
    address: tuple[Any, ...]


def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return the addresses of a name; raises OSError, or UnicodeError for a name that is none."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Network:
    """Finds and checks addresses. With `private`, all are allowed.

    `resolve` looks names up; whoever joins the parts may have one that cannot hold others up.
    """

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.private, self.resolve = private, resolve
        self._tls = tls

    def targets(self, place: Place) -> list[Target]:
        """Return where a connection to a place may go; raises Refused, or OSError where the name is
        not found.
        """
        try:
            found = self.resolve(place.host, place.port)
        except UnicodeError:
            raise Refused("its host is not a name") from None
        for _, _, _, _, address in found:
            # One that is not public makes all of them doubtful.
            if not self.private and not _is_allowed(str(address[0])):
                raise Refused("its host does not lead to the open internet")
        unique = dict.fromkeys(Target(family, address) for family, _, _, _, address in found)
        if not unique:
            raise Refused("its host leads nowhere")
        return list(unique)[:_MOST_ADDRESSES]

    def tls(self) -> ssl.SSLContext:
        """Return what connections with TLS are made with: certificates and names are checked."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _is_allowed(text: str) -> bool:
    address = literal(text)
    return address is not None and is_public(address)


class Connection:
    """One connection; `cut` ends whatever is done with it, from any thread."""

    def __init__(self, network: Network, place: Place) -> None:
        self._network, self._place = network, place
        self._mutex = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def open(self) -> socket.socket:
        """Connect; raises Refused and OSError."""
        failed: OSError = OSError("there is no address")
        for target in self._network.targets(self._place):
            try:
                return self._secured(self._connected(target))
            except OSError as error:
                failed = error
                self.close()
            if self.is_cut:
                break
        raise failed

    def _connected(self, target: Target) -> socket.socket:
        made = socket.socket(target.family, socket.SOCK_STREAM)
        self._hold(made)
        made.settimeout(_CONNECT_S)
        made.connect(target.address)
        return made

    def _secured(self, plain: socket.socket) -> socket.socket:
        if not self._place.is_tls:
            return plain
        made = self._network.tls().wrap_socket(
            plain, server_hostname=self._place.host, do_handshake_on_connect=False
        )
        self._hold(made)
        made.do_handshake()
        return made

    def _hold(self, held: socket.socket) -> None:
        with self._mutex:
            self._socket = held
            if self.is_cut:
                raise OSError("it was cut")

    def cut(self) -> None:
        """End what is done with the connection: whoever waits for it gets an error."""
        with self._mutex:
            self.is_cut = True
            if self._socket is not None:
                # By a twin: TLS would say goodbye first, and wait.
                with suppress(OSError):
                    twin = socket.socket(fileno=os.dup(self._socket.fileno()))
                    with twin:
                        twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        with self._mutex:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

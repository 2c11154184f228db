"""Where peers find the listener: the hub's own setting, else those of claude-peers."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bus.config import BadSetting, Config

logger = logging.getLogger("bus.peers")

_WORDS = {"lan": "0.0.0.0", "local": "127.0.0.1", "localhost": "127.0.0.1"}


def address_of(config: Config, environ: Mapping[str, str]) -> tuple[str, int]:
    """Return where to listen; raises BadSetting.

    CLAUDE_PEERS_BIND and CLAUDE_PEERS_PORT count where BUS_PEERS_LISTEN is not set.
    """
    host, _, port = config.peers_listen.rpartition(":")
    if not environ.get("BUS_PEERS_LISTEN"):
        bind = environ.get("CLAUDE_PEERS_BIND") or host
        host, port = _WORDS.get(bind, bind), environ.get("CLAUDE_PEERS_PORT") or port
    if environ.get("CLAUDE_PEERS_DB"):
        logger.warning(
            "CLAUDE_PEERS_DB is ignored: peers and their messages are in the hub's own log"
        )
    host = host.strip("[]")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise BadSetting(f"CLAUDE_PEERS_BIND and CLAUDE_PEERS_PORT are {host!r} and {port!r}")
    return host, int(port)

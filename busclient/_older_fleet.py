"""`~/.claude-net/config.json`, where an older fleet keeps a machine's name and its hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from busclient._errors import SettingsError

LOCAL_URL = "http://127.0.0.1:8787"
MEND = "Mend the file, or take it away."
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_SIGNS_OF_A_CONTAINER = (
    "run/systemd/container",
    "dev/lxd",
    "dev/incus",
    ".dockerenv",
    "run/.containerenv",
)


def read_net_config(path: Path) -> dict[str, str]:
    """Return the BUS_* values that it stands for; {} when there is none. Raises SettingsError."""
    if not path.exists():
        return {}
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", hint=MEND) from None
    if not isinstance(config, dict):
        raise SettingsError(f"{path} is not a JSON object.", hint=MEND)
    texts = {name: value for name, value in config.items() if isinstance(value, str) and value}
    found = {"BUS_NAME": texts["machine"]} if "machine" in texts else {}
    host = texts.get("sshHost")
    if "url" in texts:
        found["BUS_URL"] = texts["url"]
    elif host == "local":
        found["BUS_URL"] = url_of_host()
    elif host is not None:
        found["BUS_SSH_HOST"] = host
    return found


def url_of_host(root: Path = Path("/")) -> str:
    """Return where the host of this container has its hub: at the gateway, when that is a private
    address; else on this machine.
    """
    if not any((root / sign).exists() for sign in _SIGNS_OF_A_CONTAINER):
        return LOCAL_URL
    try:
        routes = [line.split() for line in (root / "proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return LOCAL_URL
    for route in routes:
        if len(route) > 2 and route[1] == "00000000" and route[2] != "00000000":
            from ipaddress import IPv4Address, IPv4Network  # noqa: PLC0415

            gateway = IPv4Address(bytes.fromhex(route[2])[::-1])
            return (
                f"http://{gateway}:8787"
                if any(gateway in IPv4Network(network) for network in _PRIVATE)
                else LOCAL_URL
            )
    return LOCAL_URL

"""What LXD or Incus says of its instances: their states, what is being done with them, their
snapshots.

The states are its own, told in fewer words. A pool that is a folder freezes a container for every
snapshot (20 s for 4 GB). LXD then lets anybody start it, which thaws it in the middle of the copy,
and stop or rename it; a second snapshot, or a start during a restore, makes the first fail (LXD
5.0.2, 2026-11-26). So who wants to change an instance looks at its operations first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from bus.runner.drivers.base import Listed
from bus.runner.drivers.snapshots import Snapshot

RUNNING, STOPPED, FROZEN = "running", "stopped", "frozen"
_STATES = {
    "Running": RUNNING,
    "Ready": RUNNING,  # it runs, and has said so itself
    "Thawed": RUNNING,
    "Stopped": STOPPED,
    "Frozen": FROZEN,
    "Freezing": FROZEN,
    "Starting": "starting",
    "Stopping": "stopping",
    "Aborting": "stopping",
    "Error": "error",
}
STOPPING = "Stopping instance"  # LXD's and Incus' word for that operation
_NOT_IN_THE_WAY = "websocket"  # the class of operations that are commands and consoles


def state_of(entry: Mapping[str, Any]) -> str:
    """Return the state of an instance, in the words of `base.Listed`."""
    return _STATES.get(str(entry.get("status")), "unknown")


def listed(entry: Mapping[str, Any], driver: str) -> Listed:
    """Return an instance as `lxc list` tells it."""
    networks = ((entry.get("state") or {}).get("network") or {}).items()
    addresses = [
        address["address"]
        for card, network in networks if card != "lo" for address in network.get("addresses") or ()
        if address.get("scope") == "global"
    ]  # fmt: skip
    kind = "machine" if entry.get("type") == "virtual-machine" else "container"
    names = tuple(made["name"] for made in entry.get("snapshots") or ())
    return Listed(entry["name"], kind, driver, state_of(entry), tuple(addresses), names)


def snapshots(entries: Iterable[Mapping[str, Any]]) -> list[Snapshot]:
    """Return the snapshots of an instance, oldest first."""
    made = [Snapshot(entry["name"], _time(entry.get("created_at"))) for entry in entries]
    return sorted(made, key=lambda snapshot: (snapshot.made, snapshot.name))


def operation(found: Mapping[str, Any], target: str) -> str | None:
    """Return in LXD's words what these operations do with this instance; None: nothing."""
    for entry in (*(found.get("running") or ()), *(found.get("pending") or ())):
        if entry.get("class") != _NOT_IN_THE_WAY and target in _names(entry.get("resources") or {}):
            return str(entry.get("description") or "an operation")
    return None


def _names(resources: Mapping[str, Any]) -> set[str]:
    """Return the instances of an operation: /1.0/instances/NAME or, for one on a snapshot,
    /1.0/instances/NAME/SNAPSHOT.
    """
    urls = [
        urlsplit(str(url)).path.split("/")
        for kind in ("instances", "containers")
        for url in resources.get(kind) or ()
    ]
    return {
        parts[parts.index(kind) + 1]
        for parts in urls
        for kind in ("instances", "containers")
        if kind in parts[:-1]
    }


def _time(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)

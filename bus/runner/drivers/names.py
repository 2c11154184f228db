"""The rules for names of targets, snapshots, hosts and users.

A name that passes cannot be an option, a path or a remote.
"""

from __future__ import annotations

import re

from bus.errors import BadField

# LXD's own: a host name.
CONTAINER = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# A reader of the bus, without a session.
MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:%-]{0,254}")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def snapshot_name(name: str) -> str:
    """Return this name; raises BadField."""
    if not SNAPSHOT.fullmatch(name):
        raise BadField(
            "A snapshot's name has 1 to 63 letters, digits, '.', '_' or '-'"
            " and begins with a letter or digit."
        )
    return name

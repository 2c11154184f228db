"""Which MCP servers we have registered with Claude Code: another's of the same name is not ours to
remove.
"""

from __future__ import annotations

import json
from pathlib import Path

from busclient._claude.state import read
from busclient._files import write_private
from busclient._places import Places

_FILE = "claude-code-servers.json"


class Registry:
    """The servers that were registered beside one settings file."""

    def __init__(self, places: Places, settings: Path) -> None:
        self._places, self._key = places, str(settings)

    def servers(self) -> list[str]:
        """Return their names, in the order in which they were registered."""
        found = read(self._places, _FILE).get(self._key)
        return [str(name) for name in found] if isinstance(found, list) else []

    def add(self, server: str) -> None:
        """Note one; raises OSError."""
        self._keep([*self.servers(), server])

    def remove(self, server: str) -> None:
        """Forget one; raises OSError."""
        self._keep([name for name in self.servers() if name != server])

    def _keep(self, servers: list[str]) -> None:
        known = {**read(self._places, _FILE), self._key: servers}
        write_private(self._places.make_state() / _FILE, json.dumps(known))

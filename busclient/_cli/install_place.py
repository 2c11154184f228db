"""What `bus install claude-code` installs, and where."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busclient._claude.profiles import SERVERS
from busclient._places import Places

if TYPE_CHECKING:
    from busclient._claude.rules import Rules, Skill
    from busclient._claude.servers import ProjectServers, UserServers
    from busclient._claude.settings_file import SettingsFile


@dataclass(frozen=True)
class Place:
    """What is installed, and where."""

    places: Places
    bus: str
    server: str
    entry: dict[str, Any]
    settings: SettingsFile
    servers: UserServers | ProjectServers
    rules: Rules
    skill: Skill
    mail_skill: Skill

    @property
    def has_mail(self) -> bool:
        """Whether the tools are those that the skill `mail` is for."""
        return self.server == SERVERS["claudemail"]

    @classmethod
    def of(cls, scope: str, profile: str) -> Place:
        from busclient._claude import servers  # noqa: PLC0415
        from busclient._claude.claude_files import folder_of_user  # noqa: PLC0415
        from busclient._claude.registry import Registry  # noqa: PLC0415
        from busclient._claude.rules import Rules, Skill  # noqa: PLC0415
        from busclient._claude.settings_file import SettingsFile  # noqa: PLC0415

        places, bus, in_project = Places.of_user(), bus_command(), scope == "project"
        folder = Path.cwd() / ".claude" if in_project else folder_of_user()
        path = folder / "settings.json"
        registry = Registry(places, path)
        return cls(
            places,
            bus,
            SERVERS[profile],
            servers.entry(bus, profile),
            SettingsFile(path, places, in_project=in_project),
            servers.ProjectServers(registry, Path.cwd(), places)
            if in_project
            else servers.UserServers(registry),
            Rules((Path.cwd() if in_project else folder) / "CLAUDE.md", places),
            Skill(folder / "skills", places),
            Skill(folder / "skills", places, "mail"),
        )


def bus_command() -> str:
    """Return how this command is run from anywhere."""
    called = Path(sys.argv[0])
    if called.name == "bus" and called.exists():
        return shlex.quote(str(called.absolute()))
    # -P: nothing is loaded from the folder in which a session works.
    return f"{shlex.quote(sys.executable)} -P -m busclient"

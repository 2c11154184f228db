"""Where Claude Code keeps its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def folder_of_user(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where Claude Code keeps what is the user's: settings, rules and skills."""
    own = environ.get("CLAUDE_CONFIG_DIR")
    return Path(own) if own else Path(environ.get("HOME") or Path.home()) / ".claude"


def settings_files(environ: Mapping[str, str], cwd: str) -> tuple[Path, ...]:
    """Return the settings of the user, of the project and of the user in the project; they need
    not be there. `cwd` counts where the environment does not name the project.
    """
    project = Path(environ.get("CLAUDE_PROJECT_DIR") or cwd) / ".claude"
    return (
        folder_of_user(environ) / "settings.json",
        project / "settings.json",
        project / "settings.local.json",
    )

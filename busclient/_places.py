"""Where the client keeps what: one place for every path.

| what                       | where                                            |
|----------------------------|--------------------------------------------------|
| settings                   | `~/.secrets/claude-bus.env`                      |
| settings of an older fleet | `~/.claude-net/config.json` (only read)          |
| outbox, drain state, locks | `~/.local/state/claude-bus/` (XDG_STATE_HOME)    |
| data of a hub by `bus up`  | `~/.local/share/claude-bus/hub/` (XDG_DATA_HOME) |
| clones of handoffs         | `~/.local/share/claude-bus/handoffs/`            |

On Windows, LOCALAPPDATA stands for both XDG variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from busclient._files import as_file_name

_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+|[A-Za-z0-9._@-]{2,}:[^\\].*", re.DOTALL)


@dataclass(frozen=True)
class Places:
    """The folders and files of one user."""

    env_file: Path
    net_config: Path
    state: Path
    hub_data: Path
    handoffs: Path

    @classmethod
    def of_user(cls, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Places:
        """Return those of the user who runs this; `home` for tests."""
        environ = os.environ if environ is None else environ
        home = home or Path(environ.get("HOME") or Path.home())
        local = (
            Path(environ["LOCALAPPDATA"])
            if os.name == "nt" and environ.get("LOCALAPPDATA")
            else None
        )
        state = local or Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state")
        data = local or Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        return cls(
            env_file=home / ".secrets" / "claude-bus.env",
            net_config=home / ".claude-net" / "config.json",
            state=state / "claude-bus",
            hub_data=data / "claude-bus" / "hub",
            handoffs=data / "claude-bus" / "handoffs",
        )

    def make_state(self) -> Path:
        """Return the state folder, made (0700) where it is not there; raises OSError."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.state


def place_of(setting: str, kept_in: Path) -> tuple[Path, str | None]:
    """Return the folder that a BUS_HANDOFFS stands for, and the repository to clone where the
    folder is not there.

    A folder is named by its path; `owner/name` (a repository at GitHub) and URLs have a folder of
    their own in `kept_in`. A folder that is there goes before a repository of the same name.
    """
    folder = Path(setting).expanduser()
    is_source = is_at_github(setting) or _URL.fullmatch(setting) is not None
    if not is_source or folder.is_dir():
        return folder, None
    return kept_in / as_file_name(without_secret(setting)), setting


def without_secret(source: str) -> str:
    """Return a URL without a user name and password in it."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@", r"\1", source)


def is_at_github(source: str) -> bool:
    """Return whether this is `owner/name`, a repository at GitHub."""
    return _GITHUB.fullmatch(source) is not None

"""The table of targets that are no listed containers, a TOML file:

[ser8]
driver = "ssh"
host = "ser8.lan"                      # default: the name
user = "agent"                         # this and what follows: default is what ssh finds
port = 22
config = "/etc/claude-bus/ssh_config"
[scratch]
driver = "local"
folder = "/srv/scratch"
[old]
driver = "none"                        # no target, also where LXD lists it
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.runner.drivers.names import HOST, MACHINE, USER


class BadTable(ValueError):
    """A table that says something impossible: in which file, of which target, in which field."""

    def __init__(self, file: Path, why: str, target: str = "", field: str = "") -> None:
        place = "".join([f"{file}", f" [{target}]" if target else "", f" {field}" if field else ""])
        super().__init__(f"{place}: {why}")
        self.file, self.target, self.field = file, target, field


@dataclass(frozen=True)
class Machine:
    """How ssh reaches a target; None is left to ssh and its configuration."""

    host: str
    user: str | None = None
    port: int | None = None
    config: Path | None = None


@dataclass(frozen=True)
class Table:
    """Targets by name, by their driver."""

    machines: dict[str, Machine] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.machines or name in self.folders or name in self.barred


def load(file: Path) -> Table:
    """Return the table of this file, an empty one if there is no file; raises BadTable."""
    try:
        entries = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Table()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTable(file, str(error)) from None
    machines, folders, barred = {}, {}, set()
    for name, fields in entries.items():
        entry = _Entry(file, name, fields)
        driver = entry.text(
            "driver", lambda value: value in ("ssh", "local", "none"), 'is "ssh", "local" or "none"'
        )
        if driver == "ssh":
            machines[name] = _machine(entry)
        elif driver == "local":
            folders[name] = _path(entry, "folder") or entry.wrong("folder", "is missing")
        elif driver == "none":
            barred.add(name)
        else:
            entry.wrong("driver", "is missing")
        entry.finish()
    return Table(machines, folders, frozenset(barred))


class _Entry:
    """One table of the file, whose fields are taken one by one."""

    def __init__(self, file: Path, name: str, fields: Any) -> None:
        self._file, self.name = file, name
        if not MACHINE.fullmatch(name):
            raise BadTable(
                file,
                "a name has 1 to 64 letters, digits, '.', '_' or '-'"
                " and begins with a letter or digit",
                name,
            )
        if not isinstance(fields, dict):
            raise BadTable(file, f"must be a table: [{name}] and its fields below", name)
        self._fields = dict(fields)

    def wrong(self, field: str, why: str) -> Any:
        raise BadTable(self._file, why, self.name, field)

    def take(self, field: str) -> Any:
        """Return the value of a field; None if it is missing."""
        return self._fields.pop(field, None)

    def text(self, field: str, is_good: Callable[[str], object], rule: str) -> str | None:
        value = self.take(field)
        if value is not None and not (isinstance(value, str) and is_good(value)):
            self.wrong(field, rule)
        return value  # type: ignore[no-any-return]

    def finish(self) -> None:
        """Refuse the fields that nobody took."""
        for unknown in self._fields:
            self.wrong(unknown, "is not a field of this driver")


def _machine(entry: _Entry) -> Machine:
    host = entry.text("host", HOST.fullmatch, "is a host name or an address")
    user = entry.text("user", USER.fullmatch, "is a user name")
    port = entry.take("port")
    if port is not None and not (type(port) is int and 0 < port < 1 << 16):
        entry.wrong("port", "is a number from 1 to 65535")
    return Machine(host or entry.name, user, port, _path(entry, "config"))


def _path(entry: _Entry, field: str) -> Path | None:
    value = entry.text(
        field, lambda path: path.startswith("/") and path.isprintable(), "is an absolute path"
    )
    return None if value is None else Path(value)

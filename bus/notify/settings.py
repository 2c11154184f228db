"""The settings file of notices: services and rules, in TOML. It has secrets, so it must be its
owner's alone.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bus.config import BadSetting
from bus.notify import services
from bus.notify.rules import Rule
from bus.notify.services.base import Service, Tools
from bus.notify.table import Table

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_MOST_BYTES = 1 << 20


class Settings(NamedTuple):
    """What is sent where: the services by their names, and all rules."""

    services: dict[str, Service]
    rules: list[Rule]


def load(path: Path, tools: Callable[[str], Tools]) -> Settings:
    """Return what the file says; `tools` makes those of the service with a name.

    Raises BadSetting with a line that names the file and the key that is wrong.
    """
    given = _read(path)
    try:
        return _settings(given, tools)
    except BadSetting as error:
        raise BadSetting(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BadSetting(
            f"there is no {path}: docs/notices.md tells what to put there"
            " (BUS_NOTIFY_CONFIG names another file)"
        ) from None
    except OSError as error:
        raise BadSetting(f"{path} cannot be read: {error.strerror}") from None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise BadSetting(f"{path} is no file")
    with open(fd, "rb") as file:
        if found.st_mode & 0o077:
            raise BadSetting(
                f"{path} can be read by others, and has secrets: chmod 600 {path} closes it"
            )
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise BadSetting(f"{path} is larger than {_MOST_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} is not TOML: {error}") from None


def _settings(given: Mapping[str, Any], tools: Callable[[str], Tools]) -> Settings:
    for key in given:
        if key not in ("services", "rules"):
            raise BadSetting(f"{key[:64]} is not known here; known are services, rules")
    tables, rules = given.get("services", {}), given.get("rules", [])
    if not isinstance(tables, dict) or not tables:
        raise BadSetting("services is missing: it must have a table, such as [services.ops]")
    if not isinstance(rules, list):
        raise BadSetting("rules must be a list of tables: [[rules]]")
    made: dict[str, Service] = {}
    for name, table in tables.items():
        if _NAME.fullmatch(name) is None:
            raise BadSetting(f"services.{name[:40]} is no name: small letters, digits, - and _")
        if not isinstance(table, dict):
            raise BadSetting(f"services.{name} must be a table")
        made[name] = services.made(Table(f"services.{name}", table), tools(name))
    found = []
    for at, rule in enumerate(rules, 1):
        if not isinstance(rule, dict):
            raise BadSetting(f"rules[{at}] must be a table")
        found.append(Rule.read(Table(f"rules[{at}]", rule), made))
    for service in made.values():
        found += service.rules
    return Settings(made, found)

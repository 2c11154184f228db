"""What a caller may ask of a target: every field of an exec, a file or a container request checked. Pure.

`docs/net.md` has the tables of fields. A checked call is data: `request` is what it does, canonical, so that two
requests for the same thing have one digest; how the answer is wanted (`stream`, `detach`, the idempotency key) is apart.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bus.errors import BadField, MissingField, TooLarge
from bus.model import checks

EXEC, FILE_READ, FILE_WRITE, CONTAINER = "exec", "file_read", "file_write", "container"
ACTIONS = (EXEC, FILE_READ, FILE_WRITE)
ACTS = ("start", "stop", "snapshot", "restore", "delete-snapshot")

MAX_COMMAND, MAX_ARGV, MAX_ENV, MAX_PATH = 64 * 1024, 1024, 64, 4096
MAX_LIMIT = 2**53  # of the bytes of a file: no limit
MAX_TIMEOUT_S = 3600.0
DEFAULT_TIMEOUT_S = 30.0

_HOW = ("stream", "detach", "client_id")
FIELDS: dict[str, tuple[str, ...]] = {
    EXEC: (
        "from",
        "target",
        "command",
        "argv",
        "timeout_s",
        "cwd",
        "user",
        "env",
        "stdin",
        "stdin_encoding",
        *_HOW,
    ),
    FILE_READ: ("from", "target", "path", "offset", "limit"),
    FILE_WRITE: (
        "from",
        "target",
        "path",
        "content",
        "encoding",
        "mode",
        "uid",
        "gid",
        "create_dirs",
        "if_sha256",
        "client_id",
    ),
    CONTAINER: ("from", "name", "snapshot", "force", "timeout_s", "snapshot_first", "client_id"),
}

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}(:[0-9]{1,10})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MODE = re.compile(r"0?[0-7]{3,4}")
_SHA256 = re.compile(r"([0-9a-f]{64})?")
_OURS = re.compile(r"BUS_EXEC_ID|__bus_.*")


@dataclass(frozen=True)
class Call:
    """A checked request: `type` exec, file_read, file_write or container; `sender` None is the caller itself.

    `request` holds plain JSON values: for exec `argv`, `timeout_s` and where given `cwd`, `user`, `env`, `stdin`
    (base64); for a write `content` (base64). `shown` is what people see of it, a command, a path or an act.
    """

    type: str
    target: str
    request: dict[str, Any]
    shown: dict[str, Any]
    sender: str | None = None
    key: str | None = None
    stream: bool = False
    detach: bool = False

    @property
    def digest(self) -> str:
        """What tells this request from another: of its type, target and everything that it does."""
        content = json.dumps(
            [self.type, self.target, self.request], sort_keys=True, separators=(",", ":")
        )
        return sha256(content.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The call as JSON, for the service that runs it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def check(type: str, given: Mapping[str, Any], max_file: int, act: str = "") -> Call:
    """The call in these fields; raises MissingField, BadField, UnknownField, TooLarge. `act` is a container's."""
    checks.check_fields(given, FIELDS[type])
    for field, value in given.items():
        if value is None:
            raise BadField(
                f"`{field}` is null.", hint="Give a value, or leave the field out.", field=field
            )
    where = target(given, "name" if type == CONTAINER else "target")
    sender = checks.agent(given["from"], "from") if "from" in given else None
    key = checks.key(given["client_id"], "client_id") if "client_id" in given else None
    if type == EXEC:
        return _exec(given, where, sender, key)
    if type == FILE_READ:
        return _read(given, where, sender)
    if type == FILE_WRITE:
        return _write(given, where, sender, key, max_file)
    return _container(given, where, sender, key, act)


def _exec(given: Mapping[str, Any], target: str, sender: str | None, key: str | None) -> Call:
    if ("command" in given) == ("argv" in given):
        raise MissingField(
            "Give either `command` or `argv`.",
            hint='"command":"uptime", or "argv":["uptime"].',
            field="command",
        )
    command = _text(given["command"], "command", MAX_COMMAND) if "command" in given else None
    argv = ["bash", "-c", command] if command is not None else _argv(given["argv"])
    request: dict[str, Any] = {
        "argv": argv,
        "timeout_s": _seconds(given, DEFAULT_TIMEOUT_S, 0.1, MAX_TIMEOUT_S),
    }
    if "cwd" in given:
        request["cwd"] = path(given["cwd"], "cwd")
    if "user" in given:
        request["user"] = _matching(
            given["user"], "user", _USER, "A user's name, its number, or uid:gid."
        )
    if "env" in given and (variables := _env(given["env"])):
        request["env"] = variables
    if "stdin" in given:
        request["stdin"] = _as_base64(given, "stdin", "stdin_encoding")
    stream, detach = _flag(given, "stream"), _flag(given, "detach")
    if stream and detach:
        raise BadField(
            "`stream` and `detach` are both true.", hint="Give one of them.", field="detach"
        )
    shown = {"command": command} if command is not None else {"argv": argv}
    return Call(EXEC, target, request, shown, sender, key, stream, detach)


def _read(given: Mapping[str, Any], target: str, sender: str | None) -> Call:
    where = path(given.get("path"), "path")
    request: dict[str, Any] = {"path": where, "offset": _number(given, "offset", 0, 0, MAX_LIMIT)}
    if "limit" in given:
        request["limit"] = _number(given, "limit", 0, 0, MAX_LIMIT)
    return Call(FILE_READ, target, request, {"path": where}, sender)


def _write(
    given: Mapping[str, Any], target: str, sender: str | None, key: str | None, max_file: int
) -> Call:
    where = path(given.get("path"), "path")
    if "content" not in given:
        raise MissingField(
            "`content` is missing.",
            hint="Give the whole content of the file; it may be empty.",
            field="content",
        )
    content = _as_base64(given, "content", "encoding")
    size = len(base64.b64decode(content))
    if size > max_file:
        raise TooLarge(
            f"`content` is {size} bytes; at most {max_file} are allowed.", size=size, limit=max_file
        )
    request: dict[str, Any] = {
        "path": where,
        "content": content,
        "create_dirs": _flag(given, "create_dirs"),
    }
    if "mode" in given:
        digits = _matching(given["mode"], "mode", _MODE, 'Octal digits as text, such as "0644".')
        request["mode"] = int(digits, 8)
    for field in ("uid", "gid"):
        if field in given:
            request[field] = _number(given, field, 0, 0, 2**32 - 2)
    if "if_sha256" in given:
        request["if_sha256"] = _matching(
            given["if_sha256"], "if_sha256", _SHA256, "64 hex digits in small letters, or empty."
        )
    return Call(FILE_WRITE, target, request, {"path": where}, sender, key)


def _container(
    given: Mapping[str, Any], target: str, sender: str | None, key: str | None, act: str
) -> Call:
    allowed = {
        "start": (),
        "stop": ("force", "timeout_s"),
        "snapshot": ("snapshot",),
        "restore": ("snapshot", "snapshot_first"),
        "delete-snapshot": ("snapshot",),
    }
    checks.check_fields(given, ("from", "name", "client_id", *allowed[act]))
    request: dict[str, Any] = {"act": act}
    if "snapshot" in given:
        request["snapshot"] = snapshot_name(given["snapshot"])
    elif act in ("restore", "delete-snapshot"):
        hint = "GET /api/container/snapshots?name=NAME lists them."
        raise MissingField("`snapshot` is missing.", hint=hint, field="snapshot")
    if act == "stop":
        request |= {"force": _flag(given, "force"), "timeout_s": _seconds(given, 30.0, 1, 600)}
    if act == "restore":
        request["snapshot_first"] = _flag(given, "snapshot_first", default=True)
    shown = {"command": act, **({"snapshot": request["snapshot"]} if "snapshot" in request else {})}
    return Call(CONTAINER, target, request, shown, sender, key)


def path(value: Any, field: str) -> str:
    """An absolute path inside a target; raises BadField."""
    if value is None:
        raise MissingField(f"`{field}` is missing.", hint="Give an absolute path.", field=field)
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {_shown(value)}, not text.", field=field)
    parts = value.split("/")
    rule = "An absolute path of at most 4096 bytes: no `..`, no part that begins with `-`, no control character."
    if (
        not value.startswith("/")
        or len(value.encode()) > MAX_PATH
        or ".." in parts
        or any(part.startswith("-") for part in parts)
        or any(ord(char) < 32 or ord(char) == 127 for char in value)
    ):
        raise BadField(f"`{field}` is {_shown(value)}.", hint=rule, field=field)
    return value


def snapshot_name(value: Any) -> str:
    """The name of a snapshot; raises BadField."""
    return _matching(
        value,
        "snapshot",
        _SNAPSHOT,
        "1 to 63 letters, digits, dots, underscores or hyphens, the first no sign.",
    )


def target(given: Mapping[str, Any], field: str) -> str:
    """The name of a container or machine in this field; raises BadField, MissingField."""
    name = checks.agent(given.get(field), field)
    if "/" in name:
        raise BadField(
            f"`{field}` is {_shown(name)}: a session is no target.",
            hint="Give the machine's name.",
            field=field,
        )
    return name


def _text(value: Any, field: str, longest: int) -> str:
    if not isinstance(value, str) or value == "":
        raise BadField(
            f"`{field}` is {_shown(value)}.", hint="Give text, at least one character.", field=field
        )
    size = len(value.encode())
    if size > longest:
        raise TooLarge(
            f"`{field}` is {size} bytes; at most {longest} are allowed.", size=size, limit=longest
        )
    return value


def _argv(value: Any) -> list[str]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_ARGV
        or not all(isinstance(item, str) for item in value)
    ):
        raise BadField(
            "`argv` is no list of texts.",
            hint=f"1 to {MAX_ARGV} texts, the first the program.",
            field="argv",
        )
    _text(value[0], "argv", MAX_PATH)
    if value[0].startswith("-"):
        raise BadField(
            f"`argv` begins with {_shown(value[0])}.",
            hint="The first text is the program.",
            field="argv",
        )
    size = sum(len(item.encode()) + 1 for item in value)
    if size > MAX_COMMAND:
        raise TooLarge(
            f"`argv` is {size} bytes; at most {MAX_COMMAND} are allowed.",
            size=size,
            limit=MAX_COMMAND,
        )
    return value


def _env(value: Any) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or len(value) > MAX_ENV
        or not all(isinstance(text, str) for text in value.values())
    ):
        raise BadField(
            "`env` is no object of texts, or has too many.",
            hint=f"Up to {MAX_ENV} variables.",
            field="env",
        )
    for name in value:
        if _VARIABLE.fullmatch(name) is None or _OURS.fullmatch(name):
            raise BadField(
                f"`env` has {_shown(name)}.",
                hint="Names are letters, digits and underscores.",
                field="env",
            )
    size = sum(len(text.encode()) for text in value.values())
    if size > MAX_COMMAND:
        raise TooLarge(
            f"`env` is {size} bytes; at most {MAX_COMMAND} are allowed.",
            size=size,
            limit=MAX_COMMAND,
        )
    return dict(sorted(value.items()))


def _as_base64(given: Mapping[str, Any], field: str, how: str) -> str:
    """Bytes that came as text or as base64, as base64."""
    value, encoding = given[field], given.get(how, "utf-8")
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {_shown(value)}, not text.", field=field)
    if encoding == "utf-8":
        return base64.b64encode(value.encode()).decode()
    if encoding != "base64":
        raise BadField(f"`{how}` is {_shown(encoding)}.", hint="One of utf-8, base64.", field=how)
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except ValueError as error:
        raise BadField(f"`{field}` is not base64: {error}.", field=field) from None


def _flag(given: Mapping[str, Any], field: str, default: bool = False) -> bool:
    value = given.get(field, default)
    if not isinstance(value, bool):
        raise BadField(f"`{field}` is {_shown(value)}.", hint="true or false.", field=field)
    return value


def _number(given: Mapping[str, Any], field: str, default: int, low: int, high: int) -> int:
    value = given.get(field, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not low <= value <= high
        or value != int(value)
    ):
        raise BadField(
            f"`{field}` is {_shown(value)}.",
            hint=f"A whole number from {low} to {high}.",
            field=field,
        )
    return int(value)


def _seconds(given: Mapping[str, Any], default: float, low: float, high: float) -> float:
    value = given.get("timeout_s", default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadField(
            f"`timeout_s` is {_shown(value)}.",
            hint=f"Seconds, {low:g} to {high:g}.",
            field="timeout_s",
        )
    return float(value)


def _matching(value: Any, field: str, pattern: re.Pattern[str], hint: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise BadField(f"`{field}` is {_shown(value)}.", hint=hint, field=field)
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"

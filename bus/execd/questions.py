"""What an admin is shown before saying yes: the exact command, or the difference that a write would make."""

from __future__ import annotations

import base64
import difflib
from hashlib import sha256
from typing import Any

from bus.calls import EXEC, FILE_WRITE, Call
from bus.containers.base import Driver
from bus.errors import FileChanged, NoSuchFile

_MAX_DIFF = 64 * 1024


def facts(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    """The facts of a call that an admin needs. For a write they hold `base_sha256` of the file as it is now, "" for none."""
    if call.type == EXEC:
        shown = {name: value for name, value in call.request.items() if name != "stdin"}
        if "stdin" in call.request:
            data = base64.b64decode(call.request["stdin"])
            shown |= {"stdin_size": len(data), "stdin_sha256": sha256(data).hexdigest(), "stdin": _beginning(data)}
        return shown
    if call.type == FILE_WRITE:
        return _of_write(call, driver, max_file)
    return dict(call.request)


def _of_write(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    new = base64.b64decode(call.request["content"])
    try:
        file = driver.read(call.target, call.request["path"], 0, max_file, max_file)
        old, base = file.content, file.sha256
    except NoSuchFile:
        old, base = b"", ""
    wanted = call.request.get("if_sha256")
    if wanted is not None and wanted != base:
        raise FileChanged(f"{call.request['path']} is not the file that `if_sha256` names.", sha256=base or None)
    rest = {name: value for name, value in call.request.items() if name not in ("content", "path", "if_sha256")}
    facts = {**rest, "size": len(new), "sha256": sha256(new).hexdigest(), "base_sha256": base}
    return {**facts, "diff": _difference(call.request["path"], old, new)}


def _difference(path: str, old: bytes, new: bytes) -> str:
    """A unified diff; for what is no text, or too long, only sizes."""
    try:
        before, after = old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return f"binary: {len(old)} bytes become {len(new)}"
    if len(old) + len(new) > 8 * _MAX_DIFF:
        return f"too long to be shown: {len(old)} bytes become {len(new)}"
    lines = [
        line if line.endswith("\n") else line + "\n\\ no newline at the end\n"
        for line in difflib.unified_diff(before, after, path, path)
    ]
    text = "".join(lines)
    return text if len(text) <= _MAX_DIFF else f"too long to be shown: {len(text)} characters of difference"


def _beginning(data: bytes) -> str:
    text = data[:4096].decode(errors="backslashreplace")
    return text if len(data) <= 4096 else text + "…"

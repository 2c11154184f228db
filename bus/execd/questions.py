"""What an admin is shown before saying yes: the exact command, or the difference that a write would make."""

from __future__ import annotations

import base64
import difflib
from hashlib import sha256
from typing import Any

from bus.calls import EXEC, FILE_WRITE, Call
from bus.containers.base import Driver
from bus.errors import FileChanged, NoSuchFile, TooLarge

MAX_SHOWN = 64 * 1024


def facts(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    """The facts of a call that an admin needs: all of it, for nothing may be allowed unseen.

    For a write they hold `base_sha256` of the file as it is now, "" for none. Raises TooLarge for what is too much to
    be looked at, and what reading the file raises.
    """
    if call.type == EXEC:
        shown = {name: value for name, value in call.request.items() if name != "stdin"}
        return {**shown, "stdin": _text(call.request["stdin"], "stdin")} if "stdin" in call.request else shown
    if call.type == FILE_WRITE:
        return _of_write(call, driver, max_file)
    return dict(call.request)


def _of_write(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    request, new = call.request, base64.b64decode(call.request["content"])
    before: dict[str, Any] = {"base_sha256": ""}
    old = b""
    try:
        file = driver.read(call.target, request["path"], 0, max_file, max_file)
    except NoSuchFile:
        pass
    else:
        old = file.content
        before = {"base_sha256": file.sha256, "base_mode": f"{file.mode:04o}", "base_uid": file.uid, "base_gid": file.gid}
    wanted = request.get("if_sha256")
    if wanted is not None and wanted != before["base_sha256"]:
        raise FileChanged(f"{request['path']} is not the file that `if_sha256` names.", sha256=before["base_sha256"] or None)
    rest: dict[str, Any] = {name: request[name] for name in ("uid", "gid", "create_dirs") if name in request}
    if "mode" in request:
        rest["mode"] = f"{request['mode']:04o}"
    facts = {**rest, **before, "size": len(new), "sha256": sha256(new).hexdigest()}
    return {**facts, "diff": _difference(request["path"], old, new)}


def _difference(path: str, old: bytes, new: bytes) -> str:
    """A unified diff, in which bytes that are no text stand as `\\xff`; raises TooLarge."""
    if len(old) + len(new) > 8 * MAX_SHOWN:
        raise _too_much("change", len(old) + len(new))
    before, after = (data.decode(errors="backslashreplace").splitlines(keepends=True) for data in (old, new))
    lines = [
        line if line.endswith("\n") else line + "\n\\ no newline at the end\n"
        for line in difflib.unified_diff(before, after, path, path)
    ]
    text = "".join(lines)
    if len(text) > MAX_SHOWN:
        raise _too_much("change", len(text))
    return text


def _text(encoded: str, what: str) -> str:
    data = base64.b64decode(encoded)
    if len(data) > MAX_SHOWN:
        raise _too_much(what, len(data))
    return data.decode(errors="backslashreplace")


def _too_much(what: str, size: int) -> TooLarge:
    return TooLarge(
        f"This {what} is {size} bytes, and an admin has to look at all of it before saying yes.",
        hint=f"At most {MAX_SHOWN} bytes can be approved; do it in parts, or ask for a permission without approval.",
        size=size,
        limit=MAX_SHOWN,
    )

"""What an admin sees before saying yes: the exact command, or what a write would change."""

from __future__ import annotations

import base64
import difflib
from hashlib import sha256
from typing import Any

from bus.errors import FileChanged, NoSuchFile, TooLarge
from bus.model.calls import EXEC, FILE_READ, FILE_WRITE, Call
from bus.runner.drivers.base import Driver

MAX_SHOWN = 64 * 1024
_SHORT = {"\\": "\\\\", "\t": "\\t", "\r": "\\r"}


def facts(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    """Return the facts of a call that an admin needs: all of it, for nothing may be allowed unseen.

    For a file they have `real_path`, where its path leads now, and for a write `base_sha256` of
    what is there ("" for nothing). Raises TooLarge for what is too much to look at, and what
    reading the file raises.
    """
    if call.type == EXEC:
        shown = {name: value for name, value in call.request.items() if name != "stdin"}
        return (
            {**shown, "stdin": _text(call.request["stdin"], "stdin")}
            if "stdin" in call.request
            else shown
        )
    if call.type == FILE_WRITE:
        return _of_write(call, driver, max_file)
    if call.type == FILE_READ:
        return {**call.request, "real_path": driver.resolve(call.target, call.request["path"])}
    return dict(call.request)


def _of_write(call: Call, driver: Driver, max_file: int) -> dict[str, Any]:
    request, new = call.request, base64.b64decode(call.request["content"])
    real = driver.resolve(call.target, request["path"])
    before: dict[str, Any] = {"real_path": real, "base_sha256": ""}
    old = b""
    try:
        # Whole or not at all.
        file = driver.read(call.target, request["path"], 0, max_file + 1, max_file, real)
    except NoSuchFile:
        pass
    else:
        old = file.content
        before |= {
            "base_sha256": file.sha256,
            "base_mode": f"{file.mode:04o}",
            "base_uid": file.uid,
            "base_gid": file.gid,
        }
    wanted = request.get("if_sha256")
    if wanted is not None and wanted != before["base_sha256"]:
        raise FileChanged(
            f"{request['path']} is not the file that `if_sha256` names.",
            sha256=before["base_sha256"] or None,
        )
    rest: dict[str, Any] = {
        name: request[name] for name in ("uid", "gid", "create_dirs") if name in request
    }
    if "mode" in request:
        rest["mode"] = f"{request['mode']:04o}"
    facts = {**rest, **before, "size": len(new), "sha256": sha256(new).hexdigest()}
    return {**facts, "diff": _difference(real, old, new)}


def _difference(path: str, old: bytes, new: bytes) -> str:
    """Return a unified diff of what `spelt` makes of both; raises TooLarge."""
    if len(old) + len(new) > 8 * MAX_SHOWN:
        raise _too_much("change", len(old) + len(new))
    before, after = ([spelt(line) for line in data.split(b"\n")] for data in (old, new))
    lines = difflib.unified_diff(
        _ended(before), _ended(after), spelt(path.encode()), spelt(path.encode())
    )
    text = "".join(lines)
    if len(text) > MAX_SHOWN:
        raise _too_much("change", len(text))
    return text


def _ended(lines: list[str]) -> list[str]:
    """Return lines with their ends.

    If the last line has no end, a line says so that cannot be content: `spelt` never returns it.
    """
    *whole, last = lines
    ended = [line + "\n" for line in whole]
    return [*ended, last + "\n\\ no newline at the end\n"] if last else ended


def spelt(line: bytes) -> str:
    """Bytes in printable ASCII, so that no two contents look alike; a line without its end.

    What is printed stands for itself, but for a backslash, which is doubled, and a space at the
    end, which is `\\x20`. Bytes that are no UTF-8 and ASCII control characters are `\\xff`, tabs
    `\\t`, CR `\\r`; every other character is `\\u00e9` or `\\U0001f600`: letters that look like
    others, marks that combine and what cannot be seen would hide a difference.
    """
    text = "".join(map(_spelt, line.decode(errors="surrogateescape")))
    bare = text.rstrip(" ")
    return bare + "\\x20" * (len(text) - len(bare))


def _spelt(char: str) -> str:
    number = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x80:
        return char if char.isprintable() else f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _text(encoded: str, what: str) -> str:
    """Return bytes, spelt line by line."""
    data = base64.b64decode(encoded)
    text = "\n".join(spelt(line) for line in data.split(b"\n"))
    if len(text) > MAX_SHOWN:
        raise _too_much(what, len(text))
    return text


def _too_much(what: str, size: int) -> TooLarge:
    return TooLarge(
        f"This {what} is {size} bytes, and an admin has to look at all of it before saying yes.",
        hint=f"At most {MAX_SHOWN} bytes can be approved; do it in parts,"
        " or ask for a permission without approval.",
        size=size,
        limit=MAX_SHOWN,
    )

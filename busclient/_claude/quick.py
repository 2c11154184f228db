"""What Claude Code waits for: a hook and the status line, without the machinery of the `bus`
command, which takes 50 ms to load.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

_WITHIN_S = 1.7  # with the start of Python, within 2 s


def main(command: str) -> NoReturn:
    """Do what `bus hook` or `bus statusline` does, and end this process with 0."""
    if command == "hook":
        _print(_hook())
    else:
        _print(status(None))
    os._exit(0)  # whatever still waits for a hub must not hold the session up


def status(other: str | None) -> str:
    """Return the status line, behind that of another command if there is one."""
    from busclient._claude import status_line  # noqa: PLC0415
    from busclient._places import Places  # noqa: PLC0415

    sent = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    first = "" if other is None else status_line.beside(other, sent)
    own = status_line.line(Places.of_user())
    return f"{first} {own}" if first else own


def _hook() -> str:
    """Return what the hook says; nothing if that takes too long."""
    from busclient._claude import hook  # noqa: PLC0415

    sent = "" if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8", "replace")
    answers: list[str] = []
    worker = threading.Thread(target=lambda: answers.append(hook.run(sent)), daemon=True)
    worker.start()
    worker.join(_WITHIN_S)
    return answers[0] if answers else ""


def _print(text: str) -> None:
    """Print a line in UTF-8, whatever the locale is; a reader that is gone is no trouble."""
    if text:
        try:
            os.write(1, f"{text}\n".encode())
        except OSError:
            return

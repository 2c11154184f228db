"""The shell programs that run inside a target, for dash, bash and busybox; loaded once.

Each is a `.sh` file in this folder. What varies comes as "$1", never in the text. The comment at
the top of a file stays here. A line `. ./NAME.sh` stands for the text of that file: a target gets
one text, and shellcheck reads the same whole.
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_HEADER = re.compile(r"(?:#.*\n)+")
_PIECE = re.compile(r"^\. \./([a-z_]+)\.sh\n", re.MULTILINE)


def _program(name: str) -> str:
    """Return the text of `name`.sh, without its header and with its pieces in place."""
    text = _HEADER.sub("", (_HERE / f"{name}.sh").read_text(encoding="utf-8"), count=1)
    return _PIECE.sub(lambda found: _program(found[1]), text)


BEGIN = _program("begin")
CLEAN = _program("clean")
ENTER = _program("enter")
KILL = _program("kill")
PASSWD = _program("passwd")
READ = _program("read")
REAL = _program("real")
START = _program("start")
WRITE = _program("write")

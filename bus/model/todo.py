"""Actions in a text: checkboxes, and the words in them that say who, how urgent and until when.

    - [ ] review migration @charlie !high due:2026-03-28

No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from bus.model.due import is_due
from bus.model.groups import ROLE, ROLE_PREFIX
from bus.model.records import NAME

PRIORITIES = ("low", "normal", "high", "urgent")
MAX_TITLE, MAX_ACTIONS = 200, 100
_LONGEST, _MENTIONS = 1_000, 3  # of a line: characters that are read, names that are looked up
_BOX = re.compile(r"[ \t]{0,16}(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[ \][ \t]+(\S.*)")
# `+` behind a count: what it took stays taken. Else a long line of ~ costs its square.
_FENCE = re.compile(r"[ \t]{0,16}(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?(`{3,}+|~{3,}+)([^`]*)")
_MENTION = re.compile(rf"(?<!\S)@((?:{ROLE_PREFIX}{ROLE.pattern})|(?:{NAME.pattern}))(?![/@\w])")
_PRIORITY = re.compile(rf"(?<!\S)!({'|'.join(PRIORITIES)})(?!\S)")
_DUE = re.compile(r"(?<!\S)due:(\S+)")


class Todo(NamedTuple):
    """What a line says is to be done. `unknown` are the names after an @ that nobody has, `odd_due`
    is what stands behind `due:` and is no date.
    """

    title: str
    assignee: str | None
    priority: str | None
    due: str | None
    unknown: tuple[str, ...]
    odd_due: str | None = None


def boxes(text: str) -> Iterator[str]:
    """Yield what stands behind each open checkbox of a markdown text, outside of code."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.fullmatch(line)
        if found is not None and not fence:
            fence = found[1]
        elif found is not None and found[1].startswith(fence) and not found[2].strip():
            fence = ""
        elif not fence and (box := _BOX.fullmatch(line)) is not None:
            yield box[1][:_LONGEST]


def read(text: str, named: Callable[[str], str | None]) -> Todo | None:
    """Return what a line says; None where no title is left. `named` returns whom a word behind an @
    means, None for nobody.
    """
    assignee, unknown = None, []
    for found in islice(_MENTION.finditer(text), _MENTIONS):
        word = found[1].rstrip("._-")
        assignee = named(word)
        if assignee is not None:
            text = text[: found.start()] + text[found.start() + 1 + len(word) :]
            break
        unknown.append(word)
    priority = _PRIORITY.search(text)
    text = _PRIORITY.sub("", text)
    dues = list(_DUE.finditer(text))
    due = next((found for found in dues if is_due(found[1])), None)
    if due is not None:
        text = text[: due.start()] + text[due.end() :]
    title = _title(text)
    if not title:
        return None
    return Todo(
        title,
        assignee,
        None if priority is None else priority[1],
        None if due is None else due[1],
        () if assignee is not None else tuple(unknown),
        dues[0][1] if dues and due is None else None,
    )


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1] + "…"

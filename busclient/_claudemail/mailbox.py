"""The folders of mail of ClaudeMail: a tree of markdown files, such as `charlie/inbox/plan.md` or
`inbox/charlie/plan.md`. What `bus mirror` writes is such a tree too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from busclient._claudemail.plain_files import NotTaken

INBOX, ARCHIVE, SENT = "inbox", "archive", "sent"
LONGEST = 96 * 1024  # of a text with its front matter: what a hub takes
_DEEPEST, _MOST = 8, 200_000
_BOXES = {
    **dict.fromkeys(("inbox", "new", "unread"), INBOX),
    **dict.fromkeys(("archive", "archived", "read", "cur", "done"), ARCHIVE),
    "sent": SENT,
    **dict.fromkeys(
        ("outbox", "drafts", "refused", "trash", "deleted"), ""
    ),  # not mail, or not yet
}


@dataclass(frozen=True)
class File:
    """A file of mail: whose it is as the folders say (empty: nobody's), and in which box; or why it
    is not taken.
    """

    path: Path
    owner: str
    box: str
    why: str = ""


def files(folder: Path) -> Iterator[File]:
    """Yield the markdown files below a folder, in the order of their names. Links, devices and
    hidden files are none; raises NotTaken if the folder cannot be read.
    """
    if not folder.is_dir():
        raise NotTaken("there is no such folder")
    for count, file in enumerate(_below(folder, ())):
        if count == _MOST:
            yield File(folder, "", "", f"only its first {_MOST:,} files are looked at")
            return
        yield file


def _below(folder: Path, parts: tuple[str, ...]) -> Iterator[File]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield File(folder, "", "", f"it cannot be read: {error.strerror or error}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        is_markdown = entry.name.lower().endswith(".md")
        if entry.is_symlink():
            if is_markdown or path.is_dir():
                yield File(path, "", "", "it is a link, which is not followed")
        elif entry.is_dir(follow_symlinks=False):
            if len(parts) == _DEEPEST:
                yield File(path, "", "", f"it is more than {_DEEPEST} folders deep")
            else:
                yield from _below(path, (*parts, entry.name))
        elif is_markdown:
            why = "" if entry.is_file(follow_symlinks=False) else "it is not a plain file"
            owner, box = whose(parts)
            if not box:
                why = why or "it lies in a folder of what was not sent, or thrown away"
            yield File(path, owner, box, why)


def whose(parts: tuple[str, ...]) -> tuple[str, str]:
    """Return whose mail lies in these folders, and in which box: `charlie/inbox`, `inbox/charlie`.
    What lies in no box that has a name is read mail: it wakes nobody.
    """
    known = [at for at, part in enumerate(parts) if part.lower() in _BOXES]
    if not known:
        return "/".join(parts[:1]), ARCHIVE
    before, after = parts[: known[0]], parts[known[-1] + 1 :]
    return "/".join(before[-2:] or after[:1]), _BOXES[parts[known[-1]].lower()]

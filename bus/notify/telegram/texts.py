"""Texts for Telegram, in the HTML that it takes, and cut at its limits. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bus.model.harmless import harmless
from bus.model.mentions import calling_nobody
from bus.model.notices import Notice

MOST = 4_096  # characters that Telegram takes, in UTF-16 units
MOST_TEXT, MOST_IN_BATCH = 3_400, 300
_ROOM = 3_900
_TITLE = 400


def units(text: str) -> int:
    """Return how long a text is for Telegram, in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, most: int) -> tuple[str, bool]:
    """Return the beginning of a text, of so many UTF-16 units, and whether something is left
    out.
    """
    data = text.encode("utf-16-le", "replace")
    if len(data) // 2 <= most:
        return data.decode("utf-16-le"), False
    return data[: most * 2].decode("utf-16-le", "ignore"), True


def quoted(text: str) -> str:
    """Return text of others as HTML in which it can be nothing but text."""
    return escape(harmless(text), quote=False)


def of_notice(notice: Notice, most: int = MOST_TEXT) -> tuple[str, str]:
    """Return a notice as HTML and as plain text, with a pointer to the rest where it was cut."""
    title, _ = cut(calling_nobody(notice.title), _TITLE)
    text, is_cut = cut(calling_nobody(notice.text), most)
    html, plain = f"<b>{quoted(title)}</b>", harmless(title)
    ref, call = notice.data.get("ref"), notice.data.get("call")
    if text:
        is_output = notice.kind == "call_ended"
        html += f"\n<pre>{quoted(text)}</pre>" if is_output else f"\n{quoted(text)}"
        plain += f"\n{harmless(text)}"
    if is_cut:
        html, plain = html + " …", plain + " …"
    pointer = f"bus read {ref}" if ref else f"bus call {call}" if call else ""
    if pointer and (is_cut or not text):
        html, plain = f"{html}\n<code>{quoted(pointer)}</code>", f"{plain}\n{pointer}"
    if notice.is_unsure:
        said = "(this may have been told before)"
        html, plain = f"{html}\n{said}", f"{plain}\n{said}"
    return html, plain


def fits(notices: Sequence[Notice]) -> int:
    """Return how many of these, from the first, fit into one message."""
    total = 0
    for at, notice in enumerate(notices):
        total += units(of_notice(notice, MOST_IN_BATCH)[0]) + 2
        if total > _ROOM:
            return max(1, at)
    return len(notices)


def together(notices: Sequence[Notice]) -> tuple[str, str]:
    """Return several notices as one message."""
    if len(notices) == 1:
        return of_notice(notices[0])
    parts = [of_notice(notice, MOST_IN_BATCH) for notice in notices]
    return "\n\n".join(html for html, _ in parts), "\n\n".join(plain for _, plain in parts)


def has_room(html: str, more: str) -> bool:
    """Return whether a message can be made longer by this."""
    return units(html) + units(more) + 2 <= _ROOM


def of_approval(found: Mapping[str, Any]) -> tuple[str, str, bool]:
    """Return a question to admins as HTML and plain text, and whether all of it is there: the very
    command, its input and variables, or the difference of the file.
    """
    head = f"{found['from']} asks: {found['action']} on {found['target']}"
    parts = [(name, _said(value)) for name, value in found.items() if name not in _ABOUT]
    html = f"<b>{quoted(head)}</b>"
    plain = harmless(head)
    for label, text in parts:
        html += f"\n{label}:\n<pre>{quoted(text)}</pre>"
        plain += f"\n{label}:\n{harmless(text)}"
    tail = f"id {found['id']}, until {found['expires']}"
    html, plain = f"{html}\n{quoted(tail)}", f"{plain}\n{tail}"
    if units(html) <= _ROOM and not found.get("lost"):
        return html, plain, True
    short = f"It is too long to be shown here whole: bus approve {found['id']} shows it."
    if found.get("lost"):
        short = "What it would allow was kept beside the log, and is gone. Say no."
    return f"<b>{quoted(head)}</b>\n{quoted(short)}", f"{harmless(head)}\n{short}", False


# What is no part of what a yes would allow. All else is shown, whatever it is called.
_ABOUT = frozenset(
    (
        *("id", "state", "action", "target", "from", "asked", "expires", "hash"),
        *("answered", "by", "lost", "thread"),
    )
)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

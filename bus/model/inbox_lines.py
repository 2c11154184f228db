"""A message of an inbox as text for somebody with little room: whole, or as one line. Pure."""

from __future__ import annotations

import math

from bus.model import attached
from bus.model.asked import ask_terms, is_open
from bus.model.brief_mark import claims, signed_lines, title_apart
from bus.model.filter import recipients
from bus.model.harmless import body_lines, quoted, sender
from bus.model.inbox_budget import Candidate
from bus.model.records import unix_ms

# Characters of the line about a message: with the least budget, one stub always fits
_LONGEST_LINE = 160
_LONGEST_SENDER = 64
_LONGEST_TERMS = 300
_LONGEST_TITLE = 80


def head_line(message: Candidate, now_ms: int, ref: str | None = None) -> str:
    """Return the line about a message, under `ref` or its seq."""
    to = recipients(message)
    ago = age(now_ms - unix_ms(message["ts"]))
    who = sender({**message, "from": _middle_cut(message["from"])})
    marks = [] if message["priority"] == "normal" else [message["priority"].upper()]
    if "given_to" in message:
        given = message["given_to"]
        marks.append(f"[given to {given['name'].partition('/')[2]} {given['s']} s ago]")
    marks += ["QUESTION"] if is_open(message) else []
    marks += ["FORWARDED"] if "forwarded" in message else []
    marks += claims(message)
    if title := title_apart(message):
        marks.append(f"BRIEF {quoted(_cut(title, _LONGEST_TITLE))}")
    marks += ["SUPERSEDED"] if "superseded_by" in message else []
    marks += attached.count_mark(message)
    line = " ".join([ref or str(message["seq"]), *marks, f"{ago} from {who}"])
    line += _cut(f" to {','.join(to[:3])}{'…' if len(to) > 3 else ''}", _LONGEST_LINE - len(line))
    for tag in message["tags"][:4]:
        shown = f" #{quoted(tag)}"
        if len(line) + len(shown) > _LONGEST_LINE:
            break
        line += shown
    return line


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _middle_cut(name: str) -> str:
    """Return a name that leaves room for the mark behind it: a long one must not push it out of the
    line.
    """
    half = _LONGEST_SENDER // 2
    return name if len(name) <= _LONGEST_SENDER else f"{name[:half]}…{name[1 - half :]}"


def size(message: Candidate) -> int:
    """Return the characters of a body; one that is too long to be shown was cut."""
    return int(message.get("size") or len(message["body"]))


def whole(
    message: Candidate, now_ms: int, *, with_seq: bool = True, with_trust: bool = False
) -> str:
    """Return a message in full.

    While sizes are taken, its seq in the list at the end is counted with it.
    """
    due = f" expires {message['expires']}" if "expires" in message else ""
    due += f" ack by {message['ack_by']}" if "ack_by" in message else ""
    re = f" re {message['in_reply_to']}" if "in_reply_to" in message else ""
    trust = _trust(message) if with_trust else ""
    if is_open(message):
        due += _cut(f" {' '.join(ask_terms(message['ask']))}".rstrip(), _LONGEST_TERMS)
    due += "".join(f" {mark}" for mark in attached.marks(message))
    head = f"{head_line(message, now_ms, message.get('ref'))}{trust}{re}{due} ({message['id']})\n"
    lines = [*body_lines(message["body"]), *signed_lines(message)]
    body = "".join(f"  {line}\n" for line in lines)
    return head + body + (f"{message['seq']}," if with_seq else "")


def brief(message: Candidate, length: int, now_ms: int, *, with_trust: bool = False) -> str:
    """Return a message on one line."""
    length_of_all = size(message)
    beginning = preview(message["body"], length)
    more = f" ({length_of_all:,} characters)" if length_of_all > length else ""
    trust = _trust(message) if with_trust else ""
    return f"{head_line(message, now_ms)}{trust}: {beginning}{more}\n"


def preview(body: str, length: int) -> str:
    """Return the first characters of a body on one line, harmless."""
    line = " ".join(" ".join(body_lines(body[:length].removesuffix("\r"))).split())
    return line + "…" if len(body) > length or "\n" in body.strip() else line


def age(ms: int) -> str:
    """For people: `now`, `5 min ago`, `3 h ago`, `2 d ago`."""
    minutes = math.floor(ms / 60_000)
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} d ago"


def _trust(message: Candidate) -> str:
    """Return what a message may be taken for, if the hub knows it."""
    return f" trust={message['trust']}" if "trust" in message else ""

"""What tools answer: a message as a model should see it, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bus.model.envelopes import defused
from bus.model.harmless import harmless

Answer = dict[str, Any]
Ref = Callable[[Mapping[str, Any]], str]  # the reference under which a model is shown a message

LONGEST = 4_000  # characters of a body in a list; less where there are many
ROOM = 40_000  # characters of all bodies in one answer
OUTPUT = 20_000  # characters of one stream of a command
FILE = 40_000  # characters of a file
_FEW = 8  # names and tags of a message in a list

# Of a message: what says who and when; the rest is shown where it says something.
_ALWAYS = ("from", "trust", "to", "ts")
_SOME = ("thread", "in_reply_to", "ack_by", "data", "given_to", "superseded_by", "retracted")


class Wrong(Exception):
    """An argument is wrong. For the model: which one, and what is right."""

    def __init__(self, argument: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.argument, self.message, self.hint = argument, message, hint

    def as_dict(self) -> Answer:
        """Return the content of the answer."""
        return {
            "error": "wrong_argument",
            "argument": self.argument,
            "message": self.message,
            "hint": self.hint,
        }


class Refused(Exception):
    """The hub has refused what a tool asked of it."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer.get("message")))
        self.status, self.answer = status, answer

    def as_dict(self) -> Answer:
        """Return the content of the answer: the hub's code, message, hint and details."""
        return {name: value for name, value in self.answer.items() if name not in ("ok", "docs")}


def safe(value: Any, did: Callable[[int], object] = lambda size: None) -> Any:
    """Return JSON in which no text can act on a terminal, hide, or pass for the frame around it;
    `did` is told how many characters were looked at.
    """
    if isinstance(value, str):
        did(len(value))
        return defused(harmless(value.replace("\r\n", "\n")))
    if isinstance(value, Mapping):
        return {safe(name, did): safe(item, did) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [safe(item, did) for item in value]
    return value


def messages(
    found: Sequence[Mapping[str, Any]], ref: Ref, rest: str, longest: int = LONGEST
) -> list[Answer]:
    """Return messages whose bodies and data fit into one answer; `rest` says how to read one that
    is cut, with `{}` for its reference.
    """
    sizes = [len(message["body"]) for message in found]
    sizes += [size for message in found if (size := _data_size(message))]
    if sum(min(size, longest) for size in sizes) > ROOM:
        longest = max(200, min(longest, ROOM // len(sizes)))
    return [message(one, ref, rest, longest) for one in found]


def message(found: Mapping[str, Any], ref: Ref, rest: str, longest: int | None = None) -> Answer:
    """Return one message, its body cut at `longest` characters (None: whole), and without data that
    is longer, or names and tags beyond a few.

    One that is shown whole has the reference that proves it.
    """
    shown: Answer = {"ref": found["seq"]}
    shown |= {name: found[name] for name in _ALWAYS if name in found}
    if found.get("verified") is not True:
        shown["verified"] = False
    if found.get("priority", "normal") != "normal":
        shown["priority"] = found["priority"]
    if found.get("tags"):
        shown["tags"] = found["tags"]
    shown |= {name: found[name] for name in _SOME if name in found}
    if shown.get("thread") == found["id"]:
        del shown["thread"]
    if found.get("attachments"):
        get = f"bus get {found['seq']}"
        shown["attachments"] = [
            {"name": one["name"], "size": one["size"], "type": one["type"], "get": get}
            for one in found["attachments"]
        ]
    if longest is not None:
        for name in ("to", "tags"):
            if isinstance(found.get(name), list) and len(found[name]) > _FEW:
                shown[name] = [*found[name][:_FEW], f"… and {len(found[name]) - _FEW} more"]
        if (size := _data_size(found)) > longest:
            del shown["data"]
            shown["data_left_out"] = f"{size} characters; read it: {rest.format(found['seq'])}"
    shown["body"] = found.get("snippet", found["body"])
    if longest is not None and len(shown["body"]) > longest:
        size, shown["body"] = len(shown["body"]), shown["body"][:longest]
        shown["cut"] = f"{longest} of {size} characters; read the rest: {rest.format(found['seq'])}"
    elif "snippet" not in found:
        shown["ref"] = ref(found)
    return shown


def _data_size(found: Mapping[str, Any]) -> int:
    """Return how many characters the data of a message takes; 0 if it has none."""
    return len(json.dumps(found["data"], ensure_ascii=False)) if "data" in found else 0


def output(text: str | None, longest: int = OUTPUT) -> tuple[str | None, str | None]:
    """Return the output of a command, and what to say of it if its middle is left out."""
    if text is None or len(text) <= longest:
        return text, None
    left = len(text) - longest
    gap = f"\n[{left} characters left out]\n"
    shown = text[: longest // 2] + gap + text[-longest // 2 :]
    return shown, f"{left} of {len(text)} characters are left out; let the command print less"

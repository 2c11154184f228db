"""What a command gave, as a message that others can rely on: the hub writes it, not its caller.

No I/O.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from bus.model.caller import Caller, lowest_trust
from bus.model.filter import recipients
from bus.model.records import EVERYBODY, HUB, Fields

_COMMAND, _PREVIEW = 500, 1_000  # characters of a command, and of its output


def place(caller: Caller, name: str, message: Mapping[str, Any]) -> Fields:
    """Return where the result of a call of `name` is posted: in the thread of a message, to all who
    take part in it.
    """
    names = [message["from"], *recipients(message)]
    others = [who for who in dict.fromkeys(names) if who not in (EVERYBODY, HUB, name)]
    return {
        "in_reply_to": message["id"],
        "thread": message.get("thread") or message["id"],
        "to": others[:64] or [name],
        # Of what a person has run, the output is still a machine's.
        "trust": lowest_trust(caller.trust, "agent"),
    }


def output_of(answer: Mapping[str, Any], stream: str = "stdout") -> bytes | None:
    """Return the bytes of a kept answer's output; None if they are not there."""
    text = answer.get(stream)
    if not isinstance(text, str):
        return None
    is_base64 = answer.get(f"{stream}_encoding") == "base64"
    return base64.b64decode(text) if is_base64 else text.encode()


def evidence(
    asked: Mapping[str, Any],
    id: str,
    result: str,
    facts: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
) -> Fields:
    """Return the record of the message about a call that has ended. `asked` is how it began, with
    `cite`: where to.
    """
    cite, target = asked["cite"], asked["target"]
    output = None if answer is None else output_of(answer)
    state = "done" if result == "ok" else result
    cited: Fields = {"id": id, "target": target, "state": state}
    names = {"exitCode": "exit_code", "duration_ms": "duration_ms"}
    cited |= {ours: facts[theirs] for theirs, ours in names.items() if theirs in facts}
    if output is not None and answer is not None:
        cited |= {"size": len(output), "sha256": sha256(output).hexdigest()}
        cited["truncated"] = bool(answer.get("truncated"))
    to: Sequence[str] = cite["to"]
    return {
        "kind": "message",
        "auth": asked["auth"],
        "verified": True,
        "trust": cite["trust"],
        "from": asked["from"],
        "to": to[0] if len(to) == 1 else list(to),
        "body": _body(asked, id, result, facts, output),
        "tags": ["exec"],
        "priority": "normal",
        "in_reply_to": cite["in_reply_to"],
        "thread": cite["thread"],
        "call": cited,
    }


def _body(
    asked: Mapping[str, Any],
    id: str,
    result: str,
    facts: Mapping[str, Any],
    output: bytes | None,
) -> str:
    command = asked.get("command") or shlex.join(asked.get("argv", ()))
    lines = [f"$ {_cut(command, _COMMAND)}", f"{_outcome(result, facts)} on {asked['target']}"]
    if "duration_ms" in facts:
        lines[-1] += f" after {facts['duration_ms']} ms"
    if output is not None:
        lines[-1] += f", {len(output)} bytes of output, sha256 {sha256(output).hexdigest()}"
    if facts.get("stderr_size"):
        lines[-1] += f", {facts['stderr_size']} bytes on standard error"
    try:
        text = (output or b"")[: 4 * _PREVIEW + 4].decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        text = (output or b"")[: error.start].decode() if error.start >= _PREVIEW else ""
    text = "".join(char if char in "\n\t" or char >= " " else "\ufffd" for char in text)
    if text.strip():
        lines += ["", _cut(text.rstrip("\n"), _PREVIEW)]
    return "\n".join([*lines, "", f"All of it: bus call {id}"])


def _outcome(result: str, facts: Mapping[str, Any]) -> str:
    if result == "unknown":
        return "was lost while it ran, and nobody knows how it ended,"
    if facts.get("timed_out"):
        return "was ended at its time"
    if facts.get("cancelled"):
        return "was ended"
    if "error" in facts:
        return f"failed ({facts['error']})"
    return f"exit code {facts.get('exitCode')}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"

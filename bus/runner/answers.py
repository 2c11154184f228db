"""What a call gives: the answer to its caller, and the facts that go into the log."""

from __future__ import annotations

import base64
import codecs
from hashlib import sha256
from typing import Any

from bus.model.records import utc
from bus.runner.drivers.base import Ended, File, Output
from bus.runner.drivers.snapshots import Snapshot

Answer = dict[str, Any]


def of_exec(id: str, ended: Ended) -> Answer:
    """Return the answer of an exec: see `docs/net.md`, POST /api/exec."""
    answer: Answer = {"ok": not ended.lost, "id": id, "exitCode": ended.exit_code}
    if ended.lost:
        answer |= {"state": "unknown", "reason": ended.lost}
    for name, output in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        text, encoding = as_text(output.data, is_cut=_is_cut(output))
        answer |= {name: text, f"{name}_encoding": encoding, f"{name}_size": output.size}
    answer |= {
        "duration_ms": ended.duration_ms,
        "truncated": _is_cut(ended.stdout) or _is_cut(ended.stderr),
    }
    answer["timed_out"] = ended.timed_out
    if ended.cancelled:
        answer["cancelled"] = True
    if ended.leaked != 0:
        answer["leaked"] = ended.leaked
    return answer


def facts_of_exec(ended: Ended) -> Answer:
    """Return what the log says of an exec: no output, but its sizes and sums."""
    facts: Answer = {"exitCode": ended.exit_code, "duration_ms": ended.duration_ms}
    for name, output in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        facts[f"{name}_size"] = output.size
        if output.data:
            facts[f"{name}_sha256"] = sha256(output.data).hexdigest()
    for name in ("timed_out", "cancelled"):
        if getattr(ended, name):
            facts[name] = True
    if ended.lost:
        facts["reason"] = ended.lost
    if ended.leaked != 0:
        facts["leaked"] = ended.leaked
    if ended.is_unreached:
        facts["unreached"] = True
    return facts


def of_file(id: str, file: File, offset: int | None) -> Answer:
    """Return the answer of a read from `offset`, or with None of a write."""
    answer: Answer = {"ok": True, "id": id}
    if offset is not None:
        text, encoding = as_text(file.content)
        answer |= {"content": text, "encoding": encoding, "offset": offset}
    return answer | facts_of_file(file)


def facts_of_file(file: File) -> Answer:
    """Return what the log says of a file."""
    return {
        "size": file.size,
        "sha256": file.sha256,
        "mode": f"{file.mode:04o}",
        "uid": file.uid,
        "gid": file.gid,
    }


def of_snapshot(snapshot: Snapshot) -> Answer:
    """Return a snapshot of a container, as it is listed."""
    return {
        "name": snapshot.name,
        "made": utc(snapshot.made.timestamp()),
        "by_restore": snapshot.is_by_restore,
    }


def as_text(data: bytes, is_cut: bool = False) -> tuple[str, str]:
    """Return bytes as text if they are UTF-8, else as base64; and which of the two.

    The last character of a cut output may be missing.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(data, final=not is_cut), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def without_texts(answer: Answer) -> Answer:
    """Return the answer for a caller who was already sent all of the output."""
    shown = {
        name: value
        for name, value in answer.items()
        if name not in ("stdout", "stderr", "stdout_encoding", "stderr_encoding")
    }
    return {**shown, "truncated": False} if "truncated" in shown else shown


def result_of(answer: Answer) -> str:
    """Return the log's word for how a call with this answer ended: ok, error or unknown."""
    if "error" in answer or answer.get("timed_out") or answer.get("cancelled"):
        return "error"
    return "unknown" if answer.get("state") == "unknown" else "ok"


OUTCOMES = {
    "ok": "ended",
    "error": "failed",
    "unknown": "was lost while it ran; nobody knows how it ended",
}


def outcome(answer: Answer) -> str:
    """Return in words how a call ended. Not why: every caller of the hub can read every message."""
    if "error" in answer:
        return f"failed: {answer['error']['error']}"
    if answer.get("state") == "unknown":
        return OUTCOMES["unknown"]
    if answer["timed_out"]:
        return "was ended at its time"
    return "was ended" if answer.get("cancelled") else f"ended with exit code {answer['exitCode']}"


def told(id: str, to: str, target: str, outcome: str, exit_code: int | None = None) -> Answer:
    """Return the message that tells the caller of a detached call how it ended."""
    see = f"To see what it gave: bus call {id}, or GET /api/exec/{id}"
    body = f"The command on {target} {outcome}. {see}"
    data = {"id": id, "target": target, "exitCode": exit_code}
    return {"to": to, "body": body, "tags": ["exec"], "data": data, "client_id": f"exec {id}"}


def facts_of_answer(answer: Answer) -> Answer:
    """Return what the log says of a call of which only the answer is left."""
    texts = (
        "ok",
        "id",
        "state",
        "content",
        "stdout",
        "stderr",
        "encoding",
        "stdout_encoding",
        "stderr_encoding",
        "name",
        "offset",
    )
    return {name: value for name, value in answer.items() if name not in texts}


def asking(question: Answer, admins: list[str]) -> Answer:
    """Return the message that tells admins that a call waits for their yes.

    It does not say what the call would do: every caller of the hub can read every message.
    """
    id, what = question["approval"], {"action": question["type"], "target": question["target"]}
    whose = f"{question['from']} asks for a yes: {what['action']} on {what['target']}."
    body = f"{whose} To see it and answer: bus approve {id}, or GET and POST /api/approvals/{id}"
    data = {"id": id, **what}
    return {
        "to": admins[:64],
        "body": body,
        "tags": ["approval"],
        "priority": "urgent",
        "data": data,
        "client_id": f"asks {id}",
    }


class Chunks:
    """Turns the output of a running command into lines for its caller, characters whole."""

    def __init__(self) -> None:
        self._rest = {"stdout": b"", "stderr": b""}

    def line(self, stream: str, data: bytes) -> Answer | None:
        """Return what came, after what was kept back before; None for only the beginning of a
        character.
        """
        data = self._rest[stream] + data
        whole = len(data) - _unfinished(data)
        self._rest[stream] = data[whole:]
        return _chunk(stream, data[:whole]) if whole else None

    def rest(self) -> list[Answer]:
        """Return what was kept back and will not become whole."""
        return [_chunk(stream, data) for stream, data in self._rest.items() if data]


def _chunk(stream: str, data: bytes) -> Answer:
    text, encoding = as_text(data)
    return {stream: text} if encoding == "utf-8" else {stream: text, "encoding": encoding}


def _unfinished(data: bytes) -> int:
    """How many bytes at the end are the beginning of a UTF-8 character: 0 to 3."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < needed else 0
        if byte < 0x80:
            return 0
    return 0


def _is_cut(output: Output) -> bool:
    return output.size > len(output.data)

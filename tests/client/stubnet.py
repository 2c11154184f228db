"""A hub's side of Claude Net as docs/net.md tells it, with answers on order, and every request
kept.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    fields: Any
    user: str


class StubNet:
    """A WSGI app. `on("POST /api/exec", …)` orders answers, each given once, the last for ever.

    An answer is (status, object), an object (200), a list of lines for a stream (None: a sign of
    life; an exception: the connection breaks), or a function of the request that gives one of
    these.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._orders: dict[str, deque[Any]] = {}
        self.hung_up = 0

    def on(self, route: str, *answers: Any) -> None:
        self._orders[route] = deque(answers)

    def bodies(self, path: str) -> list[Any]:
        """What was sent to a path."""
        return [asked.fields for asked in self.asked if asked.path == path]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        import base64

        data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
        user = base64.b64decode(environ["HTTP_AUTHORIZATION"].split()[1]).decode()
        asked = Asked(
            environ["REQUEST_METHOD"], environ["PATH_INFO"],
            dict(parse_qsl(environ["QUERY_STRING"])),
            json.loads(data) if data else None, user,
        )  # fmt: skip
        self.asked.append(asked)
        orders = self._orders.get(f"{asked.method} {asked.path}")
        assert orders is not None, f"nothing is on order for {asked}"
        answer = orders.popleft() if len(orders) > 1 else orders[0]
        if callable(answer):
            answer = answer(asked)
        if isinstance(answer, list):
            start_response("200 OK", [("Content-Type", "application/x-ndjson")])
            return _Stream(self, answer)
        status, value = answer if isinstance(answer, tuple) else (200, answer)
        headers = [("Content-Type", "application/json")]
        if status in (409, 429, 503):
            headers.append(("Retry-After", "2"))
        start_response(f"{status} X", headers)
        return [json.dumps(value).encode()]


class _Stream:
    def __init__(self, stub: StubNet, lines: list[Any]) -> None:
        self.stub, self.lines = stub, iter(lines)
        self.is_over = False

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            if isinstance(line, BaseException):
                raise line
            yield b"\n" if line is None else json.dumps(line).encode() + b"\n"
        self.is_over = True

    def close(self) -> None:
        self.stub.hung_up += not self.is_over


def error(status: int, code: str, **details: Any) -> tuple[int, dict[str, Any]]:
    """An answer with an error."""
    return status, {
        "ok": False,
        "error": code,
        "message": f"this is {code}",
        "hint": f"hint of {code}",
        "docs": "/",
        **details,
    }


def ended(id: str = "01A", **more: Any) -> dict[str, Any]:
    """The answer to an exec."""
    return {
        "ok": True, "id": id, "exitCode": 0, "stdout": "", "stderr": "", "duration_ms": 84,
        "truncated": False,
        "timed_out": False, "stdout_encoding": "utf-8", "stderr_encoding": "utf-8",
        "stdout_size": 0, "stderr_size": 0, **more,
    }  # fmt: skip


def streamed(*chunks: dict[str, Any], **result: Any) -> list[Any]:
    """The lines of a streamed exec."""
    last = {
        name: value for name, value in ended(**result).items() if name not in ("stdout", "stderr")
    }
    return [{"id": last["id"], "state": "running"}, None, *chunks, {"result": last}]


EXEC = "POST /api/exec"


ASKED = error(202, "approval_required", id="01Q", expires="2026-11-20T20:00:00.000Z")


def approval(state: str, **more: Any) -> dict[str, Any]:
    facts = {
        "id": "01Q",
        "state": state,
        "from": "web1",
        "target": "db1",
        "action": "exec",
        "argv": ["bash", "-c", "id"],
        **more,
    }
    return {"ok": True, "approval": facts}


FACTS = {"ok": True, "id": "01F", "size": 4, "sha256": "9f86", "mode": "0644", "uid": 0, "gid": 0}


RULE = {
    "source": "web1",
    "target": "db1",
    "allow": True,
    "by": "admin",
    "granted": "2026-11-20T20:00:00.000Z",
}


def event(seq: int, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": f"01{seq}",
        "time": "2026-11-20T20:00:00.000Z",
        "from": "web1",
        "type": "exec",
        "target": "db1",
        **more,
    }


def page(*seqs: int, has_more: bool = False, next: int = 0) -> dict[str, Any]:
    return {
        "ok": True,
        "events": [event(seq) for seq in seqs],
        "has_more": has_more,
        "next": next or seqs[-1],
    }

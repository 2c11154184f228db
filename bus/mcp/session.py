"""One session of the bus, as tools see it: who it is, and the hub's routes that it may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bus.errors import BadRequest
from bus.mcp.results import Answer, Ref, Refused, Wrong
from bus.model import checks, context_refs
from bus.model.strict_json import Rest

# call(method, path, params, json) -> (status, answer), with the caller's credential
Call = Callable[[str, str, Mapping[str, Any], Mapping[str, Any] | None], tuple[int, Answer]]


@dataclass(frozen=True)
class Session:
    """Whom tools act for. `name` is the name on the bus, `role` that of its credential.

    `count` gives how much mail waits, `ref` the reference of a message that it is shown. `key` is
    the idempotency key of the request, if it has one; `rest` lets others go on.
    """

    name: str
    role: str
    call: Call
    count: Callable[[], int]
    ref: Ref
    key: str | None = None
    rest: Rest = lambda: None

    @property
    def mine(self) -> Answer:
        """The parameters of a read of one's own mail, and that of one's machine."""
        return {"unread_by": self.name, **self.machine}

    @property
    def machine(self) -> Answer:
        """The parameter by which a session's mail takes in that of its machine."""
        return {"machine": 1} if "/" in self.name else {}

    def get(self, path: str, **params: Any) -> Answer:
        """Return what a route answers; raises Refused."""
        return self._ask("GET", path, _given(params), None)

    def put(self, path: str, **fields: Any) -> Answer:
        """Return the same for PUT."""
        return self._ask("PUT", path, {}, _given(fields))

    def patch(self, path: str, fields: Mapping[str, Any]) -> Answer:
        """Return the same for PATCH."""
        return self._ask("PATCH", path, {}, _given(fields))

    def post(self, path: str, fields: Mapping[str, Any]) -> Answer:
        """Return the same for POST. What is None is left out, but for `allow`."""
        return self._ask("POST", path, {}, _given(fields))

    def once(self, path: str, fields: Mapping[str, Any]) -> Answer:
        """Return the same for what must not be done twice: it has the key of the request."""
        key = {} if self.key is None else {"client_id": self.key}
        return self.post(path, {**fields, **key})

    def say(self, to: str | list[str], body: str, **more: Any) -> Answer:
        """Post a message; return what the sender should know."""
        sent = self.once("/post", {"from": self.name, "to": to, "body": body, **more})
        told: Answer = {"ref": sent["seq"], "to": sent["to"]}
        kept = ("name", "known", "state", "unread", "last_seen")
        told["recipients"] = [
            {fact: one[fact] for fact in kept if fact in one} for one in sent.get("recipients", ())
        ]
        if not told["recipients"]:
            told["delivery"] = sent.get("delivery", {})
            del told["recipients"]
        if sent.get("warnings"):
            told["warnings"] = sent["warnings"]
        return told

    def ack(self, refs: list[Any]) -> int:
        """Acknowledge messages; return how many of them had been unread."""
        done = 0
        for start in range(0, len(refs), 1_000):
            done += self._acked({"ids": refs[start : start + 1_000]})
        return done

    def ack_shown(self) -> int:
        """Acknowledge the unread messages that the session was given; return how many they are."""
        return self._acked({"shown": 1})

    def _acked(self, which: Answer) -> int:
        return len(self.post("/ack", {"reader": self.name, **self.machine, **which})["acked"])

    def _ask(self, method: str, path: str, params: Answer, json: Answer | None) -> Answer:
        status, answer = self.call(method, path, params, json)
        if status >= 400 or (answer.get("ok") is False and "error" in answer):
            raise Refused(status, answer)
        return answer


def reference(value: Any, argument: str) -> str | int:
    """Return the reference of a message; raises Wrong."""
    try:
        found = checks.reference(value, argument)
    except BadRequest as error:
        raise Wrong(argument, error.message, "Give the `ref` of a message, such as 412.") from None
    return context_refs.as_text(found)


def _given(fields: Mapping[str, Any]) -> Answer:
    return {name: value for name, value in fields.items() if value is not None or name == "allow"}

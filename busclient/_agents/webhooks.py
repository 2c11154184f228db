"""`bus.webhooks`: where the hub sends mail by itself. `docs/protocol.md` is the hub's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from busclient._connection import Connection
from busclient._errors import BadAnswer, OutcomeUnknown, Refused, Unreachable
from busclient._http.calls import ONCE
from busclient._http.trouble import is_unsent

_TEST_S = 15.0  # the hub waits so long for the receiver


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt: a status, or an error."""

    time: str
    message: str
    status: int | None
    error: str | None
    ms: int

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took the message."""
        return self.error is None

    @classmethod
    def from_json(cls, fields: Any) -> Attempt:
        """Return an answer of the hub's JSON; raises BadAnswer."""
        try:
            status, error = fields["status"], fields["error"]
            return cls(
                str(fields["time"]), str(fields["message"]), status, error, int(fields["ms"])
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise BadAnswer(f"The answer holds what is no attempt: {problem!r}.") from None


@dataclass(frozen=True)
class Webhook:
    """A webhook: whose mail (`name`) is sent where, and what it has come to.

    `state` is active, retrying, open or gone. `secret` is there only when it was just added: what
    its receiver checks signatures with.
    """

    id: str
    name: str
    url: str
    by: str
    state: str
    failures: int
    next_attempt: str | None
    dead_letters: int
    answers: tuple[Attempt, ...]
    secret: str | None = None

    @classmethod
    def from_json(cls, fields: Any, secret: str | None = None) -> Webhook:
        """Return a webhook of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                id=str(fields["id"]),
                name=str(fields["name"]),
                url=str(fields["url"]),
                by=str(fields["by"]),
                state=str(fields["state"]),
                failures=int(fields["failures"]),
                next_attempt=fields["next_attempt"],
                dead_letters=int(fields["dead_letters"]),
                answers=tuple(map(Attempt.from_json, fields["answers"])),
                secret=secret,
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise BadAnswer(f"The answer holds what is not a webhook: {problem!r}.") from None


class Webhooks:
    """Webhooks of my names; for admins, of all. Every call raises BusError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, *, name: str | None = None) -> list[Webhook]:
        """Return those that I may see; with `name`, those of this name or topic."""
        params = None if name is None else {"name": name}
        found = self._connection.get("/webhooks", params).get("webhooks")
        if not isinstance(found, list):
            raise BadAnswer("The answer holds no webhooks.")
        return [Webhook.from_json(fields) for fields in found]

    def add(self, url: str, *, name: str | None = None) -> Webhook:
        """Have mail sent to an address from now on: mine, or that of `name`; keep its `secret`.

        Raises OutcomeUnknown when the answer was lost: `all` then tells whether it was added.
        """
        calls = self._connection.calls
        fields = {"url": url, "name": name or self._connection.settings.name}
        try:
            reply = self._connection.call(
                lambda: calls.json("POST", "/webhooks", json=fields, patience=ONCE)
            )
        except Unreachable as error:
            if is_unsent(error):
                raise
            raise OutcomeUnknown(f"{error.message} It may have been added all the same.") from error
        secret = reply.get("secret")
        if not isinstance(secret, str):
            raise BadAnswer("The answer holds no secret.")
        return Webhook.from_json(reply.get("webhook"), secret)

    def remove(self, id: str) -> None:
        """End a webhook. Raises NotFound."""
        self._change("DELETE", _path(id))

    def test(self, id: str) -> Attempt:
        """Have a message sent that is only a test, and return what came of it. Raises NotFound."""
        return Attempt.from_json(self._change("POST", _path(id, "test"), _TEST_S).get("answer"))

    def replay(self, id: str) -> int:
        """Have sent again what was given up, and all else at once; return how many messages were
        given up. Raises NotFound.
        """
        replayed = self._change("POST", _path(id, "replay")).get("replayed")
        if not isinstance(replayed, int):
            raise BadAnswer("The answer does not say how many messages are replayed.")
        return replayed

    def _change(self, method: str, path: str, wait_s: float = 0) -> dict[str, Any]:
        calls = self._connection.calls
        return self._connection.call(lambda: calls.json(method, path, wait_s=wait_s))


def _path(id: str, what: str = "") -> str:
    if id.strip(".") == "" or "/" in id:
        raise Refused(f"{id[:80]!r} is no id of a webhook.", hint="`bus webhook list` shows them.")
    return f"/webhooks/{quote(id, safe='')}" + (f"/{what}" if what else "")

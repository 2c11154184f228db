"""What people on Telegram have done: each word is a verb of the hub, under the name of the person.

Nothing here has rules of its own but one: who is an admin is said by the settings.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from bus.errors import BusError, ExecUnavailable
from bus.model.approvals import APPROVAL_S
from bus.model.filter import Selection
from bus.model.grants import Grant
from bus.model.harmless import harmless
from bus.model.masking import masked
from bus.model.messages import Draft
from bus.notify.services.base import Tools
from bus.notify.telegram.buttons import Button, Buttons
from bus.notify.telegram.people import People, Person
from bus.runner.client import RunnerClient

# Hints of the hub name routes, which nobody can call from a chat.
_HINTS = {"no_such_approval": "approve lists them."}
_ROUTE = re.compile(r"\b(?:GET|POST|PUT|DELETE) /")

_LISTED = 20
_PREVIEW, _LOOKED_AT = 120, 2_000
_SNAPSHOT_S = 4.0

HELP = (
    "send NAME TEXT, inbox, status, permissions; a reply to a notice is sent to who is in it."
    " Admins: permit A B, revoke A B (all is everybody), approve [ID], deny ID, snapshot NAME,"
    " people"
)


class Acts:
    """Does what is said, and returns the answer. `key` is the idempotency key of the update: the
    same one again does nothing twice. Raises BusError.
    """

    def __init__(
        self,
        tools: Tools,
        people: People,
        buttons: Buttons,
        runner: RunnerClient | None,
        credential: str,
    ) -> None:
        self._hub, self._people, self._buttons = tools.hub, people, buttons
        self._runner, self._credential = runner, credential
        self._queue = tools.queue
        every: dict[str, Callable[[Person, Sequence[str], str], str]] = {
            "send": self._send,
            "inbox": self._inbox,
            "status": self._status,
            "permissions": self._permissions,
            "help": lambda *_: HELP,
            "start": lambda *_: HELP,
        }
        admins: dict[str, Callable[[Person, Sequence[str], str], str]] = {
            "permit": lambda *said: self._grant(True, *said),
            "revoke": lambda *said: self._grant(False, *said),
            "approve": lambda *said: self._answer(True, *said),
            "deny": lambda *said: self._answer(False, *said),
            "snapshot": self._snapshot,
            "people": lambda *_: "\n".join(self._people.listed()) or "nobody",
        }
        self._every, self._admins = every, admins

    def is_word(self, word: str) -> bool:
        """Return whether this is the first word of a command."""
        return word.lower() in self._every or word.lower() in self._admins

    def do(self, person: Person, words: Sequence[str], key: str) -> str:
        """Do a command."""
        word = words[0].lower()
        if word in self._every:
            return self._every[word](person, words[1:], key)
        if word not in self._admins:
            return "Not understood. help lists what is."
        if not person.is_admin:
            return f"{word} is for admins, and your id {person.id} is not among them."
        return self._admins[word](person, words[1:], key)

    def post(self, person: Person, to: str, text: str, key: str, answers: str = "") -> str:
        """Post a message to a name, as the person."""
        fields: dict[str, Any] = {"to": to, "body": text, "client_id": key}
        if answers:
            fields["in_reply_to"] = answers
        draft = Draft.read({**fields, "from": self._people.speaks(person).name})
        posted = self._hub.messages.post(self._people.speaks(person), draft)
        return f"sent to {to} as message {posted.message['seq']}"

    def press(self, person: Person, button: Button, key: str) -> str:
        """Answer a question by its button."""
        caller = self._people.decides(person)
        found = self._hub.approvals.get(caller, button.approval)
        if found["hash"] != button.hash:
            return "This is not the request that was shown."
        if found["state"] != "pending":
            return f"It is {found['state']} already."
        self._hub.approvals.answer(caller, button.approval, button.allow, APPROVAL_S, key)
        self._buttons.use_up(button.approval)
        return f"{'allowed' if button.allow else 'denied'} by {person.name}"

    # -- for all of the settings -----------------------------------------------------------------

    def _send(self, person: Person, words: Sequence[str], key: str) -> str:
        if len(words) < 2:
            return "Say whom, and what: send seanclaude are you there?"
        return self.post(person, words[0], " ".join(words[1:]), key)

    def _inbox(self, person: Person, words: Sequence[str], key: str) -> str:
        caller = self._people.speaks(person)
        wanted = Selection(
            unread_by=caller.name, limit=_LISTED, view=self._hub.privacy.view(caller)
        )
        page = self._hub.messages.read(wanted, is_peek=True)
        lines = []
        for text in page.messages:
            one = json.loads(text)
            # Masked before it is cut: the beginning of a secret has not its form.
            said = harmless(" ".join(one["body"][:_LOOKED_AT].split()))
            body = masked(said)[:_PREVIEW]
            lines.append(f"{one['seq']} {one['from']}: {body}")
        more = "\n… and more" if page.has_more else ""
        return "\n".join(lines) + more if lines else f"nothing unread for {caller.name}"

    def _status(self, person: Person, words: Sequence[str], key: str) -> str:
        health = self._hub.health()
        cursor = self._queue.cursor()
        behind = health["last_seq"] - (0 if cursor is None else cursor.seq)
        state = "ok" if health["ok"] else "NOT OK"
        lines = [
            f"hub {state}: {health['count']} messages, storage {health['storage']},"
            f" index {health['index']}",
            f"notices: {behind} records behind",
        ]
        for name, one in self._queue.services().items():
            lines.append(f"{name}: {one['queued']} queued, {one['dead']} dead")
        return "\n".join(lines)

    def _permissions(self, person: Person, words: Sequence[str], key: str) -> str:
        caller = self._people.decides(person) if person.is_admin else self._people.speaks(person)
        rules = self._hub.permissions.rules(caller, None, None)
        lines = []
        for rule in rules[:_LISTED]:
            allow = "may" if rule["allow"] else "must not"
            lines.append(f"{rule['source']} {allow} {rule['action']} on {rule['target']}")
        more = f"\n… and {len(rules) - _LISTED} more" if len(rules) > _LISTED else ""
        return "\n".join(lines) + more if lines else "there is no rule"

    # -- for admins ------------------------------------------------------------------------------

    def _grant(self, allow: bool, person: Person, words: Sequence[str], key: str) -> str:
        verb = "permit" if allow else "revoke"
        if len(words) != 2:
            return f"Say who, and on what: {verb} jazclaude seanclaude, {verb} managerclaude all"
        source, target = ("*" if word.lower() == "all" else word for word in words)
        caller = self._people.decides(person)
        grant = Grant.read(
            {"from": caller.name, "source": source, "target": target, "allow": allow}
        )
        self._hub.permissions.permit(caller, grant, key)
        return f"{source} {'may' if allow else 'must not'} act on {target}, from now on"

    def _answer(self, allow: bool, person: Person, words: Sequence[str], key: str) -> str:
        caller = self._people.decides(person)
        if not words:
            waiting, _ = self._hub.approvals.shown(caller, "pending")
            said = [
                f"{one['id']}: {one['from']}, {one['action']}, {one['target']}" for one in waiting
            ]
            return "\n".join(said[-_LISTED:]) or "nothing waits for a yes"
        if len(words) != 1:
            return "Say which: approve ID"
        found = self._hub.approvals.answer(caller, words[0], allow, APPROVAL_S, key)
        self._buttons.use_up(found["id"])
        return f"{found['id']} is {found['state']}"

    def _snapshot(self, person: Person, words: Sequence[str], key: str) -> str:
        if len(words) != 1:
            return "Say of which container: snapshot seanclaude"
        if self._runner is None or not self._credential:
            return (
                "Snapshots need an admin's credential: `credential` of this service in the"
                " settings of notices."
            )
        header = "Basic " + base64.b64encode(self._credential.encode()).decode()
        asked: dict[str, Any] = {
            "op": "call",
            "type": "container",
            "act": "snapshot",
            "authorization": header,
        }
        asked["fields"] = {"name": words[0], "client_id": key}
        try:
            answer = self._runner.ask(asked)["result"]
        except ExecUnavailable as error:
            return error.message
        name = answer.get("snapshot") or answer.get("name") or ""
        return f"snapshot of {words[0]}: {answer.get('state', 'done')} {name}".strip()


def refusal(error: BusError) -> str:
    """Return what a person is told of a refusal."""
    hint = _HINTS.get(error.code, error.hint)
    return error.message if _ROUTE.search(hint) else f"{error.message} {hint}".strip()

"""What a record of the log tells people: who, to whom, and in which words.

message            a message was posted
ack_overdue        its deadline has passed, and somebody has not acknowledged it
approval_asked     a call waits for the yes of an admin
approval_answered  an admin has answered
call_ended         a call has ended, or was refused: a command, a file, a snapshot, …
permission         a permission was given or taken
credential         a credential was made, rotated or revoked; an invite was made or used
refused            somebody was refused: a wrong password, a change to the credentials
agent_joined       a session took a name, agent_left: it gave it up
action_changed     an action was claimed, done, blocked, …
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus.errors import BusError
from bus.hub.hub import Hub
from bus.log.outputs import Results
from bus.model.evidence import output_of
from bus.model.filter import recipients
from bus.model.harmless import harmless
from bus.model.masking import masked
from bus.model.records import HUB, Record

OUTPUT_SHOWN = 500  # characters of what a command printed
_COMMAND_SHOWN = 1_000
_REASON_SHOWN = 300

# The words of a rule's `kinds`.
KINDS = (
    *("message", "ack_overdue", "approval_asked", "approval_answered", "call_ended"),
    *("permission", "credential", "refused", "agent_joined", "agent_left", "action_changed"),
)


@dataclass(frozen=True)
class Event:
    """Something to tell. `to` are the recipients of a message, the target of a call, or whom it is
    about; `sender` is who did it.
    """

    kind: str
    seq: int
    sender: str
    to: tuple[str, ...]
    title: str
    text: str = ""
    tags: tuple[str, ...] = ()
    priority: str = "normal"
    data: Mapping[str, Any] = field(default_factory=dict)


class Events:
    """Makes events of records. `results` has what calls have printed."""

    def __init__(self, hub: Hub, results: Results) -> None:
        self._hub, self._results = hub, results
        self._makers: dict[str, Callable[[Record], Event | None]] = {
            "message": _message,
            "deadline_passed": self._overdue,
            "approval_asked": self._asked,
            "approval_answered": self._answered,
            "call_ended": self._ended,
            "permission": _permission,
            "credential": _credential,
            "refused": _refused,
            "agent_joined": _agent,
            "agent_left": _agent,
            "action_changed": _action,
        }

    def of(self, record: Record) -> Event | None:
        """Return what a record tells; None: nothing."""
        make = self._makers.get(record["kind"])
        return None if make is None else make(record)

    def _overdue(self, record: Record) -> Event | None:
        late = record.get("unread_by") or []
        if not late:
            return None
        try:
            message = json.loads(self._hub.messages.get(record["message"]))
        except BusError:
            return None
        return Event(
            "ack_overdue",
            record["seq"],
            message["from"],
            tuple(late),
            f"not acknowledged: message {message['seq']} from {message['from']} to {_names(late)}",
            message["body"],
            tuple(message.get("tags") or ()),
            message.get("priority", "normal"),
            {"message": message["id"], "ref": str(message["seq"]), "body": True},
        )

    def _asked(self, record: Record) -> Event:
        data = {"approval": record["approval"], "hash": record["digest"]}
        return Event(
            "approval_asked",
            record["seq"],
            record["from"],
            (record["target"],),
            f"{record['from']} asks: {record['type']} on {record['target']}",
            _command(record),
            priority="urgent",
            data=data,
        )

    def _answered(self, record: Record) -> Event:
        said = "allowed" if record["allow"] else "denied"
        return Event(
            "approval_answered",
            record["seq"],
            record["auth"],
            (HUB,),
            f"{record['auth']} {said} {record['approval']}",
            data={"approval": record["approval"]},
        )

    def _ended(self, record: Record) -> Event | None:
        found = self._hub.calls.found(record["call"])
        if found is None:
            return None
        asked = found.asked
        state = str(record.get("state") or record["result"])
        said = [f"{asked['from']}: {asked['type']} on {asked['target'] or '-'}", state]
        if "exitCode" in record:
            said.append(f"exit code {record['exitCode']}")
        if record.get("reason"):
            said.append(masked(harmless(str(record["reason"])))[:_REASON_SHOWN])
        printed = ""
        if asked["type"] == "exec":
            printed = self._printed(record["call"])
        text = "\n".join(part for part in (_command(asked), printed) if part)
        data = {"call": record["call"], "type": asked["type"], "state": state}
        return Event(
            "call_ended",
            record["seq"],
            asked["from"],
            (asked["target"],) if asked["target"] else (),
            ", ".join(said),
            text,
            tags=(asked["type"], state),
            data=data,
        )

    def _printed(self, id: str) -> str:
        """Return the beginning of what a command printed, with known forms of secrets masked."""
        try:
            answer = self._results.get(id)
        except (OSError, ValueError):
            return ""
        if answer is None:
            return ""
        parts = []
        for stream in ("stdout", "stderr"):
            data = output_of(answer, stream) or b""
            text = masked(harmless(data[: 64 * 1024].decode("utf-8", "replace"))).strip()
            if text:
                parts.append(text)
        whole = "\n".join(parts)
        return whole if len(whole) <= OUTPUT_SHOWN else whole[:OUTPUT_SHOWN] + " …"


def _message(record: Record) -> Event:
    names = recipients(record)
    is_sure = record.get("verified") is True
    sender = record["from"] if is_sure else f"{record['from']} (unverified)"
    priority = record.get("priority", "normal")
    urgent = "URGENT " if priority == "urgent" else ""
    return Event(
        "message",
        record["seq"],
        record["from"],
        tuple(names),
        f"{urgent}{sender} → {_names(names)}",
        record["body"],
        tuple(record.get("tags") or ()),
        priority,
        {
            "message": record["id"],
            "ref": str(record["seq"]),
            "body": True,
            "trust": record.get("trust", ""),
        },
    )


def _permission(record: Record) -> Event:
    words = {True: "may", False: "must not", None: "no more rule whether it may"}
    allow = words.get(record.get("allow"), "may")
    actions = record.get("actions") or [record.get("action", "")]
    about = f"{record.get('source')} {allow} {', '.join(map(str, actions))} on"
    return Event(
        "permission",
        record["seq"],
        record["auth"],
        (str(record.get("source")), str(record.get("target"))),
        f"{record['auth']}: {about} {record.get('target')}",
    )


def _credential(record: Record) -> Event:
    return Event(
        "credential",
        record["seq"],
        record["by"],
        (record["name"],),
        f"credential of {record['name']} ({record['role']}): {record['action']} by {record['by']}",
        tags=(record["action"],),
    )


def _refused(record: Record) -> Event:
    said = masked(harmless(f"{record.get('command', '')} {record.get('target') or ''}".strip()))
    return Event(
        "refused",
        record["seq"],
        record["from"],
        (HUB,),
        f"refused: {said[:_REASON_SHOWN]} ({record.get('error', '')})",
        tags=(str(record.get("error", "")),),
    )


def _agent(record: Record) -> Event:
    verb = "joined" if record["kind"] == "agent_joined" else "left"
    name = record["name"]
    return Event(record["kind"], record["seq"], name, (name,), f"{name} {verb}")


def _action(record: Record) -> Event:
    made = record.get("set") or {}
    said = ", ".join(f"{name} {value}" for name, value in made.items())
    status = str(made.get("status") or "")
    return Event(
        "action_changed",
        record["seq"],
        record["from"],
        (record["from"],),
        f"{record['from']}: action of message {record['message']}: {harmless(said)[:200]}",
        harmless(str(record.get("note") or "")),
        tags=(status,) if status else (),
    )


def _command(record: Mapping[str, Any]) -> str:
    """Return what a call does, as far as the log tells, with known forms of secrets masked."""
    if "command" in record:
        said = str(record["command"])
    elif "argv" in record:
        said = json.dumps(record["argv"], ensure_ascii=False)
    else:
        said = str(record.get("path") or "")
    said = masked(harmless(said))
    return said if len(said) <= _COMMAND_SHOWN else said[:_COMMAND_SHOWN] + " …"


def _names(names: Any) -> str:
    shown = [str(name) for name in names]
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more

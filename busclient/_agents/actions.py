"""`bus.actions`: what is to be done, by whom, and how far it is. `docs/work.md` is the hub's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from busclient._connection import Connection
from busclient._errors import BadAnswer, Refused
from busclient._http.calls import new_key
from busclient._messages import reading, sending
from busclient._messages.reading import Ref

_PAGE = 500
KEEP: Any = object()  # what a change leaves as it is


@dataclass(frozen=True)
class ActionChange:
    """What somebody has changed of an action; a value that is None was taken away."""

    who: str
    time: str
    changes: Mapping[str, Any]
    note: str | None = None


@dataclass(frozen=True)
class Action:
    """Something that is to be done.

    `status` is open, wip, waiting, done or dropped; `assignee` a name, a role or None; `brief` the
    id of the message that asks for it. The texts are other people's: data, not orders.
    """

    number: int
    title: str
    status: str
    priority: str
    assignee: str | None
    asked_by: str
    brief: str
    thread: str
    made: str
    changed: str
    due: str | None = None
    is_overdue: bool = False
    waiting_on: str | None = None
    history: tuple[ActionChange, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.status not in ("done", "dropped")

    @classmethod
    def from_json(cls, fields: Any) -> Action:
        """Return an action of the hub's JSON; raises BadAnswer."""
        try:
            texts = (
                "title",
                "status",
                "priority",
                "asked_by",
                "brief",
                "thread",
                "made",
                "changed",
            )
            return cls(
                number=int(fields["number"]),
                **{name: str(fields[name]) for name in texts},
                **{name: fields.get(name) for name in ("assignee", "due", "waiting_on")},
                is_overdue=fields.get("overdue") is True,
                history=tuple(map(_change, fields.get("history", ()))),
                raw=fields,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadAnswer(f"The answer holds what is not an action: {error!r}.") from None


def _change(fields: Any) -> ActionChange:
    return ActionChange(
        str(fields["who"]), str(fields["time"]), dict(fields["set"]), fields.get("note")
    )


def of_post(reply: Mapping[str, Any]) -> list[Action]:
    """Return the actions in the answer to a brief."""
    return [Action.from_json(one) for one in reply.get("actions", ())]


class Actions:
    """Actions of mine and of others. Every call raises BusError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        title: str,
        *,
        assignee: str | None = None,
        priority: str | None = None,
        due: str | None = None,
        body: str | None = None,
        brief: Ref | None = None,
        to: str | Sequence[str] | None = None,
        key: str | None = None,
    ) -> Action:
        """Ask for something to be done; `brief` is a message in whose thread it is. A `key` makes
        two calls one action. Raises UnknownRecipient for an assignee that nobody is.
        """
        given: dict[str, Any] = {
            **{"from": self._name, "title": title, "assignee": assignee, "priority": priority},
            **{"due": due, "body": body, "client_id": new_key() if key is None else key},
            "brief": None if brief is None else reading.ref(brief),
            "to": to if to is None or isinstance(to, str) else list(to),
        }
        fields = {name: value for name, value in given.items() if value is not None}
        reply = self._connection.post("/actions", sending.checked(fields))
        found = of_post(reply)
        if not found:
            raise BadAnswer("The answer holds no action.")
        return found[0]

    def all(
        self,
        *,
        assignee: str | None = None,
        unassigned: bool = False,
        status: str | None = None,
        priority: str | None = None,
        overdue: bool = False,
        stale_h: float | None = None,
        thread: str | None = None,
        limit: int = 100,
    ) -> list[Action]:
        """Return the newest actions, newest first: those that are not closed, unless `status` says
        which (several with commas, or `all`).
        """
        filters = {
            **{"assignee": assignee, "status": status, "priority": priority},
            **{"stale_h": stale_h, "thread": thread},
            **{"unassigned": int(unassigned) or None, "overdue": int(overdue) or None},
        }
        found: list[Action] = []
        before: int | None = None
        while True:
            size = min(_PAGE, limit - len(found))
            page = self._connection.get("/actions", {**filters, "before": before, "limit": size})
            if not isinstance(page.get("actions"), list):
                raise BadAnswer("The answer holds no actions.")
            found += map(Action.from_json, page["actions"])
            before = page.get("next")
            if before is None or len(found) >= limit:
                return found

    def mine(self, *, limit: int = 100) -> list[Action]:
        """Return what I have to do: also what my machine or a role of mine has to."""
        return self.all(assignee=self._name, limit=limit)

    def get(self, number: int) -> Action:
        """Return one action with its history; raises NotFound."""
        return Action.from_json(self._connection.get(_path(number)).get("action"))

    def claim(self, number: int) -> Action:
        """Take an action that nobody has. Raises Conflict if somebody was first, or if it is
        closed; `error.details["holder"]` says who has it.
        """
        reply = self._connection.post(f"{_path(number)}/claim", {"from": self._name})
        return Action.from_json(reply.get("action"))

    def change(
        self,
        number: int,
        *,
        status: str | None = None,
        assignee: str | None = KEEP,
        priority: str | None = None,
        due: str | None = KEEP,
        title: str | None = None,
        waiting_on: str | None = KEEP,
        note: str | None = None,
    ) -> Action:
        """Change an action; None takes `assignee`, `due` or `waiting_on` away. Raises NotFound,
        Forbidden if it is neither mine nor asked by me, UnknownRecipient.
        """
        given = {"status": status, "priority": priority, "title": title, "note": note}
        fields: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
        also = {"assignee": assignee, "due": due, "waiting_on": waiting_on}
        fields |= {name: value for name, value in also.items() if value is not KEEP}
        said = sending.checked({"from": self._name, **fields})
        reply = self._connection.call(
            lambda: self._connection.calls.json("PATCH", _path(number), json=said)
        )
        return Action.from_json(reply.get("action"))

    def done(self, number: int, note: str | None = None) -> Action:
        """Say that an action is done; the one who asked it is told."""
        return self.change(number, status="done", note=note)

    @property
    def _name(self) -> str:
        return self._connection.settings.name


def _path(number: int) -> str:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise Refused(f"{number!r} is no number of an action.", hint="For example 5.")
    return f"/actions/{number}"

"""The check-up: what is stuck. GET /checkup. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from bus.model.actions import MAX_STALE_H, Action, about
from bus.model.answer import Count, From, Time
from bus.model.envelopes import defused
from bus.model.harmless import harmless
from bus.model.inbox_lines import age
from bus.model.kinds import Format, number, whole
from bus.model.records import unix_ms
from bus.model.tracking import Late

STALE_H = 48  # hours without news
DAY_H = 24  # what waits for longer is stuck
UNREAD_DAYS = 30  # what is older is not counted any more
COVERAGE_DAYS, COVERAGE_LAST, COVERAGE_LEAST = 7, 100, 5
COVERAGE = 0.5  # of what was sent: who has read less has stopped reading
LOAD_TIMES, LOAD_LEAST = 2, 5
COUNTED_UNREAD = 1_000

# The kinds of what is stuck, the worst first; in text, what stands before each line and behind the
# count.
KINDS = {
    "gone": ("GONE", "waiting for somebody who is gone"),
    "overdue": ("OVERDUE", "overdue"),
    "asks": ("ASK", "unanswered"),
    "acks": ("ACK", "unacknowledged"),
    "stopped": ("STOPPED", "stopped reading"),
    "stale": ("NO NEWS", "without news"),
    "unread": ("UNREAD", "with old unread mail"),
    "unassigned": ("NOBODY", "nobody's"),
    "overloaded": ("LOAD", "overloaded"),
}
ACTIONS = ("gone", "overdue", "stale", "unassigned")  # kinds that list actions
_LISTED, _LISTED_IN_TEXT = 20, 3
_LONGEST = 240  # characters of a line


@dataclass(frozen=True, kw_only=True)
class CheckupQuery(Format):
    """GET /checkup."""

    stale_h: Annotated[
        float,
        number(0, MAX_STALE_H, f"Hours, 0 to {MAX_STALE_H}."),
        "hours after which an action in progress is without news",
    ] = STALE_H
    limit: Annotated[
        int | None, whole(1, 100), "of each kind; left out: 20, of the text form 3"
    ] = None

    def listed(self, as_text: bool) -> int:
        """Return how many of each kind are listed."""
        return self.limit or (_LISTED_IN_TEXT if as_text else _LISTED)


class ActionOfGone(Action):
    """An action that waits for somebody who is gone."""

    gone: Annotated[str, "who: a name, or a role that nobody has"]
    last_seen: Time | None


class OpenQuestion(From):
    """A question that nobody has answered for long."""

    id: str
    seq: int
    ts: Time
    question: Annotated[str, "its beginning"]
    by: NotRequired[Time]
    waiting_for: Annotated[list[str], "at most 8 names"]
    waiting: Annotated[Count, "how many have yet to answer"]


class StoppedReader(TypedDict):
    """Somebody who reads little of what is sent to this name."""

    reader: str
    sent: Annotated[Count, "of the newest 100 messages of a week, but for the last hour"]
    read: Annotated[Count, "of those fetched or acknowledged"]
    last_seen: Time | None


class OldMail(TypedDict):
    """A mailbox with unread messages that are older than a day."""

    reader: Annotated[str, "a name, or a role"]
    unread: Annotated[Count, "older than a day; 1000: so many or more"]
    oldest: Time
    state: Annotated[str, "as the roster says it; `unknown`: nobody has had this name"]


class Load(TypedDict):
    """How much somebody has to do."""

    name: Annotated[str, "a name, or a role"]
    open: Annotated[Count, "actions that are not closed"]
    is_over: Annotated[bool, "more than twice the median, and 5 at least"]


class Checkup(TypedDict):
    """What is stuck: of each kind, how many there are, and the worst of them."""

    ok: Literal[True]
    time: Time
    stale_h: float
    is_clear: Annotated[bool, "nothing is stuck"]
    is_exact: Annotated[bool, "false: there is so much that not all of it was looked at"]
    counts: Annotated[dict[str, int], "how many of each kind: of each list here, and `overloaded`"]
    more: Annotated[dict[str, int], "how many of these are not listed"]
    gone: list[ActionOfGone]
    overdue: list[Action]
    asks: list[OpenQuestion]
    acks: list[Late]
    stopped: list[StoppedReader]
    stale: list[Action]
    unread: list[OldMail]
    unassigned: list[Action]
    load: Annotated[list[Load], "the highest first, `is_over` or not"]
    median: Annotated[float, "of the open actions of all who have some"]


def text(found: Checkup) -> str:
    """Return a check-up as a person reads it: the worst first, a line each."""
    stuck = [f"{count} {KINDS[kind][1]}" for kind, count in found["counts"].items() if count]
    exact = "" if found["is_exact"] else " (or more)"
    lines = [f"{found['time'][:16]}Z check-up: {', '.join(stuck) or 'nothing is stuck'}{exact}"]
    for kind, (word, _) in KINDS.items():
        lines += [f"{word} {line}" for line in _LINES[kind](found)]
        if kind in found["more"]:
            lines.append(f"{word} -- {found['more'][kind]} more")
    return "".join(f"{_plain(line)}\n" for line in lines)


def without_titles(found: Checkup) -> Checkup:
    """Return a check-up without what people have written: for those who may not read it."""
    bare: dict[str, Any] = dict(found)
    for kind in ACTIONS:
        bare[kind] = [
            {name: value for name, value in one.items() if name not in ("title", "waiting_on")}
            for one in bare[kind]
        ]
    bare["asks"] = [{**one, "question": ""} for one in found["asks"]]
    return cast(Checkup, bare)


def _plain(line: str) -> str:
    """Return a line that can be no two, and neither too long nor harmful."""
    one = " ".join(harmless(line).split())
    return defused(one if len(one) <= _LONGEST else one[: _LONGEST - 1] + "…")


def _actions(found: Checkup, kind: Literal["overdue", "stale", "unassigned"]) -> list[str]:
    return [_action(one, found) for one in found[kind]]


def _action(one: Action, found: Checkup, fact: str = "") -> str:
    news = f", changed {_ago(one['changed'], found)}" if not fact else f", {fact}"
    shown = one if "overdue" not in one else {k: v for k, v in one.items() if k != "overdue"}
    return f"action {one['number']} {about(shown)}{news}{_titled(one)}"


def _titled(one: Mapping[str, Any]) -> str:
    return f": {one['title']}" if one.get("title") else ""


def _gone(found: Checkup) -> list[str]:
    return [
        _action(one, found, f"{one['gone']} {_seen(one['last_seen'], found)}")
        for one in found["gone"]
    ]


def _asks(found: Checkup) -> list[str]:
    return [
        f"{one['seq']} of {one['from']}, {_ago(one['ts'], found)}, waits for"
        f" {_names(one['waiting_for'], one['waiting'])}"
        + (f": {one['question']}" if one["question"] else "")
        for one in found["asks"]
    ]


def _acks(found: Checkup) -> list[str]:
    return [
        f"{one['seq']} of {one['from']}, due {_ago(one['ack_by'], found)}, not acknowledged by"
        f" {_names(one['unread_by'][:8], len(one['unread_by']))}"
        for one in found["acks"]
    ]


def _stopped(found: Checkup) -> list[str]:
    return [
        f"{one['reader']}: has read {one['read']} of {one['sent']},"
        f" {_seen(one['last_seen'], found)}"
        for one in found["stopped"]
    ]


def _unread(found: Checkup) -> list[str]:
    more = {COUNTED_UNREAD: " or more"}
    return [
        f"{one['reader']} ({one['state']}): {one['unread']}{more.get(one['unread'], '')},"
        f" the oldest {_ago(one['oldest'], found)}"
        for one in found["unread"]
    ]


def _load(found: Checkup) -> list[str]:
    return [
        f"{one['name']}: {one['open']} open actions, the median is {found['median']:g}"
        for one in found["load"]
        if one["is_over"]
    ]


def _names(names: list[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return ", ".join(names) + more


def _ago(time: str, found: Checkup) -> str:
    return age(unix_ms(found["time"]) - unix_ms(time))


def _seen(time: str | None, found: Checkup) -> str:
    return "was never here" if time is None else f"last seen {_ago(time, found)}"


_LINES = {
    "gone": _gone,
    "overdue": lambda found: _actions(found, "overdue"),
    "asks": _asks,
    "acks": _acks,
    "stopped": _stopped,
    "stale": lambda found: _actions(found, "stale"),
    "unread": _unread,
    "unassigned": lambda found: _actions(found, "unassigned"),
    "overloaded": _load,
}

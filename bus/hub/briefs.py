"""Briefs: a brief is a message. It is posted as one, and says besides what was in front of its
text, and what there is to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import orjson

from bus.errors import BusError, Rebuilding
from bus.hub.agents import Agents
from bus.hub.messages import Messages, Posted
from bus.hub.signatures import Signatures
from bus.hub.standings import Standings
from bus.model import todo, written_names
from bus.model.brief_import import ARCHIVE, INBOX, SENT, BriefImport
from bus.model.briefs import Brief, at_line
from bus.model.caller import Caller, Taken, lowest_trust
from bus.model.checks import shown
from bus.model.delivery import unknown as unknown_text
from bus.model.groups import is_topic
from bus.model.messages import Draft
from bus.model.records import EVERYBODY, Fields
from bus.model.strict_json import Rest

_PRIORITY = {"fyi": "low"}  # of a brief: that of its actions
_TOLD = 8  # actions of a brief that nobody has
_NOT_SIGNED = "The index is being made: this brief has no signature."


class PostedBrief(NamedTuple):
    """A saved brief, whom names were taken for that can be read in two ways, and warnings."""

    posted: Posted
    read_as: dict[str, str]
    warnings: list[str]


class Briefs:
    """The verbs of briefs."""

    def __init__(
        self, messages: Messages, agents: Agents, standings: Standings, signatures: Signatures
    ) -> None:
        self._messages, self._agents, self._standings = messages, agents, standings
        self._signatures = signatures

    def post(
        self,
        caller: Caller,
        brief: Brief,
        taken: Taken,
        lines: Mapping[str, int],
        actions: list[Fields] | None = None,
    ) -> PostedBrief:
        """Post a brief; what is wrong with a field names its line, where it has one. `actions` are
        what there is to do; None: what its text says.

        Raises NotYourName, and what `Messages.post` raises.
        """
        try:
            return self._post(caller, brief, taken, actions)
        except BusError as error:
            raise at_line(error, lines) from None

    def _post(
        self, caller: Caller, brief: Brief, taken: Taken, actions: list[Fields] | None
    ) -> PostedBrief:
        machines = self._agents.members()
        sender = written_names.sender(brief.sender, caller, machines, taken)
        to = written_names.read_all(brief.to or [EVERYBODY], machines)
        cc = written_names.read_all(brief.cc or [], machines)
        names = list(dict.fromkeys(to.values()))
        copies = [name for name in dict.fromkeys(cc.values()) if name not in names]
        all_names = names if EVERYBODY in names else [*names, *copies]
        key = {"client_id": _key(brief)} if actions is None else {}
        fields = {**key, **brief.draft(), "from": sender, "to": all_names}
        draft = Draft.read(fields)
        front = {**brief.front(), **({"cc": copies} if copies else {})}
        warnings: list[str] = []
        if actions is None:
            actions, warnings = self._actions(brief, names, all_names)
        said = {**front, **({"actions": actions} if actions else {})}
        signed = {}
        try:
            signature = self._signatures.of(sender) if brief.signature is None else ""
            signed = {"brief": {**said, "signature": signature}} if signature else {}
        except Rebuilding:
            warnings.append(_NOT_SIGNED)
        posted = self._messages.post(caller, draft, brief=said, more=signed)
        read = {brief.sender: sender, **to, **cc}
        read_as = {text: name for text, name in read.items() if "(" in text}
        return PostedBrief(posted, read_as, warnings)

    def take_in(self, caller: Caller, asked: BriefImport, rest: Rest) -> PostedBrief:
        """Post what a file of another mail system says into one's own mailbox, once. Nobody else
        gets mail or work from it. `rest` lets others go on while it is read. Raises BadBrief, and
        what `post` raises.
        """
        brief, to = asked.brief(caller, rest), [asked.name]
        draft = Draft.read({**brief.draft(), "from": brief.sender, "to": to})
        actions, warnings = self._actions(brief, to, to) if asked.box == INBOX else ([], [])
        for one in actions:
            if one.get("assignee") != asked.name:
                one.pop("assignee", None)
        said = {**brief.front(), **({"actions": actions} if actions else {})}
        more: Fields = {} if asked.box == SENT else {"trust": lowest_trust(caller.trust, None)}
        more |= {"acked_by": asked.name} if asked.box == ARCHIVE else {}
        return PostedBrief(self._messages.post(caller, draft, brief=said, more=more), {}, warnings)

    def _actions(
        self, brief: Brief, to: Sequence[str], names: Sequence[str]
    ) -> tuple[list[Fields], list[str]]:
        """Return what a brief asks to be done, and warnings about the names in that.

        What names nobody is for the one recipient, if there is one.
        """
        only = to[0] if len(to) == 1 and to[0] != EVERYBODY and not is_topic(to[0]) else None
        asked = brief.action if isinstance(brief.action, list) else [brief.action]
        texts = [text for text in asked if text is not None]
        texts += todo.boxes(brief.body)
        found = [self._todo(text, names) for text in texts[: todo.MAX_ACTIONS]]
        warnings = []
        if len(texts) > todo.MAX_ACTIONS:
            warnings.append(f"Only the first {todo.MAX_ACTIONS} actions were made.")
        actions: list[Fields] = []
        nobodys = [one for one in found if one is not None and one.unknown]
        for nobodys_one in nobodys[:_TOLD]:
            warnings += self._told(nobodys_one)
        if len(nobodys) > _TOLD:
            warnings.append(f"And {len(nobodys) - _TOLD} more actions name nobody that is known.")
        for one in found:
            if one is None:
                continue
            if one.odd_due is not None:
                said = shown(f"due:{one.odd_due}")
                warnings.append(
                    f"{said} is no date, so the action {one.title!r} has it in its title."
                )
            assignee = one.assignee or (None if one.unknown else only)
            priority = one.priority or brief.priority or "normal"
            due = one.due or brief.due
            actions.append(
                {
                    "title": one.title,
                    **({} if assignee is None else {"assignee": assignee}),
                    "priority": _PRIORITY.get(priority, priority),
                    **({} if due is None else {"due": due}),
                }
            )
        return actions, warnings

    def _todo(self, text: str, names: Sequence[str]) -> todo.Todo | None:
        def named(word: str) -> str | None:
            ending = [name for name in names if name.partition("/")[2] == word]
            if word.lower() in ("all", EVERYBODY):
                return None
            if word in names:  # who gets the brief can have what it asks for, known or not
                return word
            if len(ending) == 1:
                return ending[0]
            return word if self._standings.has(word) else None

        return todo.read(text, named)

    def _told(self, one: todo.Todo) -> list[str]:
        near = self._standings.unknown(one.unknown[:1])
        return [
            f"{unknown_text(name, alike)} So nobody has the action {one.title!r}."
            for name, alike in near.items()
        ]


def _key(brief: Brief) -> str:
    """Return the key of a brief that has none: the same brief is one, however often it is sent."""
    said = orjson.dumps(brief.as_dict(), option=orjson.OPT_SORT_KEYS)
    return f"brief {sha256(said).hexdigest()[:32]}"

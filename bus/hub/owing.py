"""What a model is told that it owes: at the start of its conversation, and once at a turn's end."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from bus.hub.asks import Asks
from bus.hub.journal import Journal
from bus.hub.machine_mail import MachineMail
from bus.index import actions
from bus.index import asks as queries
from bus.index.mailboxes import of_reader
from bus.index.tenures import tenure
from bus.live.shown import ShownMail
from bus.model.hooks import reaching
from bus.model.inbox_budget import Candidate
from bus.model.owing import MOST_SHOWN, owed_text, to_be_seen

_LOOKED_AT, _EACH = 50, 10  # questions; of one credential
_DUE = 200  # actions that a count looks at
_DAY_MS = 86_400_000
_BEGINNING = 2_000  # characters of a question that are read


class Owing:
    """The verbs of what is owed."""

    def __init__(
        self, journal: Journal, asks: Asks, machine_mail: MachineMail, shown: ShownMail
    ) -> None:
        self._journal, self._asks = journal, asks
        self._machine_mail, self._shown = machine_mail, shown

    def counts(self, reader: str) -> dict[str, int]:
        """Return how many answers a reader owes (`owed`) and how many of its open actions are due
        today or late (`due`), each counted up to a limit, and only if there are any.
        """
        with_machine = "/" in reader
        day_over_ms = -(-(self._journal.now_ms() + 1) // _DAY_MS) * _DAY_MS
        due = self._journal.index.ask(
            lambda db: actions.due_count(
                db, of_reader(db, reader, with_machine).names, day_over_ms, _DUE
            )
        )
        counts = {"owed": self._asks.owed_count(reader, with_machine), "due": due}
        return {what: count for what, count in counts.items() if count}

    def at_start(
        self, reader: str, conversation: str, trusts: Collection[str] | None = None
    ) -> str:
        """Return all that a reader owes, for a conversation that begins anew; what has none of the
        labels in `trusts` is only counted.
        """
        owed, count = self._owed(reader)
        owed = reaching(owed, trusts)
        self._shown.disclaim(reader, conversation, [_mark(ask["seq"]) for ask in owed])
        return self._text(reader, owed, count)

    def at_stop(
        self,
        reader: str,
        conversation: str,
        just_shown: Collection[int],
        trusts: Collection[str] | None = None,
    ) -> str:
        """Return what a reader owes and was not reminded of at the end of a turn, without what this
        answer shows already.
        """
        found = reaching(self._owed(reader)[0], trusts)
        owed = {_mark(ask["seq"]): ask for ask in found}
        marks = [mark for mark, ask in owed.items() if ask["seq"] not in just_shown][:MOST_SHOWN]
        if not marks:
            return ""
        now_ms = self._journal.now_ms()
        fresh = self._shown.claim(reader, conversation, marks, "owed", now_ms)
        asks = [owed[mark] for mark in marks if mark in fresh]
        return self._text(reader, asks, len(asks))

    def _owed(self, reader: str) -> tuple[list[Candidate], int]:
        """Return what a reader owes, some of it if it is much, and how many that are; without what
        another session of its machine has to do.
        """
        with_machine = "/" in reader
        with self._journal.index.reading() as db:
            boxes = of_reader(db, reader, with_machine).names
            since, now_ms = tenure(db, reader.partition("/")[0]), self._journal.now_ms()
            rows = queries.owed_in_turns(db, boxes, since, now_ms, _EACH, _LOOKED_AT)
            found = [queries.question(db, ask.seq, _BEGINNING) for ask in rows]
        owed = to_be_seen(cast(list[Candidate], found))
        count = max(len(owed), self._asks.owed_count(reader, with_machine))
        if not with_machine:
            return owed, count
        others = self._machine_mail.others(reader, {ask["seq"]: ask for ask in owed})
        mine = [ask for ask in owed if ask["seq"] not in others]
        return mine, count - len(owed) + len(mine)

    def _text(self, reader: str, owed: list[Candidate], count: int) -> str:
        return owed_text(reader, owed, count, self._journal.now_ms())


def _mark(seq: int) -> int:
    """Return what stands for a reminder among the messages that were shown: a question is shown as
    mail as well.
    """
    return -seq

"""Webhooks: adding, testing and removing them, and noting how far each has come.

What sends them is `bus/notify/webhooks/`: it follows the log, so a post never waits for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus.credentials.webhook_secrets import WebhookSecrets
from bus.errors import BadField, NoSuchWebhook, NotAllowed, OverQuota, Unavailable
from bus.hub.journal import Journal
from bus.hub.notices import notice
from bus.index import webhooks as queries
from bus.index.webhooks import Mail, Row
from bus.model import records
from bus.model.addresses import is_public, literal
from bus.model.caller import Caller, check_speaks_as
from bus.model.records import Fields
from bus.model.webhooks import (
    GONE,
    OPEN,
    Answer,
    NewWebhook,
    Outcome,
    Progress,
    Webhook,
    is_for_admins,
    place,
)

MOST_WEBHOOKS = 64  # of one credential: each may hold a connection
_NOT_HERE = "This process sends no webhooks."


@dataclass(frozen=True)
class Step:
    """What is noted of a webhook at once: how far it has come, the messages that were given up, and
    those that were sent again.
    """

    progress: Progress
    dead: Sequence[int] = ()
    done: Sequence[int] = ()


class Webhooks:
    """The verbs of webhooks."""

    def __init__(self, journal: Journal, *, private: bool = False) -> None:
        self._journal, self._private = journal, private
        # Whoever joins the parts says where secrets are kept, and what sends a test.
        self.secrets: WebhookSecrets | None = None
        self.try_out: Callable[[Row], tuple[Outcome, Answer]] | None = None

    # -- for callers -----------------------------------------------------------------------------

    def add(self, caller: Caller, asked: NewWebhook) -> tuple[Webhook, str]:
        """Have the mail of a name sent from now on; return the webhook and its secret.

        Raises NotYourName, NotAllowed, BadField and OverQuota.
        """
        name = asked.name or caller.name
        _check_may_set(caller, name)
        self._check_public(asked.url)
        with self._journal.current() as db:
            count = queries.count_of(db, caller.name)
        if count >= MOST_WEBHOOKS:
            raise OverQuota(
                f"{caller.name} has {count} webhooks.",
                hint="Remove some of them: DELETE /webhooks/<id>.",
                quota="webhooks",
                limit=MOST_WEBHOOKS,
                name=caller.name,
            )
        id = self._journal.new_id()
        secret = self._kept().make(id)
        made = {"kind": "webhook_set", "auth": caller.name, "webhook": id, "name": name}
        self._journal.append([{**made, "url": asked.url}])
        return _shown(self._row(caller, id)), secret

    def listed(self, caller: Caller, name: str | None) -> list[Webhook]:
        """Return the webhooks that a caller may see: its own and those of its names; an admin
        all.
        """
        with self._journal.index.reading() as db:
            rows = queries.all_of(db)
        return [_shown(row) for row in rows if _may_see(caller, row) and name in (None, row.name)]

    def remove(self, caller: Caller, id: str) -> None:
        """Have nothing sent any more. Raises NoSuchWebhook."""
        row = self._row(caller, id)
        self._journal.append([{"kind": "webhook_removed", "auth": caller.name, "webhook": row.id}])
        self._kept().drop(row.id)

    def replay(self, caller: Caller, id: str) -> int:
        """Have sent again what was given up, and all else at once; return how many messages were
        given up. Raises NoSuchWebhook.
        """
        row = self._row(caller, id)
        asked = {"kind": "webhook_progress", "auth": caller.name, "webhook": row.id}
        self._journal.append([{**asked, "replay": True}])
        return row.dead_letters

    def test(self, caller: Caller, id: str) -> tuple[Outcome, Answer]:
        """Send a message that is only a test, and return what came of it. Raises NoSuchWebhook."""
        row = self._row(caller, id)
        if self.try_out is None:
            raise Unavailable(_NOT_HERE)
        return self.try_out(row)

    def _row(self, caller: Caller, id: str) -> Row:
        with self._journal.current() as db:
            row = queries.one(db, id)
        if row is None or not _may_see(caller, row):
            raise NoSuchWebhook(f"There is no webhook {id[:64]!r}, or it is not yours.")
        return row

    def _check_public(self, url: str) -> None:
        """Refuse an address that no attempt would be made to; a name is looked up at each."""
        address = literal(place(url).host)
        if address is not None and not self._private and not is_public(address):
            raise BadField(
                f"`url` leads to {address}, which is not an address of the open internet.",
                hint="The operator can allow such addresses with BUS_WEBHOOKS_PRIVATE=1.",
                field="url",
            )

    def _kept(self) -> WebhookSecrets:
        if self.secrets is None:
            raise Unavailable(_NOT_HERE)
        return self.secrets

    # -- for what sends them ---------------------------------------------------------------------

    def due(self) -> list[Row]:
        """Return those that may send something now."""
        now_ms = self._journal.now_ms()
        with self._journal.index.reading() as db:
            return queries.due(db, now_ms)

    def one(self, id: str) -> Row | None:
        """Return a webhook as it is now."""
        with self._journal.index.reading() as db:
            return queries.one(db, id)

    def mail(self, row: Row, passed: Sequence[int], limit: int) -> list[Mail]:
        """Return what a webhook is to send next: see `bus.index.webhooks.mail`."""
        now_ms = self._journal.now_ms()

        def question(db: sqlite3.Connection) -> list[Mail]:
            return queries.mail(db, row, passed, now_ms, limit)

        return self._journal.index.ask(question)

    def secret(self, id: str) -> str | None:
        """Return what the requests of a webhook are signed with; None where it is lost."""
        return self._kept().of(id)

    def note(self, row: Row, step: Step) -> None:
        """Record how far a webhook has come. Its owner is told when that is a reason for worry."""
        progress = step.progress
        said: Fields = {
            "cursor": progress.cursor,
            "state": progress.state,
            "failures": progress.failures,
            "next_ms": progress.next_ms,
            "answers": list(progress.answers),
            **({"dead": list(step.dead)} if step.dead else {}),
            **({"done": list(step.done)} if step.done else {}),
        }
        # Counted with what its owner causes in a day.
        about: Fields = {"kind": "webhook_progress", "auth": row.auth, "webhook": row.id}
        block: list[Fields] = [{**about, **said}]
        if progress.state in (OPEN, GONE) and row.progress.state != progress.state:
            key = f"webhook {row.id} {progress.state} {self._journal.now_ms()}"
            block.append(notice(key, [row.auth], _trouble(row, progress), tags=["webhook"]))
        self._journal.append(block)

    def position(self) -> int:
        """Return the seq of the last record: while it stays, there is nothing new to send."""
        return self._journal.log.position().seq

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970."""
        return self._journal.now_ms()

    def new_id(self) -> str:
        """Return an id for a message that is only a test."""
        return self._journal.new_id()


def _check_may_set(caller: Caller, name: str) -> None:
    if caller.is_admin:
        return
    if is_for_admins(name):
        raise NotAllowed(
            f"Only admins add webhooks for topics and roles, such as {name}.",
            role=caller.role,
            allowed=["admin"],
        )
    check_speaks_as(caller, name, "name", lambda: ())


def _may_see(caller: Caller, row: Row) -> bool:
    return caller.is_admin or caller.is_me(row.name) or caller.name == row.auth


def _shown(row: Row) -> Webhook:
    progress = row.progress
    return {
        "id": row.id,
        "name": row.name,
        "url": row.url,
        "by": row.auth,
        "created": row.created,
        "state": progress.state,
        "cursor": progress.cursor,
        "failures": progress.failures,
        "next_attempt": records.iso(progress.next_ms or None),
        "dead_letters": row.dead_letters,
        "answers": list(progress.answers),
    }


def _trouble(row: Row, progress: Progress) -> str:
    """Return what the owner of a webhook that does not work is told."""
    last = progress.answers[0] if progress.answers else None
    said = "" if last is None else f" The last answer: {last['error'] or last['status']}."
    about = f"The webhook {row.id} for {row.name}"
    if progress.state == GONE:
        return f"{about} is off: its receiver answered 410, that it is gone.{said}"
    return (
        f"{about} has failed {progress.failures} times, one after the other.{said} It is tried"
        " again, ever less often; a message is given up after 24 h. `bus webhook list` shows it,"
        " `bus webhook replay` tries all of it again at once."
    )

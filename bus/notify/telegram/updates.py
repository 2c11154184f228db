"""What comes in from Telegram: commands, replies and pressed buttons, each exactly once.

The effect of an update carries its number as idempotency key; the answer and the next offset are
noted together. So an update that a kill has interrupted is done again without being done twice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bus.errors import BusError, Unavailable
from bus.model.masking import masked
from bus.model.notices import NewNotice
from bus.notify.services.base import Tools
from bus.notify.telegram.acts import Acts, refusal
from bus.notify.telegram.buttons import Buttons
from bus.notify.telegram.people import People, Person, Taken

logger = logging.getLogger("bus.notify")

ANSWER = "answer"  # the kind of a notice that answers somebody
_FORWARDED = ("forward_origin", "forward_date", "forward_from", "forward_sender_name")
_STRANGERS_A_MINUTE = 3
_STRANGER = "This bot does not know you, and does nothing for you."
_MOST_TEXT = 4_096


class Done(NamedTuple):
    """What follows an update: notices to send, and what the presser of a button is shown."""

    notices: list[NewNotice]
    pressed: tuple[str, str] | None = None  # the id of the press, and the words
    closed: tuple[int, int, str] | None = None  # chat, message, words: its buttons go


class Updates:
    """Reads updates. `aliases` are other names of the bot; `chat_moved` is told of supergroups."""

    def __init__(
        self,
        tools: Tools,
        people: People,
        buttons: Buttons,
        acts: Acts,
        aliases: list[str],
    ) -> None:
        self._tools, self._people, self._buttons, self._acts = tools, people, buttons, acts
        self._aliases = {alias.removeprefix("@").casefold() for alias in aliases}
        self.username, self.bot_id = "", 0
        self.chat_moved: Callable[[int, int], None] = lambda old, new: None
        self._strangers: list[float] = []
        self._told_strangers: dict[int, float] = {}

    def people(self) -> list[str]:
        """Return a line for each person of the settings."""
        return self._people.listed()

    def offset(self) -> int:
        """Return the number of the first update that is not done yet; 0: from the oldest."""
        with self._tools.queue.database.reading() as db:
            row = db.execute(
                "SELECT value FROM facts WHERE name = ?", (f"offset {self._tools.name}",)
            ).fetchone()
        return 0 if row is None else int(row["value"])

    def take(self, update: Mapping[str, Any]) -> Done:
        """Do what an update says, and note that it is done. Raises Unavailable where the hub can
        do nothing now: then it is to be taken again.
        """
        number = update["update_id"]
        done = Done([])
        if number >= self.offset():
            try:
                done = self._done(update, f"telegram-{self._tools.name}-{number}")
            except Unavailable:
                raise
            except Exception:
                # One update that cannot be read must not hold up all that come after it.
                logger.exception("update %s of %s is left out", number, self._tools.name)
            queue = self._tools.queue
            with queue.database.changing() as db:
                for notice in done.notices:
                    queue.put(db, notice)
                db.execute(
                    "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)",
                    (f"offset {self._tools.name}", str(number + 1)),
                )
        return done

    def _done(self, update: Mapping[str, Any], key: str) -> Done:
        press, message = update.get("callback_query"), update.get("message")
        if isinstance(press, dict):
            return self._pressed(press, key)
        if isinstance(message, dict):
            return self._said(message, key)
        return Done([])

    # -- messages --------------------------------------------------------------------------------

    def _said(self, message: Mapping[str, Any], key: str) -> Done:
        chat, number = message.get("chat"), message.get("message_id")
        if not isinstance(chat, dict) or not _is_whole(chat.get("id")) or not _is_whole(number):
            return Done([])
        moved = message.get("migrate_to_chat_id")
        if isinstance(moved, int):
            self.chat_moved(chat["id"], moved)
            return Done([])
        text = message.get("text")
        if not isinstance(text, str) or not text.strip():
            return Done([])
        words = self._command(text[:_MOST_TEXT], chat)
        replied = message.get("reply_to_message")
        is_reply = isinstance(replied, dict) and self._is_mine(replied)
        if words is None and not is_reply:
            return Done([])
        said = self._answered(message, words, replied if is_reply else None, text, key)
        if said is None:
            return Done([])
        said = masked(said)  # it may tell of the mail of others, and others may read this chat
        about = {"reply_to": number}
        return Done([NewNotice(self._tools.name, str(chat["id"]), ANSWER, "", said, data=about)])

    def _answered(
        self,
        message: Mapping[str, Any],
        words: list[str] | None,
        replied: Mapping[str, Any] | None,
        text: str,
        key: str,
    ) -> str | None:
        """Do what a message says; return the answer, None for silence."""
        try:
            person = self._people.find(message.get("from"))
        except Taken:
            return self._to_stranger(
                message, "This user name is bound to another account. An admin can look: people."
            )
        if person is None:
            return self._to_stranger(message, _STRANGER)
        if any(name in message for name in (*_FORWARDED, "via_bot")):
            return "A forwarded message does nothing. Write it yourself."
        try:
            if words is None and replied is not None:
                return self._reply(person, message, replied, text, key)
            return self._acts.do(person, words or [""], key)
        except Unavailable:
            raise
        except BusError as error:
            return refusal(error)

    def _command(self, text: str, chat: Mapping[str, Any]) -> list[str] | None:
        """Return the words of a command to this bot; None for a text that is none."""
        words = text.split()
        first = words[0].casefold()
        slash = re.fullmatch(r"/([a-z_]+)(?:@([a-z0-9_]+))?", first)
        if slash is not None:
            is_for_me = (
                self._acts.is_word(slash[1]) if slash[2] is None else slash[2] == self.username
            )
            if not is_for_me:  # of another bot in the group
                return None
            return [slash[1], *words[1:]]
        if first.startswith("@") and first[1:].rstrip(":,") in {self.username, *self._aliases}:
            return words[1:]
        return None

    def _is_mine(self, message: Mapping[str, Any]) -> bool:
        sender = message.get("from")
        return isinstance(sender, dict) and self.bot_id != 0 and sender.get("id") == self.bot_id

    def _reply(
        self,
        person: Person,
        message: Mapping[str, Any],
        replied: Mapping[str, Any],
        text: str,
        key: str,
    ) -> str:
        """Post a reply to a notice to its sender; or do a command that stands in one."""
        words = text.split()
        if self._acts.is_word(words[0]) and words[0].lower() not in ("help", "start", "send"):
            approval = self._about(message, replied, "approval")
            if words[0].lower() in ("approve", "deny") and len(words) == 1 and len(approval) == 1:
                words = [*words, approval[0]["approval"]]
            return self._acts.do(person, words, key)
        mail = self._about(message, replied, "message")
        if len({one["from"] for one in mail}) != 1:
            return "That is no notice of one message, so nobody was sent this. Use: send NAME TEXT"
        return self._acts.post(person, mail[-1]["from"], text, key, mail[-1]["message"])

    def _about(
        self, message: Mapping[str, Any], replied: Mapping[str, Any], name: str
    ) -> list[dict[str, Any]]:
        """Return what the notices in a message of ours were about, as far as they have `name`."""
        ref = f"{message['chat']['id']}:{replied.get('message_id')}"
        found = self._tools.queue.by_ref(self._tools.name, ref)
        return [data for data in found if name in data]

    def _to_stranger(self, message: Mapping[str, Any], said: str) -> str | None:
        """Return the answer to somebody unknown: few of them, so that nobody makes the bot spam."""
        now = self._tools.clock()
        sender = message.get("from")
        id = sender.get("id") if isinstance(sender, dict) else None
        self._strangers = [at for at in self._strangers if at > now - 60]
        if not isinstance(id, int) or len(self._strangers) >= _STRANGERS_A_MINUTE:
            return None
        if self._told_strangers.get(id, 0.0) > now - 600:
            return None
        if len(self._told_strangers) > 1_000:
            self._told_strangers.clear()
        self._told_strangers[id] = now
        self._strangers.append(now)
        return said

    # -- buttons ---------------------------------------------------------------------------------

    def _pressed(self, press: Mapping[str, Any], key: str) -> Done:
        id, token = press.get("id"), press.get("data")
        if not isinstance(id, str) or not isinstance(token, str):
            return Done([])
        message = press.get("message")
        where = message if isinstance(message, dict) else {}
        chat = where.get("chat")
        chat_id = chat.get("id") if isinstance(chat, dict) else None
        try:
            person = self._people.find(press.get("from"))
        except Taken:
            person = None
        if person is None or not person.is_admin:
            return Done([], (id, "Only admins decide this. Nothing was done."))
        button = self._buttons.find(token)
        if button is None or button.chat != chat_id:
            return Done([], (id, "This button is not known any more. Nothing was done."))
        if button.is_used:
            return Done([], (id, "It was answered already. Nothing was done."))
        try:
            said = self._acts.press(person, button, key)
        except Unavailable:
            raise
        except BusError as error:
            return Done([], (id, refusal(error)[:190]))
        number = where.get("message_id")
        closed = (button.chat, number, said) if _is_whole(number) else None
        return Done([], (id, said[:190]), closed)  # type: ignore[arg-type]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

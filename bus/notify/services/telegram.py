"""Telegram, both ways: notices go to a chat, and people of the settings decide from there.

    [services.ops]
    type = "telegram"
    token = "110201543:AA…"        # of BotFather
    chat = -1001234567890           # a group, or a person
    users = { ChasWatkins = "chas" }
    admins = [123456789]            # numeric ids

docs/notices.md tells the rest.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from bus.errors import BusError, Unavailable
from bus.model.caller import ADMIN, Caller
from bus.model.harmless import harmless
from bus.model.mentions import calling_nobody
from bus.model.notices import Notice
from bus.model.records import NAME
from bus.notify.events import Event
from bus.notify.rules import Rule
from bus.notify.services.base import Refused, Retry, Service, Tools
from bus.notify.table import Table
from bus.notify.telegram import texts
from bus.notify.telegram.acts import Acts
from bus.notify.telegram.api import API, Bot, Moved, NotParsed
from bus.notify.telegram.buttons import Buttons
from bus.notify.telegram.people import People
from bus.notify.telegram.updates import ANSWER, Updates

# Telegram's limits are 20 messages a minute in a group, and about one a second elsewhere.
_GROUP_A_MINUTE, _PERSON_A_MINUTE = 18, 50
_EDITED_FROM, _EDITED_FOR_S = 5, 120.0  # messages in the last minute; after that a new one
_POLL_S, _POLL_ANSWER_S = 50, 60.0
_PAUSE_S, _HURRY_S = 5.0, 1.0
_HUB = Caller("bus", ADMIN)
_ALONE = ("approval_asked", ANSWER)


class _Last(NamedTuple):
    """The last message of ours in a chat, which may be made longer."""

    id: int
    html: str
    plain: str
    at: float


class EchoRule(Rule):
    """Every command that was run, but on the targets that are switched off."""

    def fits(self, event: Event) -> bool:
        return "exec" in event.tags and super().fits(event)


class Telegram(Service):
    """See the head of this module."""

    most_at_once = 40

    def __init__(
        self,
        tools: Tools,
        bot: Bot,
        chat: int,
        approvals: int,
        updates: Updates,
        buttons: Buttons,
        rules: Sequence[Rule],
    ) -> None:
        self._tools, self._bot, self._updates, self._buttons = tools, bot, updates, buttons
        self._own, self._approvals, self.rules = chat, approvals, rules
        self._sent: dict[int, deque[float]] = defaultdict(deque)
        self._last: dict[int, _Last] = {}

    # -- out -------------------------------------------------------------------------------------

    def together(self, target: str, notices: Sequence[Notice]) -> int:
        for at, notice in enumerate(notices):
            if notice.kind in _ALONE:
                return max(1, at)
        return texts.fits(notices)

    def ready_in_s(self, target: str) -> float:
        try:
            chat = self._chat(target)
        except Refused:
            return 0.0
        sent = self._window(chat)
        most = _GROUP_A_MINUTE if chat < 0 else _PERSON_A_MINUTE
        return 0.0 if len(sent) < most else max(0.0, sent[0] + 60 - self._tools.clock())

    def send(self, target: str, notices: Sequence[Notice]) -> str | None:
        chat = self._chat(target)
        first = notices[0]
        try:
            if first.kind == "approval_asked":
                return self._ask(chat, first)
            if first.kind == ANSWER:
                text = harmless(texts.cut(calling_nobody(first.text), texts.MOST_TEXT)[0])
                reply = _answering(first.data.get("reply_to"))
                return self._message(chat, texts.quoted(text), text, reply_parameters=reply)
            return self._tell(chat, *texts.together(notices))
        except Moved as error:
            self.chat_moved(chat, error.chat)
            raise Retry(str(error), after_s=0.0, is_whole=False) from None

    def _tell(self, chat: int, html: str, plain: str) -> str:
        """Send a message; where many were sent in the last minute, make the last one longer."""
        last = self._last.get(chat)
        now = self._tools.clock()
        if (
            last is not None
            and len(self._window(chat)) >= _EDITED_FROM
            and now - last.at < _EDITED_FOR_S
            and texts.has_room(last.html, html)
        ):
            longer = _Last(last.id, f"{last.html}\n\n{html}", f"{last.plain}\n\n{plain}", last.at)
            if self._edit(chat, longer):
                self._last[chat] = longer
                return f"{chat}:{last.id}"
        ref = self._message(chat, html, plain)
        self._last[chat] = _Last(int(ref.rpartition(":")[2]), html, plain, now)
        return ref

    def _edit(self, chat: int, last: _Last) -> bool:
        """Replace the text of a message; return whether it could be."""
        self._window(chat).append(self._tools.clock())
        try:
            self._formatted(
                "editMessageText", last.html, last.plain, chat_id=chat, message_id=last.id
            )
        except Refused as error:
            # Nothing has changed: an edit whose answer was lost has been made.
            return "not modified" in str(error)
        return True

    def _message(self, chat: int, html: str, plain: str, **more: Any) -> str:
        self._last.pop(chat, None)  # what comes next goes below this one
        self._window(chat).append(self._tools.clock())
        preview = {"is_disabled": True}
        result = self._formatted(
            "sendMessage", html, plain, chat_id=chat, link_preview_options=preview, **more
        )
        id = result.get("message_id") if isinstance(result, dict) else None
        if not isinstance(id, int):
            raise Retry("the answer has no message_id", is_unsure=True)
        return f"{chat}:{id}"

    def _formatted(self, method: str, html: str, plain: str, **fields: Any) -> Any:
        """Call a method with a text in HTML; without it where Telegram cannot read that."""
        try:
            return self._bot.call(method, text=html, parse_mode="HTML", **fields)
        except NotParsed:
            text = texts.cut(plain, texts.MOST)[0]
            return self._bot.call(method, text=text, **fields)

    def _ask(self, chat: int, notice: Notice) -> str:
        id = str(notice.data["approval"])
        try:
            found = dict(self._tools.hub.approvals.get(_HUB, id))
        except Unavailable as error:
            raise Retry(error.message, is_whole=False) from None
        except BusError as error:
            raise Refused(error.message) from None
        if found["state"] != "pending":
            said = f"{notice.title}: it is {found['state']} already"
            return self._message(chat, texts.quoted(said), harmless(said))
        html, plain, is_whole = texts.of_approval(found)
        keyboard = self._buttons.make(id, str(found["hash"]), chat, only_no=not is_whole)
        return self._message(chat, html, plain, reply_markup=keyboard)

    def _window(self, chat: int) -> deque[float]:
        """Return when messages were sent to a chat in the last minute."""
        sent, until = self._sent[chat], self._tools.clock() - 60
        while sent and sent[0] <= until:
            sent.popleft()
        return sent

    # -- chats -----------------------------------------------------------------------------------

    def _chat(self, target: str) -> int:
        """Return the id of a target's chat; a supergroup's where it became one."""
        if target == "approvals":
            chat = self._approvals
        elif target == "":
            chat = self._own
        else:
            try:
                chat = int(target)
            except ValueError:
                raise Refused(f"{target[:40]!r} is no id of a chat") from None
        with self._tools.queue.database.reading() as db:
            for _ in range(8):
                row = db.execute(
                    "SELECT new FROM chats WHERE service = ? AND old = ?", (self._tools.name, chat)
                ).fetchone()
                if row is None:
                    break
                chat = row["new"]
        return chat

    def chat_moved(self, old: int, new: int) -> None:
        """Note for good that a group has become a supergroup."""
        if old != new:
            with self._tools.queue.database.changing() as db:
                db.execute(
                    "INSERT OR REPLACE INTO chats VALUES (?, ?, ?)", (self._tools.name, old, new)
                )

    # -- in --------------------------------------------------------------------------------------

    def listen(self) -> None:
        while not self._tools.stopped.is_set():
            began = time.monotonic()
            try:
                count = self.poll()
                self.trouble = None
                if not count and time.monotonic() - began < _HURRY_S:
                    self._tools.stopped.wait(_HURRY_S)  # it answers at once, whatever it is asked
            except Retry as error:
                self.trouble = str(error)
                self._tools.stopped.wait(error.after_s or _PAUSE_S)
            except (Unavailable, Refused, Moved, NotParsed) as error:
                self.trouble = str(error)
                self._tools.stopped.wait(_PAUSE_S)

    def poll(self, wait_s: int = _POLL_S) -> int:
        """Take the updates that there are, or the next that come within so many seconds; return
        how many.
        """
        if not self._updates.bot_id:
            self._know_myself()
        found = self._bot.call(
            "getUpdates",
            answer_s=_POLL_ANSWER_S,
            offset=self._updates.offset(),
            limit=100,
            timeout=wait_s,
            allowed_updates=["message", "callback_query"],
        )
        if not isinstance(found, list):
            raise Retry("the answer has no updates")
        count = 0
        for update in found:
            if isinstance(update, dict) and isinstance(update.get("update_id"), int):
                done = self._updates.take(update)
                count += 1
                self._tell_presser(done)
        return count

    def _tell_presser(self, done: Any) -> None:
        """Say what became of a press, and take the buttons away. Nothing depends on it."""
        try:
            if done.pressed is not None:
                id, said = done.pressed
                self._bot.call("answerCallbackQuery", callback_query_id=id, text=said)
            if done.closed is not None:
                chat, message, said = done.closed
                self._bot.call("editMessageReplyMarkup", chat_id=chat, message_id=message)
                reply = _answering(message)
                self._bot.call("sendMessage", chat_id=chat, text=said, reply_parameters=reply)
        except (Retry, Refused, Moved, NotParsed):
            return

    def _know_myself(self) -> dict[str, Any]:
        me = self._bot.call("getMe")
        if not isinstance(me, dict) or not isinstance(me.get("id"), int):
            raise Retry("the answer to getMe is no bot")
        self._updates.bot_id = me["id"]
        self._updates.username = str(me.get("username") or "").casefold()
        return me

    def check(self) -> list[str]:
        try:
            me = self._know_myself()
            hook = self._bot.call("getWebhookInfo")
        except (Retry, Refused, Moved, NotParsed) as error:
            return [f"! {error}"]
        lines = [f"the bot is @{me.get('username')}"]
        if me.get("can_read_all_group_messages"):
            lines.append("group privacy is off: it reads `@bot permit …` in groups")
        else:
            lines.append(
                "group privacy is on: in a group it reads only /commands and replies to it, not"
                " `@bot permit …`. BotFather /setprivacy Disable, then add the bot to the group"
                " again; or make it an admin of the group"
            )
        url = hook.get("url") if isinstance(hook, dict) else ""
        if url:
            lines.append("! a webhook is set, so nothing comes in: call deleteWebhook")
        return [*lines, *self._updates.people()]


def _answering(message: object) -> dict[str, Any]:
    return {"message_id": message, "allow_sending_without_reply": True}


def make(table: Table, tools: Tools) -> Service:
    """Return the service of a table of the settings."""
    token = table.secret("token")
    if ":" not in token or "/" in token:
        raise table.bad("token", "is no token of a bot: 110201543:AA…")
    chat = table.whole("chat")
    users = table.words("users")
    for account, name in users.items():
        if NAME.fullmatch(f"human/{name}") is None:
            raise table.bad("users", f"has {name[:40]!r} for {account[:40]}: it is no name")
    credential = table.text("credential", "")
    if credential and ":" not in credential:
        raise table.bad("credential", "must be NAME:SECRET")
    approvals = table.whole("approvals", chat)
    bot = Bot(token, table.url("api", API), tools.clock)
    people = People(tools, users, table.wholes("admins"))
    buttons = Buttons(tools.name, tools.queue)
    acts = Acts(tools, people, buttons, tools.runner, credential)
    rules: list[Rule] = []
    if table.flag("ask", True):
        rules.append(Rule((tools.name,), ("approval_asked",), target="approvals"))
    is_echo, off = table.flag("echo", True), tuple(table.texts("echo_off"))
    if is_echo:
        rules.append(EchoRule((tools.name,), ("call_ended",), not_to=off))
    updates = Updates(tools, people, buttons, acts, table.texts("aliases"))
    service = Telegram(tools, bot, chat, approvals, updates, buttons, rules)
    updates.chat_moved = service.chat_moved
    service.secrets = [token, token.partition(":")[2], credential, credential.partition(":")[2]]
    return service

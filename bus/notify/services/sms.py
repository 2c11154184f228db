"""SMS, by Twilio's REST API.

    [services.phone]
    type = "sms"
    sid = "AC…"                      # or TWILIO_SID in the environment
    token = "…"                      # or TWILIO_TOKEN
    from = "+15005550006"            # a number of yours there, or a messaging service: "MG…"
    people = { chas = "+15551234567" }
    senders = ["web1", "web1/*"]     # whose `bus post --text` is heard; all unless set
    each_s = 1                       # seconds between two
    most_a_day = 100                 # to one person; each costs money

A rule's `target` is one of `people`, or left out where there is one. Besides the rules, a message
with the tag `text:chas` (`bus post --text chas`) is texted to chas. One notice is one text message.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from bus.model.notices import TEXT_TAG, Notice
from bus.model.sms import one_text
from bus.notify import calling
from bus.notify.rules import Rule
from bus.notify.services.base import Paced, Refused, Retry, Service, Tools, whom
from bus.notify.table import Table

API = "https://api.twilio.com"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_FROM = re.compile(r"\+[1-9][0-9]{6,14}|MG[0-9A-Za-z]{32}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11}")
_MOST_UNSURE = 3
_DAY_S = 86_400


class Sms(Paced):
    """See the head of this module."""

    def __init__(
        self,
        tools: Tools,
        account: tuple[str, str],
        sender: str,
        people: Mapping[str, str],
        senders: Sequence[str] = (),
        *,
        url: str = API,
        each_s: float = 1,
        most_a_day: int = 100,
    ) -> None:
        super().__init__(tools, each_s)
        self._account, self._sender, self._people = account, sender, people
        sid = quote(account[0], safe="")
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{sid}/Messages.json"
        self._most_a_day = most_a_day
        self.secrets = list(account)
        self.texts, self.text_senders = tuple(people), tuple(senders)
        self.rules = [
            Rule((tools.name,), sender=tuple(senders), tags=(f"{TEXT_TAG}{who}",), target=who)
            for who in people
        ]
        self._day = 0
        self._today: Counter[str] = Counter()

    def check(self) -> list[str]:
        return [f"texts {', '.join(self._people)}; nothing more is known without sending something"]

    def send_one(self, target: str, notice: Notice) -> str | None:
        who, number = whom(self._people, target)
        if notice.is_unsure and notice.tries >= _MOST_UNSURE:
            raise Refused("its answers were lost: it is not texted a fourth time")
        self._check_day(who)
        self.begin()
        ref = notice.data.get("ref")
        said = f"{notice.title}: {notice.text}" if notice.text else notice.title
        fields = {"To": number, "Body": one_text(said, f"(bus read {ref})" if ref else "")}
        by = "MessagingServiceSid" if self._sender.startswith("MG") else "From"
        try:
            reply = calling.call(
                "POST",
                self._url,
                auth=self._account,
                data={**fields, by: self._sender},
                clock=self._tools.clock,
            )
            id = _taken(reply)
        except Retry as error:
            self._today[who] += error.is_unsure
            raise
        self._today[who] += 1
        return id

    def _check_day(self, who: str) -> None:
        """Raise Refused where somebody has had too many today."""
        day = int(self._tools.clock() // _DAY_S)
        if day != self._day:
            self._day, self._today = day, Counter()
        if self._today[who] >= self._most_a_day:
            raise Refused(f"{who} has had {self._most_a_day} texts today (most_a_day)")


def _taken(reply: calling.Reply) -> str | None:
    """Return the id of a text message that Twilio has taken; raises Retry and Refused."""
    try:
        told = json.loads(reply.body)
    except ValueError:
        told = None
    told = told if isinstance(told, dict) else {}
    if reply.status == 201:
        # That status says that it was made, whatever the rest looks like: again would cost again.
        return str(told["sid"])[:64] if "sid" in told else None
    if 200 <= reply.status < 300:
        raise Retry("the answer is not Twilio's", is_unsure=True)
    code = told.get("code")
    words = f"status {reply.status}, Twilio's error {code}" if isinstance(code, int) else None
    try:
        calling.check(reply)
    except Refused as error:
        raise Refused(words or str(error)) from None
    except Retry as error:
        raise Retry(words or str(error), after_s=error.after_s) from None
    raise AssertionError(reply.status)


def make(table: Table, tools: Tools) -> Service:
    """Return the service of a table of the settings."""
    account = tuple(
        table.secret(key, os.environ.get(f"TWILIO_{key.upper()}") or None)
        for key in ("sid", "token")
    )
    sender = table.text("from")
    if _FROM.fullmatch(sender) is None:
        raise table.bad("from", "must be a number such as +15005550006")
    people = table.people(_NUMBER, "+number")
    return Sms(
        tools,
        (account[0], account[1]),
        sender,
        people,
        table.texts("senders"),
        url=table.url("url", API),
        each_s=table.number("each_s", 1, 0, 3600),
        most_a_day=int(table.number("most_a_day", 100, 1, 100_000)),
    )

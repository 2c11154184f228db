"""More than a hundred services by way of apprise: Slack, Discord, ntfy, e-mail, Matrix, Pushover …

    [services.chat]
    type = "apprise"
    url = "slack://TOKENA/TOKENB/TOKENC/#agents"    # https://github.com/caronc/apprise/wiki
    most = 1000           # characters of a text
    each_s = 1            # seconds between two

One address a service, so that one that is away holds up no other. The package is an extra:
requirements-notify.txt.
"""

from __future__ import annotations

import importlib
import logging
import re
import warnings
from typing import Any

from bus.model.mentions import calling_nobody
from bus.model.notices import MOST_TEXT, Notice
from bus.notify import calling
from bus.notify.services.base import Paced, Refused, Retry, Service, Tools, cut
from bus.notify.table import Table

_STATUS = re.compile(r"\berror=(\d{3})\b")


class AppriseService(Paced):
    """See the head of this module. `apprise` is an object of the library with one address."""

    def __init__(
        self, tools: Tools, apprise: Any, url: str, most: int = 1000, each_s: float = 1
    ) -> None:
        super().__init__(tools, each_s)
        self._apprise, self._most = apprise, most
        self.secrets = [url, *(part for part in re.split(r"[/:@?&=#]+", url) if len(part) > 7)]

    def check(self) -> list[str]:
        name = next(iter(self._apprise)).service_name
        return [f"{name}, by apprise; nothing more is known without sending something"]

    def send_one(self, target: str, notice: Notice) -> str | None:
        self.begin()
        title = calling_nobody(notice.title)[:200]
        text = cut(calling_nobody(notice.text), self._most, notice.data.get("ref"))
        if notice.is_unsure:
            text += "\n(This may have been told before.)"
        result = self._apprise.notify(body=text or title, title=title, body_format="text")
        if result:
            return None
        status = _status(result)
        if status is not None:
            kind = Refused if int(status) in calling.ABOUT_THE_NOTICE else Retry
            raise kind(f"status {status}")
        raise Retry("apprise could not send it, and does not know why", is_unsure=True)


def _status(result: Any) -> str | None:
    """Return the status that a service has answered with, which stands only in what apprise has
    logged; None: no such answer is known.
    """
    attempts = [attempt for one in result.results for attempt in one.attempts]
    lines = [entry.message for attempt in attempts for entry in attempt.logs]
    found = _STATUS.findall(" ".join(lines))
    return found[-1] if found else None


def _silence() -> None:
    """Keep what apprise logs out of our log: it may tell secrets."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def make(table: Table, tools: Tools) -> Service:
    """Return the service of a table of the settings."""
    url, most = table.text("url"), int(table.number("most", 1000, 1, MOST_TEXT))
    each_s = table.number("each_s", 1, 0, 3600)
    _silence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about its own imports
        try:
            library: Any = importlib.import_module("apprise")  # 0.15 s, and few need it
        except ImportError as error:
            raise table.bad(
                "type",
                "is 'apprise', and that package is not installed:"
                f" pip install -r requirements-notify.txt ({error})",
            ) from None
        apprise = library.Apprise(asset=library.AppriseAsset(async_mode=False, secure_logging=True))
        is_one = apprise.add(url) and len(apprise) == 1
    if not is_one:
        raise table.bad("url", "is not one address that apprise knows")
    return AppriseService(tools, apprise, url, most, each_s)

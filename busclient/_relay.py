"""A Mac that sends the hub's notices as iMessages: it reads its mail, and Messages sends.

Only what the hub itself has posted is sent: any member can put mail into this mailbox, and must not
have a Mac write to whom it likes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from busclient._bus import Bus
from busclient._errors import LocalTrouble
from busclient._harmless import harmless, one_line
from busclient._messages.message import Message

TAG = "imessage"
_HUB = "bus"
_MOST_TEXT = 4_000
_MOST_TRIES = 5
_WAIT_S, _PAUSE_S, _LIMIT_S = 50.0, 30.0, 60.0
_HANDLE = re.compile(r"\+[1-9][0-9]{6,14}|[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+")
# Whom and what are arguments: no word of a message ever becomes part of the script.
_SCRIPT = """on run {handle, said}
tell application "Messages"
set service_ to 1st account whose service type = iMessage
send said to participant handle of service_
end tell
end run"""


class IMessage(NamedTuple):
    """What is to be sent, and to which number or address."""

    to: str
    text: str


def command(said: IMessage) -> list[str]:
    """Return the argument vector that has Messages send it."""
    return ["osascript", "-e", _SCRIPT, said.to, said.text]


def imessage_of(message: Message) -> IMessage | None:
    """Return what a message of the hub's asks to send; None for anything else."""
    told = message.data.get(TAG) if isinstance(message.data, dict) else None
    is_hubs = message.sender == _HUB and message.verified and message.trust == "hub"
    if not is_hubs or not isinstance(told, dict):
        return None
    to, text = told.get("to"), told.get("text")
    if not (isinstance(to, str) and isinstance(text, str) and _HANDLE.fullmatch(to)):
        return None
    return IMessage(to, harmless(text)[:_MOST_TEXT]) if text.strip() else None


class Relay:
    """Sends what is unread. `tell` is called with lines for people."""

    def __init__(
        self, bus: Bus, tell: Callable[[str], None], sleep: Callable[[float], None]
    ) -> None:
        self._bus, self._tell, self._sleep = bus, tell, sleep
        self._tries: Counter[str] = Counter()

    def follow(self) -> None:
        """Send what comes, for ever."""
        while True:
            if self.once(_WAIT_S):
                self._sleep(_PAUSE_S)

    def once(self, wait_s: float = 0) -> int:
        """Send what is unread, oldest first, and acknowledge each; return how many failed and
        stay unread. Raises LocalTrouble without osascript, and BusError.
        """
        if shutil.which("osascript") is None:
            raise LocalTrouble(
                "There is no `osascript` on this machine.", hint="Run the relay on a Mac."
            )
        failed = 0
        for message in self._bus.wait(wait_s, tag=TAG):
            said = imessage_of(message)
            if said is None:
                self._tell(f"{message.seq} is not from the hub: acknowledged, and not sent")
            elif (why := _sent(said)) is not None:
                self._tries[message.id] += 1
                is_last = self._tries[message.id] >= _MOST_TRIES
                self._tell(f"{message.seq} was not sent: {why}" + "; given up" * is_last)
                if not is_last:
                    failed += 1
                    continue
            else:
                self._tell(f"sent {message.seq}")
            self._bus.ack(message)
        return failed


def _sent(said: IMessage) -> str | None:
    """Send it; return None, or why it was not sent."""
    try:
        done = subprocess.run(  # noqa: S603  arguments, and none of them is an option
            command(said),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "Messages did not answer in time"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return None
    return one_line(done.stderr.decode("utf-8", "replace"), 200) or f"exit code {done.returncode}"

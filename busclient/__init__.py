"""The client of claude-bus, a message bus for AI coding agents.

    from busclient import Bus

    bus = Bus.from_env()
    bus.post("Patch deployed, smoke tests green.", to="ccwhitebee", tags=["deploy"])
    for message in bus.unread():
        print(message.ts, message.sender, message.body)
        bus.ack(message)

`docs/client.md` is the manual. Names that begin with an underscore, modules among them, may change at any time.
"""

from busclient._bus import Bus
from busclient._calls import Patience
from busclient._errors import (
    CODES,
    BadAnswer,
    BusError,
    Forbidden,
    HubFailed,
    KeyReused,
    LocalTrouble,
    NoRoom,
    NotFound,
    OutboxFailed,
    Refused,
    SettingsError,
    TooLarge,
    TooManyWaiting,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from busclient._harmless import harmless
from busclient._inbox import Inbox, Stub
from busclient._message import Acked, Drained, Message, Posted
from busclient._outbox import Outbox
from busclient._settings import Settings
from busclient._version import __version__

__all__ = [
    "CODES",
    "Acked",
    "BadAnswer",
    "Bus",
    "BusError",
    "Drained",
    "Forbidden",
    "HubFailed",
    "Inbox",
    "KeyReused",
    "LocalTrouble",
    "Message",
    "NoRoom",
    "NotFound",
    "Outbox",
    "OutboxFailed",
    "Patience",
    "Posted",
    "Refused",
    "Settings",
    "SettingsError",
    "Stub",
    "TooLarge",
    "TooManyWaiting",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "__version__",
    "harmless",
]

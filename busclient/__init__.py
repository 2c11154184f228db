"""The client of claude-bus, a message bus for AI coding agents.

    from busclient import Bus

    bus = Bus.from_env()
    bus.post("Patch deployed, smoke tests green.", to="ccwhitebee", tags=["deploy"])
    for message in bus.unread():
        print(message.ts, message.sender, message.body)
        bus.ack(message)

`docs/client.md` is the manual. Names that begin with an underscore, modules among them, may change at any time.
"""

import typing as _typing

from busclient._bus import Bus
from busclient._calls import Patience
from busclient._errors import (
    CODES,
    ApprovalDenied,
    ApprovalRequired,
    BadAnswer,
    BusError,
    Conflict,
    FileChanged,
    Forbidden,
    HubFailed,
    Impossible,
    InviteSpent,
    KeyReused,
    LocalTrouble,
    NoRoom,
    NotFound,
    NotPermitted,
    NotTrusted,
    NotYourName,
    OutboxFailed,
    OutcomeUnknown,
    Refused,
    SettingsError,
    StillRunning,
    TargetBusy,
    TargetStopped,
    TooLarge,
    TooMany,
    TooManyWaiting,
    Unauthorized,
    Unavailable,
    UnknownTarget,
    Unreachable,
)
from busclient._harmless import harmless
from busclient._inbox import Inbox, Stub
from busclient._message import Acked, Drained, Message, Posted
from busclient._outbox import Outbox
from busclient._settings import Settings
from busclient._version import __version__

if _typing.TYPE_CHECKING:
    from busclient._admin import Admin
    from busclient._fleetforms import Changed, Container, Containers, Credential, Event, Invite, Machine, Machines
    from busclient._net import How, Net
    from busclient._netforms import Approval, Call, Chunk, FileFacts, Permission, RemoteFile, Result, Verdict
    from busclient._running import Running

# Made ready at their first use: 15 ms that `bus inbox` need not spend.
_LATER = {
    "_admin": ("Admin",),
    "_fleetforms": (
        "Changed",
        "Container",
        "Containers",
        "Credential",
        "Event",
        "Events",
        "Invite",
        "Machine",
        "Machines",
        "Snapshot",
    ),
    "_net": (
        "How",
        "Net",
    ),
    "_netforms": (
        "Approval",
        "Call",
        "Chunk",
        "FileFacts",
        "Permission",
        "RemoteFile",
        "Result",
        "Verdict",
    ),
    "_running": ("Running",),
}

__all__ = [
    "CODES",
    "Acked",
    "Admin",
    "Approval",
    "ApprovalDenied",
    "ApprovalRequired",
    "BadAnswer",
    "Bus",
    "BusError",
    "Call",
    "Changed",
    "Chunk",
    "Conflict",
    "Container",
    "Containers",
    "Credential",
    "Drained",
    "Event",
    "Events",
    "FileChanged",
    "FileFacts",
    "Forbidden",
    "How",
    "HubFailed",
    "Impossible",
    "Inbox",
    "Invite",
    "InviteSpent",
    "KeyReused",
    "LocalTrouble",
    "Machine",
    "Machines",
    "Message",
    "Net",
    "NoRoom",
    "NotFound",
    "NotPermitted",
    "NotTrusted",
    "NotYourName",
    "Outbox",
    "OutboxFailed",
    "OutcomeUnknown",
    "Patience",
    "Permission",
    "Posted",
    "Refused",
    "RemoteFile",
    "Result",
    "Running",
    "Settings",
    "SettingsError",
    "Snapshot",
    "StillRunning",
    "Stub",
    "TargetBusy",
    "TargetStopped",
    "TooLarge",
    "TooMany",
    "TooManyWaiting",
    "Unauthorized",
    "Unavailable",
    "UnknownTarget",
    "Unreachable",
    "Verdict",
    "__version__",
    "harmless",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415

    module = next((module for module, names in _LATER.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)

"""The client of claude-bus, a message bus for AI coding agents.

    from busclient import Bus

    bus = Bus.from_env()
    bus.post("Patch deployed, smoke tests green.", to="ccwhitebee", tags=["deploy"])
    for message in bus.unread():
        print(message.ts, message.sender, message.body)
        bus.ack(message)

`docs/client.md` is the manual. Names that begin with an underscore, modules among them, may change
at any time.
"""

from busclient._version import __version__

# what type checkers take for true; `typing` itself takes longer to load than all that is loaded
# here
TYPE_CHECKING = False
if TYPE_CHECKING:
    from busclient._agents.actions import Action, ActionChange, Actions
    from busclient._agents.agents import Agents
    from busclient._agents.asks import Ask, Asks, Said
    from busclient._agents.briefs import Briefs, PostedBrief
    from busclient._agents.checkup import Checkup
    from busclient._agents.expectations import Expectation, Expectations
    from busclient._agents.file_leases import FileLease
    from busclient._agents.forms import Agent, Registered
    from busclient._agents.roles import Role, Roles
    from busclient._agents.topics import Topic, Topics
    from busclient._agents.webhooks import Attempt, Webhook, Webhooks
    from busclient._bus import Bus
    from busclient._codes import CODES
    from busclient._errors import (
        ApprovalDenied,
        ApprovalRequired,
        AskAnswered,
        BadAnswer,
        BusError,
        Conflict,
        FileChanged,
        FileLeaseHeld,
        Forbidden,
        HubFailed,
        Impossible,
        InviteSpent,
        KeyReused,
        LeaseLost,
        LocalTrouble,
        NameHeld,
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
        UnknownRecipient,
        UnknownTarget,
        Unreachable,
    )
    from busclient._harmless import harmless
    from busclient._http.calls import Patience
    from busclient._messages.inbox import Inbox, Stub
    from busclient._messages.message import Acked, Attachment, Drained, Message, Posted
    from busclient._net.admin import Admin
    from busclient._net.fleet_forms import (
        Changed,
        Container,
        Containers,
        Credential,
        Event,
        Events,
        Invite,
        Machine,
        Machines,
        Snapshot,
    )
    from busclient._net.forms import (
        Approval,
        Call,
        Chunk,
        FileFacts,
        Permission,
        RemoteFile,
        Result,
        Verdict,
    )
    from busclient._net.net import How, Net
    from busclient._net.running import Running
    from busclient._outbox.outbox import Outbox
    from busclient._settings import Settings

# Each name is loaded at its first use: `bus --version` and the hooks start without most of them.
_LATER = {
    "_agents.actions": "Action ActionChange Actions",
    "_agents.agents": "Agents",
    "_agents.asks": "Ask Asks Said",
    "_agents.briefs": "Briefs PostedBrief",
    "_agents.checkup": "Checkup",
    "_agents.expectations": "Expectation Expectations",
    "_agents.file_leases": "FileLease",
    "_agents.forms": "Agent Registered",
    "_agents.roles": "Role Roles",
    "_agents.topics": "Topic Topics",
    "_agents.webhooks": "Attempt Webhook Webhooks",
    "_bus": "Bus",
    "_codes": "CODES",
    "_errors": (
        "ApprovalDenied ApprovalRequired AskAnswered BadAnswer BusError Conflict FileChanged "
        "FileLeaseHeld Forbidden HubFailed Impossible InviteSpent KeyReused LeaseLost "
        "LocalTrouble NameHeld NoRoom NotFound NotPermitted NotTrusted NotYourName OutboxFailed "
        "OutcomeUnknown Refused SettingsError StillRunning TargetBusy TargetStopped TooLarge "
        "TooMany TooManyWaiting "
        "Unauthorized Unavailable UnknownRecipient UnknownTarget Unreachable"
    ),
    "_harmless": "harmless",
    "_http.calls": "Patience",
    "_messages.inbox": "Inbox Stub",
    "_messages.message": "Acked Attachment Drained Message Posted",
    "_net.admin": "Admin",
    "_net.fleet_forms": (
        "Changed Container Containers Credential Event Events Invite Machine Machines Snapshot"
    ),
    "_net.forms": "Approval Call Chunk FileFacts Permission RemoteFile Result Verdict",
    "_net.net": "How Net",
    "_net.running": "Running",
    "_outbox.outbox": "Outbox",
    "_settings": "Settings",
}

__all__ = [
    "CODES",
    "Acked",
    "Action",
    "ActionChange",
    "Actions",
    "Admin",
    "Agent",
    "Agents",
    "Approval",
    "ApprovalDenied",
    "ApprovalRequired",
    "Ask",
    "AskAnswered",
    "Asks",
    "Attachment",
    "Attempt",
    "BadAnswer",
    "Briefs",
    "Bus",
    "BusError",
    "Call",
    "Changed",
    "Checkup",
    "Chunk",
    "Conflict",
    "Container",
    "Containers",
    "Credential",
    "Drained",
    "Event",
    "Events",
    "Expectation",
    "Expectations",
    "FileChanged",
    "FileFacts",
    "FileLease",
    "FileLeaseHeld",
    "Forbidden",
    "How",
    "HubFailed",
    "Impossible",
    "Inbox",
    "Invite",
    "InviteSpent",
    "KeyReused",
    "LeaseLost",
    "LocalTrouble",
    "Machine",
    "Machines",
    "Message",
    "NameHeld",
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
    "PostedBrief",
    "Refused",
    "Registered",
    "RemoteFile",
    "Result",
    "Role",
    "Roles",
    "Running",
    "Said",
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
    "Topic",
    "Topics",
    "Unauthorized",
    "Unavailable",
    "UnknownRecipient",
    "UnknownTarget",
    "Unreachable",
    "Verdict",
    "Webhook",
    "Webhooks",
    "__version__",
    "harmless",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415

    module = next((module for module, names in _LATER.items() if name in names.split()), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__

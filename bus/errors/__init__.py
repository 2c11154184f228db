"""The hub's errors: one family, one list of codes.

An error carries its facts as fields of `details` and makes its own text. It is raised where the
fact is known and answered in one place (`bus.web.http.errors`).

    BusError
    ├── BadRequest            400  the request is not well formed
    │   ├── BadJson           400  not strict JSON
    │   ├── BadBrief          400  front matter that cannot be read
    │   ├── UnknownField      400  a field or parameter that does not exist
    │   ├── BadField          400  a field with a wrong type or value
    │   └── MissingField      400  a required field is not there
    ├── Unauthorized          401
    ├── Forbidden             403
    │   ├── ForeignOrigin     403  a browser page of another site made this call
    │   ├── NotAllowed        403  this role may not call this route
    │   ├── NotYourName       403  the credential does not speak for this name
    │   ├── NotYourAction     403  somebody else asked it, and somebody else has it
    │   ├── NotYourMessage    403  somebody else's message
    │   ├── NotAsked          403  somebody else is to answer
    │   ├── NotPermitted      403  the permissions do not allow this call
    │   └── ApprovalDenied    403  an admin said no to this very call
    ├── ApprovalRequired      202  nothing was done yet: an admin is asked
    ├── NotFound              404  no such message
    │   ├── UnknownTarget     404  neither a container nor in the table of machines
    │   ├── NoSuchCall        404
    │   ├── NoSuchApproval    404
    │   ├── NoSuchCredential  404
    │   ├── NoSuchAction      404
    │   ├── NoSuchAgent       404  nobody has registered under this name
    │   ├── NoSuchAsk         404  the message is there, and asks nothing
    │   ├── NoSuchBrief       404  the message is there, and is no brief
    │   ├── NoSuchRole        404  nobody has claimed it
    │   ├── NoSuchWebhook     404
    │   ├── NoSuchNotice      404  or it is not kept any more
    │   ├── NoSuchExpectation 404
    │   ├── NoSuchFileLease   404  or it has ended
    │   ├── UnknownRecipient  404  nobody has this name, and the post is strict
    │   ├── NoSuchFile        404  in the target
    │   ├── NoSuchAttachment  404  or of a message that the caller may not read
    │   ├── NoSuchUpload      404  or somebody else's, or posted already
    │   └── NoSuchSnapshot    404
    ├── NoSuchRoute           404
    ├── MethodNotAllowed      405
    ├── TooSlow               408  the body did not come in time
    ├── Conflict              409
    │   ├── CredentialExists  409
    │   ├── NameHeld          409  another session holds the name
    │   ├── LeaseLost         409  the name is not held with this lease any more
    │   ├── NoCallsign        409  all of the machine's callsigns are held
    │   ├── FileLeaseHeld     409  others hold some of these files
    │   ├── ApprovalClosed    409  it was answered, used, or has expired
    │   ├── ActionClaimed     409
    │   ├── ActionClosed      409
    │   ├── AskAnswered       409
    │   ├── AskClosed         409  it was declined or withdrawn, or its time is over
    │   ├── StillRunning      409  the first call under this idempotency key has not ended
    │   ├── TargetStopped     409  the container does not run
    │   ├── TargetBusy        409  the container is frozen, or something else is being done with it
    │   ├── FileChanged       409  the file is not the one that `if_sha256` names
    │   ├── PathMoved         409  the path leads elsewhere than when an admin said yes
    │   ├── QuestionLost      409  what would be approved is not there to be seen any more
    │   ├── NoticeNotDead     409  it is no dead letter
    │   ├── SnapshotExists    409
    │   ├── UploadBusy        409  another request has this upload
    │   ├── WrongOffset       409  the part does not begin where the upload ends
    │   └── UploadIncomplete  409  not all of it has come
    ├── FileExpired           410  the attachment is not kept any more
    ├── InviteSpent           410  the invite was used, or has expired
    ├── TooLarge              413
    ├── UnsupportedMedia      415
    ├── NoSuchRange           416  the output has no such bytes
    ├── SumDiffers            422  what arrived has another SHA-256
    ├── KeyReused             422  the idempotency key was used for other content
    ├── ImpossibleAsk         422  an ask that nobody could answer
    ├── UnknownReply          422  in_reply_to names no message
    ├── Impossible            422  the target cannot do this as it is
    │   ├── NoSuchProgram     422  bash, or argv[0], is not there or cannot be run
    │   ├── NoSuchFolder      422  the working folder, or the folder of a file to be written
    │   ├── NoSuchUser        422  in the target
    │   ├── NotAFile          422  a folder, device, FIFO, socket, or a link that leads elsewhere
    │   ├── FileRefused       422  the target's system does not let this file be read or written
    │   └── NotSupported      422  this kind of target has no such thing
    ├── TooMany               429  later
    │   ├── OverQuota         429  what one credential may hold, or cause in a day
    │   ├── TooManyRunning    429  calls at once for this target or caller
    │   ├── TooManyQuestions  429  questions of this caller wait for an admin
    │   ├── LoopGuard         429  agents answer each other without end
    │   └── TooManyAttempts   429  wrong invites or passwords from this address
    ├── Unavailable           503  try again
    │   ├── Busy              503  another process holds the log
    │   ├── Unconfirmed       503  written, but not known to be on stable storage
    │   ├── StorageFailed     503  a write or sync failed: read-only until restarted
    │   ├── Rebuilding        503  the index is being rebuilt
    │   ├── TooManyWaiting    503  the cap of long polls and streams is reached
    │   ├── HubStopping       503  it let this call go, which goes on by itself
    │   ├── ExecUnavailable   503  the service that runs commands does not answer
    │   └── DriverUnavailable 503  LXD or ssh cannot be reached
    ├── TooCostly             503  the question took longer than any may: narrow it
    ├── TargetFailed          502  LXD or ssh failed in a way that has no code of its own
    ├── NoRoom                507  the disk is full
    └── Internal              500  a defect of the hub

`docs/protocol.md` has a paragraph for every code; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from bus.errors.base import (
    BusError,
)
from bus.errors.conflicts import (
    ActionClaimed,
    ActionClosed,
    ApprovalClosed,
    AskAnswered,
    AskClosed,
    Conflict,
    CredentialExists,
    FileChanged,
    FileExpired,
    FileLeaseHeld,
    FileRefused,
    Impossible,
    ImpossibleAsk,
    InviteSpent,
    LeaseLost,
    NameHeld,
    NoCallsign,
    NoSuchFolder,
    NoSuchProgram,
    NoSuchUser,
    NotAFile,
    NoticeNotDead,
    NotSupported,
    PathMoved,
    QuestionLost,
    SnapshotExists,
    StillRunning,
    TargetBusy,
    TargetStopped,
    UploadBusy,
    UploadIncomplete,
    WrongOffset,
)
from bus.errors.limits import (
    LoopGuard,
    OverQuota,
    TooCostly,
    TooMany,
    TooManyAttempts,
    TooManyQuestions,
    TooManyRunning,
)
from bus.errors.requests import (
    ApprovalDenied,
    ApprovalRequired,
    BadBrief,
    BadField,
    BadJson,
    BadRequest,
    Forbidden,
    ForeignOrigin,
    KeyReused,
    MethodNotAllowed,
    MissingField,
    NoSuchAction,
    NoSuchAgent,
    NoSuchApproval,
    NoSuchAsk,
    NoSuchAttachment,
    NoSuchBrief,
    NoSuchCall,
    NoSuchCredential,
    NoSuchExpectation,
    NoSuchFile,
    NoSuchFileLease,
    NoSuchNotice,
    NoSuchRange,
    NoSuchRole,
    NoSuchRoute,
    NoSuchSnapshot,
    NoSuchUpload,
    NoSuchWebhook,
    NotAllowed,
    NotAsked,
    NotFound,
    NotPermitted,
    NotYourAction,
    NotYourMessage,
    NotYourName,
    SumDiffers,
    TooLarge,
    TooSlow,
    Unauthorized,
    UnknownField,
    UnknownRecipient,
    UnknownReply,
    UnknownTarget,
    UnsupportedMedia,
    no_target,
)
from bus.errors.trouble import (
    Busy,
    DriverUnavailable,
    ExecUnavailable,
    HubStopping,
    Internal,
    NoRoom,
    Rebuilding,
    StorageFailed,
    TargetFailed,
    TooManyWaiting,
    Unavailable,
    Unconfirmed,
)

__all__ = [
    "ActionClaimed",
    "ActionClosed",
    "ApprovalClosed",
    "ApprovalDenied",
    "ApprovalRequired",
    "AskAnswered",
    "AskClosed",
    "BadBrief",
    "BadField",
    "BadJson",
    "BadRequest",
    "BusError",
    "Busy",
    "Conflict",
    "CredentialExists",
    "DriverUnavailable",
    "ExecUnavailable",
    "FileChanged",
    "FileExpired",
    "FileLeaseHeld",
    "FileRefused",
    "Forbidden",
    "ForeignOrigin",
    "HubStopping",
    "Impossible",
    "ImpossibleAsk",
    "Internal",
    "InviteSpent",
    "KeyReused",
    "LeaseLost",
    "LoopGuard",
    "MethodNotAllowed",
    "MissingField",
    "NameHeld",
    "NoCallsign",
    "NoRoom",
    "NoSuchAction",
    "NoSuchAgent",
    "NoSuchApproval",
    "NoSuchAsk",
    "NoSuchAttachment",
    "NoSuchBrief",
    "NoSuchCall",
    "NoSuchCredential",
    "NoSuchExpectation",
    "NoSuchFile",
    "NoSuchFileLease",
    "NoSuchFolder",
    "NoSuchNotice",
    "NoSuchProgram",
    "NoSuchRange",
    "NoSuchRole",
    "NoSuchRoute",
    "NoSuchSnapshot",
    "NoSuchUpload",
    "NoSuchUser",
    "NoSuchWebhook",
    "NotAFile",
    "NotAllowed",
    "NotAsked",
    "NotFound",
    "NotPermitted",
    "NotSupported",
    "NotYourAction",
    "NotYourMessage",
    "NotYourName",
    "NoticeNotDead",
    "OverQuota",
    "PathMoved",
    "QuestionLost",
    "Rebuilding",
    "SnapshotExists",
    "StillRunning",
    "StorageFailed",
    "SumDiffers",
    "TargetBusy",
    "TargetFailed",
    "TargetStopped",
    "TooCostly",
    "TooLarge",
    "TooMany",
    "TooManyAttempts",
    "TooManyQuestions",
    "TooManyRunning",
    "TooManyWaiting",
    "TooSlow",
    "Unauthorized",
    "Unavailable",
    "Unconfirmed",
    "UnknownField",
    "UnknownRecipient",
    "UnknownReply",
    "UnknownTarget",
    "UnsupportedMedia",
    "UploadBusy",
    "UploadIncomplete",
    "WrongOffset",
    "family",
    "no_target",
]


def family(root: type[BusError] = BusError) -> Iterator[type[BusError]]:
    """Yield every error class below `root`, for the tests and the OpenAPI page that list
    all codes.
    """
    for child in root.__subclasses__():
        yield child
        yield from family(child)

"""Changes to who may call: POST /api/credentials, /api/invites and /api/join. No I/O.

Whether a name is free, reserved or known is not said here: the credential file and the register
know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from bus.errors import BadField
from bus.model import checks
from bus.model.answer import Says, Time
from bus.model.caller import ADMIN, MEMBER, RESERVED
from bus.model.kinds import flag
from bus.model.shape import Kind, Shape

OVERLAP_S, MAX_OVERLAP_S = 24 * 3600, 30 * 24 * 3600
INVITE_S, MAX_INVITE_S = 24 * 3600, 7 * 24 * 3600
_MIN_INVITE_S = 60

# The names that nobody may take, in any letter case and however they are punctuated.
_RESERVED = "|".join(
    "[._-]*".join(f"[{char}{char.upper()}]" for char in name if char.isalpha()) + "[._-]*"
    for name in sorted(RESERVED)
)


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or value == "":
        return checks.name(value, field)  # says what is wrong with it
    return value


def _seconds(low: int, high: int) -> Kind:
    def check(value: Any, field: str) -> int:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise BadField(
                f"`{field}` is out of range.",
                hint=f"A number of seconds from {low} to {high}.",
                field=field,
            )
        return int(value)

    return Kind(check, {"type": "number", "minimum": low, "maximum": high})


_NEW = Kind(
    _name,
    {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        "not": {"pattern": f"^({_RESERVED})$"},
    },
)
_KNOWN = Kind(_name, {"type": "string", "minLength": 1})
_AS_LISTED = "as GET /api/credentials has it"
_ADMIN = flag("true makes an admin; left out, a member.", "neither true nor false")
_MAY = "an admin may grant, revoke and manage containers"
_REPLACE = flag("true exchanges the secret of a name.", "neither true nor false")


@dataclass(frozen=True, kw_only=True)
class NewCredential(Shape):
    """POST /api/credentials: a machine gets a credential."""

    name: Annotated[str, _NEW]
    admin: Annotated[bool, _ADMIN, _MAY] = False

    @property
    def role(self) -> str:
        """What the name will be."""
        return ADMIN if self.admin else MEMBER


@dataclass(frozen=True, kw_only=True)
class Rotation(Shape):
    """POST /api/credentials/rotate: a new secret; without a name, for the caller."""

    name: Annotated[str | None, _KNOWN, _AS_LISTED] = None
    overlap_s: Annotated[int, _seconds(0, MAX_OVERLAP_S), "so long the old one goes on"] = OVERLAP_S


@dataclass(frozen=True, kw_only=True)
class Revocation(Shape):
    """POST /api/credentials/revoke: a name is shut out."""

    name: Annotated[str, _KNOWN, _AS_LISTED]


@dataclass(frozen=True, kw_only=True)
class NewInvite(NewCredential):
    """POST /api/invites: a code that makes one credential, or with `replace` exchanges the secret
    of one.
    """

    expires_in_s: Annotated[int, _seconds(_MIN_INVITE_S, MAX_INVITE_S)] = INVITE_S
    replace: Annotated[bool, _REPLACE, "exchange the secret of a name; without `admin`"] = False

    def __post_init__(self) -> None:
        if self.replace and self.admin:
            raise BadField(
                "`replace` and `admin` do not go together.",
                hint="A name that is kept keeps its role.",
                field="admin",
            )


@dataclass(frozen=True, kw_only=True)
class Join(Shape):
    """POST /api/join: everything is in the credential that the invite is; there is no field."""


Role = Literal["shared", "member", "admin", "human", "watcher"]


class Me(TypedDict):
    """Who the hub takes the caller for."""

    ok: Literal[True]
    name: str
    role: Role
    verified: bool


class Granted(TypedDict):
    """A new credential."""

    ok: Literal[True]
    name: str
    role: Role
    secret: Annotated[str, Says(minLength=28), "shown this once"]


class Quotas(TypedDict):
    """How much of each quota is used, or may be."""

    requests: NotRequired[int]
    waiting: NotRequired[int]
    bytes_today: NotRequired[int]
    names_today: NotRequired[int]


class Entry(Quotas):
    """A credential as admins see it."""

    name: str
    role: Role
    rotated_until: NotRequired[Time]


class OpenInvite(TypedDict):
    """An invite that nobody has used yet."""

    name: str
    role: Role
    expires: Time
    replace: NotRequired[bool]


class Listing(TypedDict):
    """Who has a credential or an invite; `quotas` are the limits."""

    ok: NotRequired[Literal[True]]
    credentials: list[Entry]
    quotas: NotRequired[Quotas]
    invites: list[OpenInvite]


class Invite(TypedDict):
    """A new invite."""

    ok: Literal[True]
    name: str
    role: Role
    code: Annotated[str, "ID.SECRET, shown this once"]
    expires: Time
    line: Annotated[str, "what to paste on the machine"]


class Revoked(TypedDict):
    """A name that has no credential any more."""

    ok: Literal[True]
    name: str

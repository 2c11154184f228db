"""Who a caller is and which names it may speak as. Pure.

A credential is a machine's own name, and speaks for that name and its sessions (`seanclaude`,
`seanclaude/alpha`). The shared user of an old fleet (`claude`) speaks under any name that no
credential and no rule has taken, and its messages are stamped as not verified. Rights hang on the
credential, never on a name in a request.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from string import digits

from bus.errors import NotYourName, Rebuilding

SHARED, MEMBER, ADMIN, INVITE, HUMAN = "shared", "member", "admin", "invite", "human"
WATCHER = "watcher"  # may look at the figures of the hub, and at nothing else
PEER = "peer"  # has no credential: see `bus.peers`
EVERYONE = frozenset((SHARED, MEMBER, ADMIN, HUMAN))
MACHINES = frozenset((MEMBER, ADMIN, HUMAN))  # those with a name of their own
# What a reader may take a message for. The hub sets it, from the credential.
TRUSTS = ("human", "agent", "shared", "peer", "webhook", "link", "hub")
# From what is believed least to what is believed most.
_BY_TRUST = ("webhook", "link", "peer", "shared", "agent", "human", "hub")
HUMANS = "human/"  # what the name of every person's credential begins with
ADMINS = frozenset((ADMIN,))
WATCHERS = frozenset((ADMIN, WATCHER))
INVITES = frozenset((INVITE,))

# Names that a reader takes for a person or for the bus itself. No credential but `admin` may have
# one of them.
RESERVED = frozenset(
    (
        "admin",
        "administrator",
        "anthropic",
        "any",
        "all",
        "bus",
        "claude-bus",
        "everybody",
        "hub",
        "human",
        "invite",
    )
) | frozenset(
    (
        "operator",
        "overseer",
        "owner",
        "root",
        "security",
        "superuser",
        "supervisor",
        "system",
        "user",
    )
)


_PUNCTUATION = re.compile("[._-]+")
_NOT_BETWEEN_DIGITS = re.compile(r"(?<![0-9])-|-(?![0-9])")
_ALIKE = str.maketrans("01i", "oll")


def lowest_trust(*trusts: str | None) -> str:
    """Return the label that is believed least. What was recorded without one is taken for what
    nobody proved.
    """
    return min((trust or SHARED for trust in trusts), key=_BY_TRUST.index)


Taken = Callable[[], Collection[str]]  # gives what the names look like that machines have or had


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a credential proves: its user name, and one of shared, member, admin, human, invite; or
    a peer, which needs none.

    `is_current` is false for a secret that was rotated: it goes on for everything but changes to
    who may call. `tenure` tells those who had one name after each other apart: the seq of the
    record that ended the one before, 0 for the first, None while that cannot be known because the
    index is being made.
    """

    name: str
    role: str
    is_current: bool = True
    tenure: int | None = 0

    @property
    def is_verified(self) -> bool:
        """Whether the name says which machine this is."""
        return self.role in MACHINES

    @property
    def is_admin(self) -> bool:
        """Whether it may grant, revoke, manage containers and see everything."""
        return self.role == ADMIN

    @property
    def trust(self) -> str:
        """What its messages may be taken for: one of TRUSTS."""
        if self.role in (SHARED, PEER):
            return self.role
        return "human" if self.role == HUMAN else "agent"

    @property
    def own_name(self) -> str | None:
        """The name it speaks as when it gives none; the shared user has none."""
        return self.name if self.is_verified else None

    def stamp(self) -> dict[str, int]:
        """Return what a record under an idempotency key says of who had the name; raises Rebuilding
        while that is not known.
        """
        if self.tenure is None:
            raise Rebuilding(
                "The index is behind: it is not known yet whose idempotency keys these are."
            )
        return {"tenure": self.tenure} if self.tenure else {}

    def is_me(self, name: str) -> bool:
        """Return whether this is the caller's own name or one of its sessions."""
        return name == self.name or name.startswith(self.name + "/")


def normalised(name: str) -> str:
    """Return what is left of a name when letters that look alike to software are made alike: NFKC,
    case folded.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def bare(name: str) -> str:
    """Return a machine's name without case and punctuation, but between digits: `web-1.` is `web1`,
    and `node-1-1` not `node-11`.
    """
    return _NOT_BETWEEN_DIGITS.sub("", _PUNCTUATION.sub("-", normalised(name)))


@lru_cache(4096)
def looks(name: str) -> str:
    """Return what a reader in a hurry sees of the machine in a name: no case, no punctuation, `0`
    as `o`, `1` and `i` as `l`, …
    """
    seen = _PUNCTUATION.sub("", normalised(name).partition("/")[0]).translate(_ALIKE)
    return seen.replace("rn", "m").replace("vv", "w")


def is_reserved(name: str) -> bool:
    """Return whether a name, or the machine in a session's name, is one that no machine may take,
    however it is punctuated.
    """
    return _PUNCTUATION.sub("", normalised(name).partition("/")[0]) in _RESERVED_BARE


@lru_cache(4096)
def is_a_title(text: str) -> bool:
    """Return whether a text for people is, or holds, a reserved word: `human-overseer`, `adm1n`,
    `Admin2`; not `busybox`.
    """
    words = [text, *_PUNCTUATION.split(text)]
    return any(
        looks(shown) in _RESERVED_LOOKS for word in words for shown in (word, word.strip(digits))
    )


_RESERVED_BARE = frozenset(_PUNCTUATION.sub("", word) for word in RESERVED)
_RESERVED_LOOKS = frozenset(map(looks, RESERVED))


def speaks_as(caller: Caller, name: str, taken: Taken) -> bool:
    """Return whether this caller may speak as `name`."""
    try:
        check_speaks_as(caller, name, "name", taken)
    except NotYourName:
        return False
    return True


def check_speaks_as(caller: Caller, name: str, field: str, taken: Taken) -> None:
    """Raise NotYourName unless this caller may speak, or acknowledge, as `name`.

    `taken` is asked for the shared user only.
    """
    if caller.is_verified:
        if not caller.is_me(name):
            raise NotYourName(
                f"`{field}` is {name!r}, and the credential is {caller.name}'s.",
                field=field,
                yours=caller.name,
            )
        return
    machine, _, session = name.partition("/")
    is_own = normalised(machine) == normalised(caller.name)
    if is_a_title(session) or not (
        is_own or (not is_a_title(machine) and looks(machine) not in taken())
    ):
        raise NotYourName(
            f"`{field}` is {name!r}, which is not for the shared user {caller.name}.",
            hint=(
                "It is reserved, is or was a machine's own, or looks like such a name: use that"
                " machine's credential (bus join … --invite CODE), or another name."
            ),
            field=field,
        )

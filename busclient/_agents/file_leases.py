"""`bus.lease`, `bus.leases`, `bus.unlease`: who works on which files of a repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from busclient._connection import Connection
from busclient._errors import BadAnswer

_PAGE, _AT_ONCE = 500, 500


@dataclass(frozen=True)
class FileLease:
    """A holder's word on some paths of a repository, until a time."""

    id: str
    holder: str
    repo: str
    paths: tuple[str, ...]
    exclusive: bool
    since: str
    until: str
    reason: str | None = None

    @classmethod
    def from_json(cls, fields: Any) -> FileLease:
        """Return a lease of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                id=str(fields["id"]),
                holder=str(fields["holder"]),
                repo=str(fields["repo"]),
                paths=tuple(map(str, fields["paths"])),
                exclusive=fields["exclusive"] is True,
                since=str(fields["since"]),
                until=str(fields["until"]),
                reason=fields["reason"],
            )
        except (KeyError, TypeError) as error:
            raise BadAnswer(f"The answer holds what is not a lease: {error!r}.") from None


class FileLeases:
    """What `Bus` says of leases."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._me = connection.settings.name

    def take(self, repo: str, paths: Sequence[str], **more: Any) -> FileLease:
        """Take a lease, or prolong the one on the same paths. Raises FileLeaseHeld."""
        said = {name: value for name, value in more.items() if value is not None}
        fields = {"holder": self._me, "repo": repo, "paths": list(paths), **said}
        return FileLease.from_json(self._connection.post("/leases", fields).get("lease"))

    def all(self, repo: str | None, holder: str | None) -> Iterator[FileLease]:
        """Yield leases in the order in which they were taken."""
        asked: dict[str, Any] = {"limit": _PAGE}
        asked |= {"repo": repo} if repo is not None else {}
        asked |= {"holder": holder} if holder is not None else {}
        while True:
            reply = self._connection.get("/leases", asked)
            if not isinstance(reply.get("leases"), list):
                raise BadAnswer("The answer holds no leases.")
            yield from map(FileLease.from_json, reply["leases"])
            if reply.get("next") is None:
                return
            asked["after"] = str(reply["next"])

    def change(self, lease: FileLease | str, what: str, **fields: Any) -> FileLease:
        """Renew or release a lease. Raises NotFound if it has ended."""
        id = lease.id if isinstance(lease, FileLease) else lease
        said = {name: value for name, value in fields.items() if value is not None}
        reply = self._connection.post(f"/leases/{checked(id)}/{what}", said)
        return FileLease.from_json(reply.get("lease"))

    def held(self, repo: str, paths: Iterable[str]) -> dict[str, FileLease]:
        """Return those of the paths that others hold, each with a lease on it."""
        wanted = list(dict.fromkeys(paths))
        found: dict[str, FileLease] = {}
        for at in range(0, len(wanted), _AT_ONCE):
            asked = {"holder": self._me, "repo": repo, "path": wanted[at : at + _AT_ONCE]}
            found |= held_in(self._connection.post("/leases/check", asked))
        return found


def held_in(reply: dict[str, Any]) -> dict[str, FileLease]:
    """Return what an answer says of paths that are held; raises BadAnswer."""
    try:
        return {str(one["path"]): FileLease.from_json(one["lease"]) for one in reply["held"]}
    except (KeyError, TypeError) as error:
        raise BadAnswer(f"The answer does not say which paths are held: {error!r}.") from None


def checked(id: str) -> str:
    """Return what is the id of a lease; raises ValueError."""
    if not (len(id) == 26 and id.isascii() and id.isalnum()):
        raise ValueError(f"{id[:80]!r} is not the id of a lease")
    return id

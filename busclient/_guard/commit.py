"""What the pre-commit hook does: it asks the hub whether others work on what is to be committed.

It refuses only what it knows: a hub that is away or slow, or settings that are missing, let the
commit through with a warning.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from busclient._errors import BusError, LocalTrouble
from busclient._harmless import one_line
from busclient._repository import Repository, find, git, git_bytes, readable

if TYPE_CHECKING:
    from busclient._agents.file_leases import FileLease
    from busclient._bus import Bus

_WITHIN_S = 2.0
_SHOWN = 10


def main() -> NoReturn:
    """Judge the commit that git is about to make, and end this process with 0 or 1."""
    verdicts: list[int] = []
    worker = threading.Thread(target=lambda: verdicts.append(judge(Path.cwd())), daemon=True)
    worker.start()
    worker.join(_WITHIN_S)
    if not verdicts:
        _say(f"guard: the hub did not answer within {_WITHIN_S:g} s; the commit goes on.")
    sys.stderr.flush()
    os._exit(verdicts[0] if verdicts else 0)  # whatever still waits must not hold git up


def judge(folder: Path, environ: Mapping[str, str] = os.environ) -> int:
    """Return 1 if the commit is refused, and say why; 0 otherwise. Never raises."""
    is_bypassed = environ.get("BUS_GUARD") == "0"
    try:
        repository = find(folder, _WITHIN_S)
        if repository is None:
            raise LocalTrouble("git does not say which repository this is.")
        paths = staged(repository.root)
        if not paths:
            return 0
        with _bus() as bus:
            held = bus.lease_check(*paths, repo=repository.name)
            if not held:
                return 0
            if is_bypassed:
                _tell_holders(bus, repository, held)
                return 0
        _refuse(held)
    except BusError as error:
        _say(f"{one_line(error.message, 300)} Nobody asked who works on these files.")
        return 0
    except Exception as error:
        _say(f"the guard failed, and the commit goes on: {error!r}")
        return 0
    return 1


def staged(root: Path) -> list[str]:
    """Return the paths that a commit changes, as the repository has them: both of a rename, and
    those that are deleted. Of a merge, only what comes from neither side.
    """
    changed = _changed(root)
    if changed and git(root, "rev-parse", "-q", "--verify", "MERGE_HEAD", within_s=_WITHIN_S):
        changed &= _changed(root, "MERGE_HEAD")
    return sorted(readable(os.fsdecode(path)) for path in changed)


def _changed(root: Path, *against: str) -> set[bytes]:
    asked = ("diff", "--cached", "--name-only", "-z", "--no-renames", "--no-ext-diff", *against)
    return set(filter(None, git_bytes(root, *asked, within_s=_WITHIN_S).split(b"\0")))


def _bus() -> Bus:
    from busclient._bus import Bus  # noqa: PLC0415
    from busclient._http.calls import Patience  # noqa: PLC0415

    patience = Patience(connect_s=0.8, read_s=1.5, total_s=1.7, attempts=1)
    return Bus.from_env(light=True, patience=patience)


def _tell_holders(bus: Bus, repository: Repository, held: Mapping[str, FileLease]) -> None:
    """Record that the guard was switched off: as a message to those whose files these are."""
    for holder in sorted({lease.holder for lease in held.values()}):
        paths = [path for path, lease in held.items() if lease.holder == holder]
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        name = one_line(repository.name, 200)
        body = f"I commit {', '.join(paths[:_SHOWN])}{more} in {name} with BUS_GUARD=0: you hold"
        data = {"guard": {"repo": repository.name, "paths": paths[:_SHOWN]}}
        bus.post(f"{body} a lease on that.", to=holder, tags=["guard"], data=data)
        _say(f"told {one_line(holder, 140)}, who works on {one_line(', '.join(paths), 200)}.")


def _refuse(held: Mapping[str, FileLease]) -> None:
    for path, lease in list(held.items())[:_SHOWN]:
        why = f" ({one_line(lease.reason, 200)})" if lease.reason else ""
        holder = one_line(lease.holder, 140)
        _say(f"{one_line(path, 200)} is leased by {holder} until {lease.until}{why}.")
    if len(held) > _SHOWN:
        _say(f"and {len(held) - _SHOWN} more files.")
    first = one_line(next(iter(held.values())).holder, 140)
    _say(f"ask with `bus post {first} TEXT`; BUS_GUARD=0 git commit … goes on, and they are told.")


def _say(text: str) -> None:
    print(f"bus: {text}", file=sys.stderr)

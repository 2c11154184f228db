"""How much one credential may cause in a UTC day: bytes of the log, and names that it speaks, reads
or acknowledges as.

Counted over all processes, in a mapped file that outlives restarts: they do not begin the day anew.
Two processes that count at the same instant may lose one of the two amounts, which is why no lock
is taken for each message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import compress
from pathlib import Path

import orjson
from filelock import FileLock

from bus.errors import OverQuota
from bus.log.base import Appended
from bus.model.records import Fields
from bus.system import modes

_DAY_S = 86_400
_ROWS, _SLOTS, _PROBES = 2_048, 1 << 18, 16
# 64-bit words: the day, the credentials' digests, their bytes, their numbers of names; then a hash
# set of names in use.
_DIGESTS, _BYTES, _NAMES, _SET = 1, 1 + _ROWS, 1 + 2 * _ROWS, 1 + 3 * _ROWS
_WORDS = _SET + _SLOTS
_REMEMBERED = 50_000  # names that are known to be counted
_BESIDES = 160  # what the log adds to a draft: seq, id, time, framing
_END_OF_A_CALL = 1_024  # counted when it is asked for: what records its end names no credential
# What is refused. Changes to rights and credentials, and the ends of calls, are counted and always
# taken.
_REFUSED = frozenset(("message", "ack", "call_started", "approval_asked"))
_OF_THE_HUB = frozenset(("", "bus"))

Append = Callable[[Sequence[Fields]], list[Appended]]


class DailyQuotas:
    """What each credential has caused today. `max_bytes` and `max_names` hold for each."""

    def __init__(
        self, path: Path, max_bytes: int, max_names: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.max_bytes, self.max_names, self._clock = max_bytes, max_names, clock
        self._words = modes.mapped(path, _WORDS * 8).cast("Q")
        self._lock = FileLock(path.with_suffix(".lock"), mode=modes.FILE, thread_local=False)
        self._mutex = (
            threading.Lock()
        )  # the file's lock holds off other processes, not other threads of this one
        self._day = -1
        # Of this day; both are replaced when another begins.
        self._rows: dict[str, int | None] = {}
        self._used_names: set[tuple[str, str]] = set()

    def guarding(self, append: Append) -> Append:
        """Return an `append` that counts what it stores for each credential; raises OverQuota too,
        and then stores nothing.
        """

        def counted(drafts: Sequence[Fields]) -> list[Appended]:
            sizes = [_size(draft) for draft in drafts]
            self._check(drafts, sizes)
            self._add(drafts, sizes, 1)
            try:
                appended = append(drafts)
            except BaseException:
                self._add(drafts, sizes, -1)
                raise
            if any(one.replayed for one in appended):
                self._add(
                    drafts,
                    [
                        size if one.replayed else 0
                        for size, one in zip(sizes, appended, strict=True)
                    ],
                    -1,
                )
            return appended

        return counted

    def use_name(self, owner: str, name: str) -> None:
        """A credential speaks, reads or acknowledges under a name; raises OverQuota for one too
        many that are new today.
        """
        row = None if name == owner or owner in _OF_THE_HUB else self._row(owner)
        if row is None or (owner, name) in self._used_names:
            return
        digest = _digest(f"{owner} {name}")
        slot = self._slot_for(digest)
        if slot is not None:
            if self._words[_NAMES + row] >= self.max_names:
                raise self._over(
                    "names",
                    self.max_names,
                    owner,
                    f"{owner} has used {self.max_names} names today.",
                )
            self._words[_NAMES + row] += 1
            self._words[slot] = digest
        if len(self._used_names) < _REMEMBERED:
            self._used_names.add((owner, name))

    def used(self, owner: str) -> tuple[int, int]:
        """Return the bytes and the names of a credential today."""
        row = self._row(owner)
        return (0, 0) if row is None else (self._words[_BYTES + row], self._words[_NAMES + row])

    def _check(self, drafts: Sequence[Fields], sizes: list[int]) -> None:
        refused = [draft["kind"] in _REFUSED for draft in drafts]
        for owner, name in dict.fromkeys(
            (draft.get("auth", ""), _name_in(draft)) for draft in compress(drafts, refused)
        ):
            if name is not None:
                self.use_name(owner, name)
        for owner, size in _by_owner(compress(drafts, refused), compress(sizes, refused)).items():
            row = self._row(owner)
            if row is not None and self._words[_BYTES + row] + size > self.max_bytes:
                text = (
                    f"{owner} has put {self._words[_BYTES + row]} bytes into the log today; {size}"
                    " more are too many."
                )
                raise self._over("bytes", self.max_bytes, owner, text)

    def _add(self, drafts: Sequence[Fields], sizes: list[int], sign: int) -> None:
        for owner, size in _by_owner(drafts, sizes).items():
            row = self._row(owner)
            if row is not None:
                self._words[_BYTES + row] = max(0, self._words[_BYTES + row] + sign * size)

    def _over(self, quota: str, limit: int, owner: str, text: str) -> OverQuota:
        hint = f"The day ends at 00:00 UTC. BUS_MAX_DAILY_{quota.upper()} sets the cap."
        left_s = int(_DAY_S - self._clock() % _DAY_S) + 1
        return OverQuota(
            text, hint=hint, quota=quota, limit=limit, name=owner, retry_after_s=left_s
        )

    def _row(self, owner: str) -> int | None:
        """Return the row of a credential today; None where all are taken: then it is not
        counted.
        """
        today = int(self._clock() // _DAY_S)
        if self._day != today or self._words[0] != today:
            self._begin(today)
        rows = self._rows
        if owner not in rows:
            digest = _digest(owner)
            with self._mutex, self._lock:
                rows[owner] = next(
                    (row for row in range(_ROWS) if self._is_free_for(row, digest)), None
                )
        return rows[owner]

    def _is_free_for(self, row: int, digest: int) -> bool:
        if self._words[_DIGESTS + row] == 0:
            self._words[_DIGESTS + row] = digest
        return self._words[_DIGESTS + row] == digest

    def _begin(self, today: int) -> None:
        with self._mutex, self._lock:
            if self._words[0] != today:
                self._words[1:] = memoryview(bytes((_WORDS - 1) * 8)).cast("Q")
                self._words[0] = today
            # New ones, not emptied ones: another request may be between its two looks at them.
            self._day, self._rows, self._used_names = today, {}, set()

    def _slot_for(self, digest: int) -> int | None:
        """Return where a name that is new today may be put; None where it is not new, or all near
        its place are taken.
        """
        for probe in range(_PROBES):
            slot = _SET + ((digest >> 16) + probe) % _SLOTS
            word = self._words[slot]
            if word in (0, digest):
                return slot if word == 0 else None
        return None


def _by_owner(drafts: Iterable[Fields], sizes: Iterable[int]) -> dict[str, int]:
    """Return the bytes of each credential's drafts; what the hub itself writes counts for
    nobody.
    """
    found: dict[str, int] = {}
    for draft, size in zip(drafts, sizes, strict=True):
        owner = draft.get("auth", "")
        if owner not in _OF_THE_HUB:
            found[owner] = found.get(owner, 0) + size
    return found


def _name_in(draft: Fields) -> str | None:
    return draft.get("from") or draft.get("by") or draft.get("reader")


def _digest(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") | 1


def _size(draft: Fields) -> int:
    return (
        len(orjson.dumps(draft))
        + _BESIDES
        + (_END_OF_A_CALL if draft["kind"] == "call_started" else 0)
    )

"""File leases: who works on which files of a repository, so that two do not at once.

Taking or prolonging one is one append with a unique key that names the record before it in the
same repository: of several who try at once one wins, whatever worker they asked, and the others
look again at what holds now. What ends with a name, a session or a credential is in the
projection, `bus.index.file_leases`. A session that gives no sign of life is not in the log: its
leases do not count, and whoever wants its files ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bus.errors import Busy, FileLeaseHeld, LeaseLost, NoSuchFileLease, OverQuota, TooCostly
from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.hub.notices import notice
from bus.index import agents as agent_queries
from bus.index import file_leases as queries
from bus.index.file_leases import Row
from bus.model import globs
from bus.model.caller import Caller
from bus.model.file_leases import (
    FileLease,
    FileLeasesQuery,
    FilesCheck,
    HeldPath,
    NewFileLease,
    beginnings,
    patterns,
    patterns_of,
)
from bus.model.globs import Comparing, Glob
from bus.model.records import Fields
from bus.model.strict_json import Rest
from bus.system.scheduler import Breather

MOST_PATHS = 256  # of one credential: each is compared with what others ask for
_SHOWN = 20  # leases in one refusal
_ATTEMPTS = 200  # each that fails means that somebody else got or kept a lease in the repository
_MOST_STEPS = 1_000_000  # of comparing patterns in one request: at worst a second


class FileLeases:
    """The verbs of file leases."""

    def __init__(self, journal: Journal, agents: Agents) -> None:
        self._journal, self._agents = journal, agents

    # -- taking ----------------------------------------------------------------------------------

    def take(
        self, caller: Caller, asked: NewFileLease, rest: Rest = lambda: None
    ) -> tuple[FileLease, bool]:
        """Hold paths, or prolong the lease that the holder has on these very paths; return it and
        whether it is new. `rest` lets others go on meanwhile. Raises FileLeaseHeld, OverQuota,
        TooCostly, LeaseLost.
        """
        self._agents.was_here(asked.holder)
        wanted, stamp = patterns(asked.paths), caller.stamp()
        for _ in range(_ATTEMPTS):
            found = self._try_to_take(caller, asked, wanted, stamp, rest)
            if found is not None:
                return found
        raise Busy("Others take leases in this repository all the time.")

    def _try_to_take(
        self,
        caller: Caller,
        asked: NewFileLease,
        wanted: list[Glob],
        stamp: dict[str, int],
        rest: Rest,
    ) -> tuple[FileLease, bool] | None:
        """Do so, or return None: somebody else was faster."""
        now_ms = self._journal.now_ms()
        with self._journal.current() as db:
            prior, rows = queries.last(db, asked.repo), queries.of_repo(db, asked.repo, now_ms)
            agent = agent_queries.one(db, asked.holder) if "/" in asked.holder else None
            count = queries.paths_of(db, caller.name, now_ms)
        session = None if agent is None else agent.lease
        others = [row for row in rows if row.holder != asked.holder]
        against = _overlapping(others, wanted, asked.exclusive, rest)
        silent = [row for row in against if not self._counts(row)]
        held = [row for row in against if row not in silent]
        if held:
            raise _held(held)
        mine = next((row for row in rows if _is_same(row, asked, session)), None)
        if mine is None and count + len(asked.paths) > MOST_PATHS:
            raise OverQuota(
                f"{caller.name} holds {count} paths.",
                hint="Release some of them, or hold a folder: src/**.",
                quota="file_leases",
                limit=MOST_PATHS,
                name=caller.name,
            )
        leased = {
            **{"kind": "files_leased", "auth": caller.name, "repo": asked.repo, "prior": prior},
            **{"lease": self._journal.new_id() if mine is None else mine.id},
            **{"holder": asked.holder, "session": session, "paths": asked.paths},
            **{"exclusive": asked.exclusive, "reason": asked.reason, "ttl_s": asked.ttl_s},
            **{"until": self._journal.utc(asked.ttl_s), **stamp},
        }
        # Ended only as they are here: one that its holder has prolonged since is not.
        ended = [
            {"kind": "files_released", "auth": caller.name, "lease": row.id, "seq_of": row.seq}
            for row in silent
        ]
        if mine is not None:
            leased["renews"] = True
        return self._appended([*ended, leased], mine is None)

    def renew(self, caller: Caller, id: str, ttl_s: float | None) -> FileLease:
        """Prolong a lease from now on. Raises NoSuchFileLease."""
        stamp = caller.stamp()
        for _ in range(_ATTEMPTS):
            row = self.one(id)
            with self._journal.current() as db:
                prior = queries.last(db, row.repo)
            seconds = row.ttl_s if ttl_s is None else ttl_s
            renewed = {
                **{"kind": "files_leased", "auth": caller.name, "repo": row.repo, "prior": prior},
                **{"lease": id, "holder": row.holder, "session": row.session, "paths": row.paths},
                **{"exclusive": bool(row.exclusive), "reason": row.reason, "ttl_s": seconds},
                **{"until": self._journal.utc(seconds), **stamp, "renews": True},
            }
            found = self._appended([renewed], False)
            if found is not None:
                self._agents.was_here(row.holder)
                return found[0]
        raise Busy("Others take leases in this repository all the time.")

    def _appended(self, block: list[Fields], is_new: bool) -> tuple[FileLease, bool] | None:
        """Append a block whose last record takes or prolongs a lease; return the lease, or None if
        somebody else was faster.
        """
        wanted = block[-1]
        appended = self._journal.append(block)[-1]
        record = appended.record
        if appended.replayed or record["until"] != wanted["until"]:
            return None
        now_ms = self._journal.now_ms()
        with self._journal.current() as db:
            row = queries.one(db, wanted["lease"], now_ms)
        if row is not None:
            return _told(row), is_new
        if not is_new:
            raise _unknown(wanted["lease"])
        raise LeaseLost(f"{wanted['holder']} has just left.", name=wanted["holder"])

    # -- ending ----------------------------------------------------------------------------------

    def release(self, caller: Caller, row: Row, is_own: bool, reason: str | None) -> FileLease:
        """End a lease; if it is another's, its holder is told who did so."""
        block: list[Fields] = [{"kind": "files_released", "auth": caller.name, "lease": row.id}]
        if not is_own:
            why = f": {reason}" if reason else "."
            body = f"{caller.name} ended your lease on {_some(row.paths)} in {row.repo}{why}"
            data = {"lease": {"id": row.id, "repo": row.repo, "paths": row.paths}}
            about = {"tags": ["lease"], "data": data}
            block.append(notice(f"lease {row.id}", [row.holder], body, **about))
        self._journal.append(block)
        return _told(row)

    # -- looking ---------------------------------------------------------------------------------

    def one(self, id: str) -> Row:
        """Return a lease that holds. Raises NoSuchFileLease."""
        row = self._one_that_counts(id, self._journal.now_ms())
        if row is None:
            raise _unknown(id)
        return row

    def all(self, asked: FileLeasesQuery) -> tuple[list[FileLease], str | None]:
        """Return the leases that are asked for, and the id to go on behind (None: no more)."""
        now_ms = self._journal.now_ms()
        with self._journal.current() as db:
            about = asked.repo, asked.holder, asked.after or ""
            rows = queries.listed(db, now_ms, *about, asked.limit + 1)
        counted = self._counted()
        listed = [_told(row) for row in rows[: asked.limit] if counted(row)]
        return listed, rows[asked.limit - 1].id if len(rows) > asked.limit else None

    def held(self, asked: FilesCheck, rest: Rest = lambda: None) -> list[HeldPath]:
        """Return those of some paths that others hold exclusively, each with one lease."""
        now_ms = self._journal.now_ms()
        paths = [(path, globs.literal(path)) for path in asked.path]
        begin = beginnings(this for _, this in paths)
        with self._journal.current() as db:
            others = queries.of_others(db, asked.repo, asked.holder, now_ms, begin)
        if not others:
            return []
        comparing, known = _comparing(rest), dict[str, Row | None]()
        held = [(id, patterns_of(written)) for id, written in others]
        found: list[HeldPath] = []
        for path, this in paths:
            for id, wanted in held:
                if not any(globs.overlap(this, one, comparing) for one in wanted):
                    continue
                if id not in known:
                    known[id] = self._one_that_counts(id, now_ms)
                if (row := known[id]) is not None:
                    found.append({"path": path, "lease": _told(row)})
                    break
        return found

    def _one_that_counts(self, id: str, now_ms: int) -> Row | None:
        with self._journal.current() as db:
            row = queries.one(db, id, now_ms)
        return row if row is not None and self._counts(row) else None

    def _counted(self) -> Callable[[Row], bool]:
        """Return what says whether a lease counts, and asks once for each holder."""
        known: dict[str, bool] = {}

        def counts(row: Row) -> bool:
            if row.session is None:
                return True
            if row.holder not in known:
                known[row.holder] = self._counts(row)
            return known[row.holder]

        return counts

    def _counts(self, row: Row) -> bool:
        """Return whether the session of a lease, if it has one, gives signs of life."""
        return row.session is None or self._agents.is_there(row.holder)


def _overlapping(rows: Iterable[Row], wanted: list[Glob], exclusive: bool, rest: Rest) -> list[Row]:
    """Return the leases that do not go together with what is wanted."""
    comparing = _comparing(rest)
    return [
        row
        for row in rows
        if (exclusive or row.exclusive)
        and any(
            globs.overlap(one, other, comparing)
            for other in patterns_of(row.written)
            for one in wanted
        )
    ]


def _comparing(rest: Rest) -> Comparing:
    """Return the comparisons of one request: they let others go on, and end if they are many."""
    left, breather = _MOST_STEPS, Breather(rest)

    def spend(steps: int) -> None:
        nonlocal left
        left -= steps
        if left < 0:
            raise TooCostly(
                "Comparing these paths with those that are held takes too long.",
                hint="Give fewer paths, or paths with fewer wildcards.",
            )
        breather.did(steps)

    return Comparing(spend)


def _is_same(row: Row, asked: NewFileLease, session: str | None) -> bool:
    """Return whether a lease is what is asked for: then it is prolonged, as after a lost answer."""
    return (
        (row.holder, row.session, row.exclusive) == (asked.holder, session, asked.exclusive)
        and row.reason == asked.reason
        and set(row.paths) == set(asked.paths)
    )


def _held(rows: list[Row]) -> FileLeaseHeld:
    first = rows[0]
    why = f" ({first.reason})" if first.reason else ""
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return FileLeaseHeld(
        f"{first.holder} holds {_some(first.paths)} until {first.until}{why}{more}.",
        conflicts=[_told(row) for row in rows[:_SHOWN]],
    )


def _some(paths: list[str]) -> str:
    """Return paths in a sentence, not all of them."""
    shown = ", ".join(paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def _told(row: Row) -> FileLease:
    return {
        "id": row.id,
        "holder": row.holder,
        "repo": row.repo,
        "paths": row.paths,
        "exclusive": bool(row.exclusive),
        "since": row.since,
        "until": row.until,
        "reason": row.reason,
    }


def _unknown(id: str) -> NoSuchFileLease:
    return NoSuchFileLease(f"There is no lease {id}, or it has ended.", lease=id)

"""Taking in the log of a simpler bus, line by line, beside a running hub.

A message gets a new id and seq, as every record does, and keeps its time (`ts`) and its old id
(`old_id`), by which it can be cited from then on. A message whose old id is here already is the
same one: so a file can be imported again, also after it has grown, or after an import that was
ended halfway. One import at a time: `run/import.lock`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from bus.errors import BadField, BusError, Busy
from bus.hub.hub import Hub
from bus.index import messages as queries
from bus.model import checks, records
from bus.server import old_log
from bus.server.old_log import MAX_LINE, OldLine
from bus.system import modes

AUTH = "operator"  # reserved: no credential has this name, so nobody else can have posted them
_AT_ONCE = 1_000  # lines for one sync
_TRIES = 15  # of two seconds each, for another process that is bringing up the index
_SAME = ("ts", "from", "body")  # by which two messages with one old id are the same message


@dataclass
class Report:
    """What an import did: messages that are new, those that were here, acknowledgements, lines that
    are no message.
    """

    lines: int = 0
    imported: int = 0
    already: int = 0
    acked: int = 0
    refused: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass
class _Known:
    """A message that is here, or will be with the next append."""

    seq: int | None
    message: dict[str, Any]


class Import:
    """One import into the log of a hub.

    `tell` is told, as text, what could not be taken over; `show` how far it has come.
    """

    def __init__(
        self, hub: Hub, run: Path, tell: Callable[[str], None], show: Callable[[Report], None]
    ) -> None:
        self._hub, self._tell, self._show = hub, tell, show
        self._lock = FileLock(run / "import.lock", timeout=0, mode=modes.FILE)
        self._ids = records.new_ids(time.time())
        self.report = Report()

    def run(self, file: IO[bytes]) -> Report:
        """Take in every line of a file.

        Raises Busy where another import is at work, and what `append` raises.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise Busy("Another import is at work.", hint="Wait until it has ended.") from None
        try:
            numbered = enumerate(_lines(file), 1)
            while some := list(islice(numbered, _AT_ONCE)):
                self._take_in(some)
                self._show(self.report)
        finally:
            self._lock.release()
        return self.report

    def _take_in(self, numbered: list[tuple[int, bytes]]) -> None:
        read = [
            (number, line)
            for number, data in numbered
            if (line := self._read(number, data)) is not None
        ]
        known = self._known(
            {name for _, line in read for name in (line.old_id, line.parent) if name}
        )
        fresh: list[dict[str, Any]] = []
        for number, line in read:
            if checks.old_key(line.old_id) not in known:
                draft = self._draft(number, line, known)
                fresh.append(draft)
                known[checks.old_key(line.old_id)] = _Known(None, draft)
            elif _is_same(known[checks.old_key(line.old_id)].message, line.draft):
                self.report.already += 1
            else:
                self._refuse(
                    number,
                    f"The id {line.old_id} is that of another message, which is here already.",
                )
                line.readers.clear()
        if fresh:
            for appended in self._hub.journal.take_in(fresh):
                known[checks.old_key(appended.record["old_id"])].seq = appended.record["seq"]
            self.report.imported += len(fresh)
        self._acknowledge(
            (known[checks.old_key(line.old_id)].seq, line.readers) for _, line in read
        )

    def _read(self, number: int, data: bytes) -> OldLine | None:
        if not data.strip():
            return None
        self.report.lines += 1
        try:
            if len(data) > MAX_LINE:
                raise BadField(f"It is longer than {MAX_LINE} bytes.")
            line = old_log.read(data.strip())
        except BusError as error:
            self._refuse(number, error.message)
            return None
        for note in line.notes:
            self._tell(f"line {number}: {note}")
        self.report.unknown.update(line.unknown)
        return line

    def _refuse(self, number: int, why: str) -> None:
        self.report.refused += 1
        self._tell(f"line {number} was not imported: {why}")

    def _known(self, old_ids: Iterable[str]) -> dict[str, _Known]:
        """Return the messages of these old ids that are here, by their keys; raises Busy while that
        cannot be known.
        """
        # An index that is behind would let a message in twice.
        if not any(self._hub.index.catch_up() for _ in range(_TRIES)):
            raise Busy("The index is behind the log, and another process holds it.")
        found = {}
        with self._hub.index.reading() as db:
            for key in map(checks.old_key, old_ids):
                seq = queries.seq_of_old_id(db, key)
                if seq is not None and (text := queries.by_seq(db, seq)) is not None:
                    found[key] = _Known(seq, json.loads(text))
        return found

    def _draft(self, number: int, line: OldLine, known: dict[str, _Known]) -> dict[str, Any]:
        """Return the record to be: its id made here, so that a reply in the same block can
        name it.
        """
        draft = {
            "id": next(self._ids),
            "kind": "message",
            "auth": AUTH,
            "verified": False,
            **line.draft,
            "old_id": line.old_id,
        }
        if line.parent is not None:
            parent = known.get(checks.old_key(line.parent))
            if parent is None:
                self._tell(
                    f"line {number}: `in_reply_to` is {line.parent!r}, which is not here. It was"
                    " left out."
                )
            else:
                draft["in_reply_to"] = parent.message["id"]
                draft.setdefault("thread", parent.message.get("thread") or parent.message["id"])
        return draft

    def _acknowledge(self, readers_of: Iterable[tuple[int | None, list[str]]]) -> None:
        seqs_of: dict[str, list[int]] = {}
        for seq, readers in readers_of:
            for reader in readers:
                if seq is not None:
                    seqs_of.setdefault(reader, []).append(seq)
        for reader, seqs in seqs_of.items():
            self.report.acked += len(self._hub.acks.ack(None, reader, seqs).new)


def _is_same(message: dict[str, Any], draft: dict[str, Any]) -> bool:
    return all(message[name] == draft[name] for name in _SAME)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, without a byte order mark at its start; of one that is too long a
    little more than MAX_LINE.
    """
    first = True
    while data := file.readline(MAX_LINE + 1):
        if len(data) > MAX_LINE:
            rest = data
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE)
        yield data.removeprefix(b"\xef\xbb\xbf") if first else data
        first = False


def summary(report: Report) -> list[str]:
    """Return what an import did, in lines for people."""
    said = [
        f"imported {report.imported} messages and {report.acked} acknowledgements from"
        f" {report.lines} lines"
    ]
    if report.already:
        said.append(f"{report.already} messages were here already")
    if report.unknown:
        fields = ", ".join(
            f"{json.dumps(name)} ({count} lines)" for name, count in report.unknown.most_common(20)
        )
        said.append(f"this bus has no place for {fields}: left out")
    if report.refused:
        said.append(
            f"{report.refused} lines were not imported: see above; mend them and import the file"
            " again"
        )
    return said

"""Reading what is durable, from any place in any of the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bus.log.jsonl import files
from bus.log.jsonl.locks import Mark, SharedState
from bus.model import records
from bus.model.records import START, Position, Record


class Tail:
    """What this process knows of the end of the active file.

    Only looked at under the append lock.
    """

    def __init__(self, file: files.OpenFile, segment: int, born: float, restores: int) -> None:
        self.file, self.segment, self.born, self.restores = file, segment, born, restores
        self.end = self.seq = 0
        self.sum = records.FIRST_SUM


class Reader:
    """Reads a log's files; `state` and `tail` return those of its log, which may exchange them."""

    def __init__(
        self, folder: Path, state: Callable[[], SharedState], tail: Callable[[], Tail | None]
    ) -> None:
        self._folder, self._state_of, self._tail_of = folder, state, tail

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]:
        end = self._state_of().synced
        segment, offset, total = _parse_token(after.token)
        # How many records a damaged line held is a guess, so a good line is never judged by its
        # number.
        seq, last_good = after.seq, 0 if total == "damaged" else after.seq
        for first, lines in self.segments_from(segment, offset, end):
            for line in lines:
                if records.is_filler(line.data):
                    continue
                try:
                    record = records.decode(line.data)
                    if record["seq"] <= last_good:
                        raise records.Damaged(
                            f"record {record['seq']} stands behind record {last_good}"
                        )
                except records.Damaged as damage:
                    seq += 1
                    record = {
                        "seq": seq,
                        "kind": "damaged",
                        "segment": first,
                        "offset": line.end,
                        "reason": str(damage),
                    }
                    yield Position(seq, f"{first}:{line.end}:damaged"), record
                    continue
                seq = last_good = record["seq"]
                yield Position(seq, f"{first}:{line.end}:{record['sum']}"), record

    def holds(self, position: Position) -> bool:
        segment, offset, total = _parse_token(position.token)
        end = self._state_of().synced
        if (
            segment > end.segment
            or position.seq > end.seq
            or (segment == end.segment and offset > end.size)
        ):
            return False
        if not position.token:
            return position == START
        file = files.OpenFile(self._folder / files.ACTIVE)
        path = files.sealed(self._folder).get(
            segment
        )  # looked for after opening, as in `_active_lines`
        if path is None and segment != end.segment:
            return False
        if path is not None:
            sealed = files.open_if_there(path)
            if path.suffix == ".gz" or sealed is None:
                # verified when it was sealed; reading it through would make every start slow
                return True
            file = sealed
        wanted = b"\n" if total in ("", "damaged") else f'{total}"}}\n'.encode()
        return offset == 0 or os.pread(file.fd, len(wanted), max(0, offset - len(wanted))) == wanted

    def segments_from(
        self, segment: int, offset: int, end: Mark
    ) -> Iterator[tuple[int, Iterator[files.Line]]]:
        for first, path in files.sealed(self._folder).items() if segment < end.segment else ():
            if segment <= first < end.segment:
                start = offset if first == segment else 0
                yield first, files.sealed_lines(path, start)
        start = offset if segment == end.segment else 0
        if start < end.size:
            yield end.segment, self._active_lines(start, end)

    def _active_lines(self, start: int, end: Mark) -> Iterator[files.Line]:
        """Return the lines of the file that was active when `end` was read; it may have been sealed
        since.
        """
        tail = self._tail_of()
        if (
            tail is not None
            and tail.segment == end.segment
            and tail.file.inode() == self._state_of().inode
        ):
            return tail.file.lines(start, end.size)
        file = files.OpenFile(self._folder / files.ACTIVE)
        # A file gets its sealed name before another takes its place: without that name, this is
        # still the one.
        path = files.sealed(self._folder).get(end.segment)
        if path is None:
            return file.lines(start, end.size)
        return (line for line in files.sealed_lines(path, start) if line.end <= end.size)


def _parse_token(token: str) -> tuple[int, int, str]:
    if not token:
        return 0, 0, ""
    segment, offset, total = token.split(":")
    return int(segment), int(offset), total

"""A command that runs in a target, seen from here: its output as it comes, and how it ended.

The hub streams lines of JSON: who it is (`{"id":…,"state":"running"}`), chunks (`{"stdout":…}`,
`{"stderr":…}`), empty lines as signs of life, and `{"result":{…}}`. When the connection breaks
after the first line, the command may have ended or not: the hub is asked for the call by its id,
and what is stored of its output beyond what was seen is handed out. So it is when a hub that stops
lets the command go on by itself; its end is waited for then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from busclient._codes import error_from
from busclient._errors import (
    BadAnswer,
    NotFound,
    OutcomeUnknown,
    Unavailable,
    Unreachable,
)
from busclient._net.forms import Call, Chunk, Result, decoded, shaped

Lines = Iterator[Mapping[str, Any]]


class Running:
    """Iterate for the chunks; after the last, `result` says how it ended. As a context manager:
    leaving early ends it.

    Raises OutcomeUnknown when it was begun and nobody can say how it ended.
    """

    def __init__(
        self, lines: Lines, how_is: Callable[[str], Call], end: Callable[[str], bool]
    ) -> None:
        self._lines, self._how_is, self._end = lines, how_is, end
        self._result: Result | None = None
        self._seen = {"stdout": 0, "stderr": 0}
        self._first: Mapping[str, Any] | None = next(lines, None)
        if self._first is None:
            raise BadAnswer("The hub's answer to a command is empty.")
        _raise_trouble(self._first)
        with shaped("a command's first line"):
            self.id = str((self._first.get("result") or self._first)["id"])

    @property
    def result(self) -> Result:
        """How it ended, without the output that was iterated over. Iterate to the end first."""
        if self._result is None:
            raise RuntimeError("it has not ended yet: iterate to the end first")
        return self._result

    def __iter__(self) -> Iterator[Chunk]:
        try:
            for line in self._all():
                yield from self._taken(line)
        except (Unreachable, OutcomeUnknown, Unavailable) as error:
            if isinstance(error, Unavailable) and not _goes_on(error):
                raise  # this and every other error is the hub's word on how it ended
            if self._result is None:
                yield from self._stored(error)
        if self._result is None:
            yield from self._stored(None)

    def end(self) -> bool:
        """End it now, with its whole tree of processes; False when it had ended."""
        return self._end(self.id)

    def close(self) -> None:
        """Hang up. What still runs is ended by the hub."""
        close = getattr(self._lines, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _all(self) -> Lines:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._lines

    def _taken(self, line: Mapping[str, Any]) -> Iterator[Chunk]:
        _raise_trouble(line)
        if (
            "result" in line or "exitCode" in line
        ):  # the latter: a stored answer, as it is without a stream
            fields = line.get("result", line)
            result = finished(Result.from_json(fields), fields.get("state"))
            self._ended(result)
            yield from self._rest(result)
            return
        if line.get("state") == "unknown":
            raise _unknown(self.id, "nobody knows how it ended")
        for name in ("stdout", "stderr"):
            if name in line:
                with shaped("a chunk of output"):
                    data = decoded(line[name], line.get("encoding"))
                yield self._chunk(name, data)

    def _stored(self, why: Exception | None) -> Iterator[Chunk]:
        """Yield what the hub has kept of a call whose stream broke off."""
        try:
            call = self._how_is(self.id)
            while call.state == "running" and _goes_on(why):
                call = self._how_is(self.id)
        except (Unreachable, Unavailable, NotFound) as error:
            raise (
                why if isinstance(why, OutcomeUnknown) else _unknown(self.id, error.message)
            ) from error
        if call.result is None and isinstance(why, OutcomeUnknown):
            raise why
        if call.error is not None:
            raise call.error from why
        if call.result is None:
            raise _unknown(
                self.id, f"the connection broke, and its state is {call.state!r}"
            ) from why
        self._ended(call.result)
        yield from self._rest(call.result)

    def _rest(self, kept: Result) -> Iterator[Chunk]:
        """Yield what is kept of the output beyond what was seen."""
        for name in ("stdout", "stderr"):
            data = getattr(kept, name)[self._seen[name] :]
            if data:
                yield self._chunk(name, data)

    def _chunk(self, name: str, data: bytes) -> Chunk:
        self._seen[name] += len(data)
        return Chunk("stdout" if name == "stdout" else "stderr", data)

    def _ended(self, result: Result) -> None:
        self._result = replace(result, stdout=b"", stderr=b"", has_output=False)


def lines_of(chunks: Iterator[bytes]) -> Lines:
    """Yield the JSON objects of an NDJSON answer, or the one of a JSON answer; without the signs of
    life.
    """
    rest = bytearray()
    try:
        for chunk in chunks:
            rest += chunk
            if (
                b"\n" in chunk
            ):  # looked for here, not in what is there: a long line may come byte by byte
                *whole, rest = rest.split(b"\n")
                yield from (_object(line) for line in whole if line.strip())
        if rest.strip():
            yield _object(rest)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def finished(result: Result, state: Any) -> Result:
    """Return this result, unless nobody knows how it ended: then raises OutcomeUnknown."""
    if state == "unknown":
        raise _unknown(result.id, "nobody knows how it ended")
    return result


def _goes_on(error: Exception | None) -> bool:
    """Return whether this says that the hub has let the command go, because it is stopping."""
    return isinstance(error, Unavailable) and error.code == "hub_stopping"


def _unknown(id: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"The command {id} was begun; {why.rstrip('.')}.", details={"id": id})


def _raise_trouble(line: Mapping[str, Any]) -> None:
    """Raise the error that a line is, if it is one."""
    if "error" in line:
        status = line.get("status")
        raise error_from(
            status if isinstance(status, int) else 500,
            line["error"] if isinstance(line["error"], dict) else line,
        )


def _object(line: bytes | bytearray) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadAnswer("The stream of a command holds a line that is not a JSON object.")
    return value

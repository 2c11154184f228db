"""Bytes of another machine's, on the way to our own standard output."""

from __future__ import annotations

import codecs
from typing import Any

from busclient._harmless import harmless


class Screen:
    """Writes bytes as they are into a file or a pipe; on a terminal as text in which nothing can
    act on it.

    What runs over there has no terminal of its own, so it seldom means its control characters; but
    whoever broke into that machine may. Carriage returns become line ends on a terminal: else a
    line could be made to look like another.
    """

    def __init__(self, stream: Any, *, raw: bool = False) -> None:
        self._stream = stream
        self._decoder = (
            codecs.getincrementaldecoder("utf-8")("replace")
            if stream.isatty() and not raw
            else None
        )
        self._held = ""

    def write(self, data: bytes) -> None:
        """Write and flush; raises BrokenPipeError when nobody reads any more."""
        if self._decoder is None:
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
        else:
            self._show(self._held + self._decoder.decode(data))

    def close(self) -> None:
        """Show what was held back for want of its other half."""
        if self._decoder is not None:
            self._show(self._held + self._decoder.decode(b"", final=True), is_last=True)

    def _show(self, text: str, *, is_last: bool = False) -> None:
        self._held = "\r" if text.endswith("\r") and not is_last else ""
        text = text.removesuffix(self._held) if self._held else text
        self._stream.write(harmless(text.replace("\r\n", "\n").replace("\r", "\n")))
        self._stream.flush()

"""What a message says that the hub has written about a command. No I/O."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from bus.model.answer import Count


class Cited(TypedDict):
    """Of a message that the hub wrote about a command: the call, and how it ended."""

    id: str
    target: str
    state: Annotated[str, "done, error or unknown"]
    exit_code: NotRequired[int | None]
    duration_ms: NotRequired[Count]
    size: NotRequired[Annotated[Count, "bytes of standard output that are kept"]]
    sha256: NotRequired[Annotated[str, "of these bytes"]]
    truncated: NotRequired[bool]

"""Which messages fit a budget: the first ones in full, others as one line, the rest not at all.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, NotRequired

from bus.model.messages import Message


class Candidate(Message):
    """A message that may be shown. One that is too long to be shown whole has only the beginning of
    its body, and the length of it in `size`.
    """

    size: NotRequired[int]


Measure = Callable[[str], int]

SHORT, LONG = 72, 1_000  # characters of a body in a stub: at first, and at most where room is left
# Of UTF-8: on the safe side for English (4) and for code, about right for other scripts
BYTES_PER_TOKEN = 3


class Stub(NamedTuple):
    """A message of which only the first `length` characters are to be shown."""

    message: Candidate
    length: int


class Packed(NamedTuple):
    """What is shown, each list in the order given; `shown` counts both."""

    full: list[Candidate]
    stubs: list[Stub]

    @property
    def shown(self) -> int:
        return len(self.full) + len(self.stubs)


def characters(text: str) -> int:
    """Return the size of a text in characters."""
    return len(text)


def length(text: str) -> int:
    """Return the size of a text as JavaScript counts it, which is what clients cut by."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def tokens(text: str) -> int:
    """Return the size of a text in tokens of a language model, rather too many than too few."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def pack(
    messages: Sequence[Candidate],
    room: int,
    measure: Measure,
    whole: Callable[[Candidate], str | None],
    brief: Callable[[Candidate, int], str],
) -> Packed:
    """Choose among messages in their order of rank. `whole` is None for one that is too long for
    any room.

    A quarter of the room at most is kept for stubs. What is too long becomes a stub, and shorter
    ones after it may still be shown in full; the first that fits in no form ends the choice, so
    that what is left out is all of lower rank. Room that is left in the end makes the stubs longer.
    """
    stubs_cost = [measure(brief(message, SHORT)) for message in messages]
    for_stubs = min(room // 4, sum(stubs_cost))
    for_full = room - for_stubs
    full: list[Candidate] = []
    short: list[Candidate] = []
    for message, stub_cost in zip(messages, stubs_cost, strict=True):
        text = whole(message)
        cost = room + 1 if text is None else measure(text)
        if cost <= for_full:
            full.append(message)
            for_full -= cost
        elif stub_cost <= for_stubs + for_full:
            short.append(message)
            for_stubs -= stub_cost
            for_full += min(for_stubs, 0)
            for_stubs = max(for_stubs, 0)
        else:
            break
    return Packed(full, _lengthened(short, for_full + for_stubs, measure, brief))


def _lengthened(
    short: Sequence[Candidate], room: int, measure: Measure, brief: Callable[[Candidate, int], str]
) -> list[Stub]:
    """Stubs that share the room that is left, the first ones first."""
    stubs = []
    for left, message in zip(range(len(short), 0, -1), short, strict=True):
        before = measure(brief(message, SHORT))
        # A character may be several tokens' worth of bytes, and harmless text is never longer than
        # what it replaces.
        length = min(LONG, SHORT + room // left)
        while length > SHORT and measure(brief(message, length)) - before > room // left:
            length = max(SHORT, length * 2 // 3)
        room -= measure(brief(message, length)) - before
        stubs.append(Stub(message, length))
    return stubs

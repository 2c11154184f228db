"""Patterns of paths, and whether two of them share one. No I/O.

`*` and `?` stay within a folder, `[a-z]` and `[!a-z]` are one character, `**` is any number of
folders, `\\` before a character takes it as it is. Whether two patterns overlap is decided exactly:
both are read as automata that go through the same path together, so no sample is ever tried.
A set of states is the bits of a number, so a step costs the same for any of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple, cast

MAX_PATTERN, MAX_WILD, MAX_DEEP = 512, 8, 4
MAX_CLASSES, MAX_CLASS = 16, 32
_LAST = 0x10FFFF
_SLASH = ord("/")

Ranges = tuple[tuple[int, int], ...]
# One character (`a`, or a class) or, None, any number of them.
Item = Ranges | None


class BadPattern(ValueError):
    """What is wrong with a pattern."""


class Segment(NamedTuple):
    """What one name in a path must be: one text, or items. Items None: `**`."""

    items: tuple[Item, ...] | None
    literal: str | None


class Glob(NamedTuple):
    """A pattern: its segments; which are `**` (as bits); where each literal text stands; the
    others, with their bits; and the names that any path of it begins with.
    """

    segments: tuple[Segment, ...]
    deep: int
    literals: dict[str, int]
    wild: tuple[tuple[int, Segment], ...]
    beginning: tuple[str, ...]


_DEEP = Segment(None, None)
_ANY: Ranges = ((0, _SLASH - 1), (_SLASH + 1, _LAST))


def normal(text: str) -> str:
    """Return a path as all are compared: the same letters are the same characters."""
    return unicodedata.normalize("NFC", text)


def parse(text: str) -> Glob:
    """Return a pattern; raises BadPattern."""
    _check_path(text)
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"It is longer than {MAX_PATTERN} characters.")
    segments: list[Segment] = []
    for name in normal(text).split("/"):
        if name == "**":
            if not segments or segments[-1] is not _DEEP:
                segments.append(_DEEP)
        else:
            segments.append(_segment(name))
    made = _made(segments)
    if len(made.wild) > MAX_WILD or made.deep.bit_count() > MAX_DEEP:
        raise BadPattern(f"At most {MAX_WILD} names with wildcards and {MAX_DEEP} `**` go into it.")
    if sum(len(_table(one).classes) for _, one in made.wild) > MAX_CLASSES:
        raise BadPattern(f"At most {MAX_CLASSES} `?` and `[…]` go into it.")
    return made


def literal(path: str) -> Glob:
    """Return the pattern that only this path matches; raises BadPattern."""
    _check_path(path)
    return _made([Segment((), name) for name in normal(path).split("/")])


def _check_path(text: str) -> None:
    if text.startswith("/"):
        raise BadPattern("It begins with a slash; paths are relative to the repository.")
    for name in text.split("/"):
        if name in ("", ".", ".."):
            raise BadPattern(f"It has the name {name!r} between its slashes.")


def _made(segments: list[Segment]) -> Glob:
    deep, literals, wild = 0, dict[str, int](), []
    for at, segment in enumerate(segments):
        if segment is _DEEP:
            deep |= 1 << at
        elif segment.literal is not None:
            literals[segment.literal] = literals.get(segment.literal, 0) | 1 << at
        else:
            wild.append((1 << at, segment))
    beginning = tuple(one.literal for one in takewhile(_is_literal, segments))
    return Glob(tuple(segments), deep, literals, tuple(wild), cast(tuple[str, ...], beginning))


def _is_literal(segment: Segment) -> bool:
    return segment.literal is not None


@lru_cache(1024)  # so that `*.py` is one segment, wherever it stands: see Comparing
def _segment(name: str) -> Segment:
    items: list[Item] = []
    plain: list[str] | None = []
    characters = iter(name)
    for sign in characters:
        if sign in "*?[":
            plain = None
            item = None if sign == "*" else _ANY if sign == "?" else _class(characters)
            if item is not None or not items or items[-1] is not None:
                items.append(item)
            continue
        one = next(characters, "") if sign == "\\" else sign
        if not one:
            raise BadPattern("It ends a name with a backslash.")
        items.append(_one(one))
        if plain is not None:
            plain.append(one)
    return Segment(tuple(items), None) if plain is None else Segment((), "".join(plain))


def _class(characters: Iterator[str]) -> Ranges:
    """Return the characters of a class, whose `[` was read."""
    said: list[str] = []
    escaped: set[int] = set()
    for sign in characters:
        if sign == "]" and said not in ([], ["!"], ["^"]):
            break
        if sign == "\\":
            escaped.add(len(said))
        said.append(next(characters, "\\") if sign == "\\" else sign)
        if len(said) > MAX_CLASS:
            raise BadPattern(f"A `[…]` in it is longer than {MAX_CLASS} characters.")
    else:
        raise BadPattern("It has a `[` without a `]` in the same name; `\\[` is the character.")
    is_negated = said[0] in ("!", "^") and 0 not in escaped
    at, ranges = int(is_negated), []
    while at < len(said):
        low = high = ord(said[at])
        if at + 2 < len(said) and said[at + 1] == "-" and at + 1 not in escaped:
            high = ord(said[at + 2])
            at += 2
        at += 1
        if low > high:
            raise BadPattern("A range in `[…]` ends before it begins.")
        ranges.append((low, high))
    found = _without(_ANY, ranges) if is_negated else _without(ranges, [(_SLASH, _SLASH)])
    if not found:
        raise BadPattern("A `[…]` in it matches no character.")
    return found


def _without(ranges: Ranges | list[tuple[int, int]], taken: list[tuple[int, int]]) -> Ranges:
    left = list(ranges)
    for low, high in taken:
        parts = [((a, min(b, low - 1)), (max(a, high + 1), b)) for a, b in left]
        left = [part for pair in parts for part in pair if part[0] <= part[1]]
    return tuple(sorted(set(left)))


@lru_cache(1024)
def _one(character: str) -> Ranges:
    return ((ord(character), ord(character)),)


# -- overlap -------------------------------------------------------------------------------------


class Comparing:
    """The comparisons of one request. `spend` is told of the steps before they are taken; it may
    raise to end what takes too long. What was compared once is known.
    """

    def __init__(self, spend: Callable[[int], None] = lambda steps: None) -> None:
        self._spend = spend
        # By what a segment is in memory: it is kept here, too, so that no other one gets its place.
        self._known: dict[tuple[int, int | str], tuple[Segment, Segment, bool]] = {}

    def pair(self) -> None:
        """Two patterns are compared."""
        self._spend(1)

    def meet(self, one: Segment, other: Segment) -> bool:
        """Return whether some name matches both."""
        key = id(one), id(other) if other.literal is None else other.literal
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = one, other, _meet(one, other, self._spend)
        return known[2]


def overlap(one: Glob, other: Glob, comparing: Comparing | None = None) -> bool:
    """Return whether some path matches both."""
    common = min(len(one.beginning), len(other.beginning))
    if one.beginning[:common] != other.beginning[:common]:
        return False  # most are of different folders
    comparing = comparing or Comparing()
    comparing.pair()
    deep = other.deep
    here = 1 | (deep & 1) << 1
    for segment in one.segments:
        if segment is _DEEP:
            here = _from_lowest(here, len(other.segments))
            continue
        next = here & deep | (here & _alike(segment, other, here & ~deep, comparing)) << 1
        here = next | (next & deep) << 1
        if not here:
            return False
    return bool(here >> len(other.segments) & 1)


def _from_lowest(bits: int, last: int) -> int:
    """Return the lowest of these states and all behind it."""
    return (1 << last + 1) - (bits & -bits)


def _alike(segment: Segment, other: Glob, wanted: int, comparing: Comparing) -> int:
    """Return which names of a pattern, out of those that are wanted, may be the same as one."""
    if segment.literal is not None:
        found = other.literals.get(segment.literal, 0)
        for bit, wild in other.wild:
            if bit & wanted and comparing.meet(wild, segment):
                found |= bit
        return found
    found = 0
    while wanted:
        bit = wanted & -wanted
        wanted ^= bit
        at = bit.bit_length() - 1
        if at < len(other.segments) and comparing.meet(segment, other.segments[at]):
            found |= bit
    return found


class _Table(NamedTuple):
    """The items of a name: which are stars (as bits), where each character stands, and the classes
    with their bits.
    """

    items: tuple[Item, ...]
    stars: int
    characters: dict[int, int]
    classes: tuple[tuple[int, Ranges], ...]
    weight: int  # the ranges of all classes


def _table(segment: Segment) -> _Table:
    """Return the table of a name. Those of texts are not kept: a caller may ask for any number."""
    if segment.literal is not None:
        return _made_table(tuple(map(_one, segment.literal)))
    return _kept_table(segment)


@lru_cache(1024)
def _kept_table(segment: Segment) -> _Table:
    return _made_table(segment.items or ())


def _made_table(items: tuple[Item, ...]) -> _Table:
    stars, characters, classes = 0, dict[int, int](), []
    for at, item in enumerate(items):
        if item is None:
            stars |= 1 << at
        elif _is_one(item):
            characters[item[0][0]] = characters.get(item[0][0], 0) | 1 << at
        else:
            classes.append((1 << at, item))
    weight = sum(len(ranges) for _, ranges in classes)
    return _Table(items, stars, characters, tuple(classes), weight)


def _meet(one: Segment, other: Segment, spend: Callable[[int], None]) -> bool:
    """Return whether some name matches both."""
    if other.literal is not None:
        spend(len(other.literal))  # its table is made
    mine, table = _table(one), _table(other)
    spend((len(mine.items) + mine.weight) * (1 + table.weight) + len(table.items) * mine.weight)
    stars = table.stars
    here = 1 | (stars & 1) << 1
    for item in mine.items:
        if item is None:
            here = _from_lowest(here, len(table.items))
            continue
        next = here & stars | (here & _meeting(item, table)) << 1
        here = next | (next & stars) << 1
        if not here:
            return False
    return bool(here >> len(table.items) & 1)


def _meeting(item: Ranges, table: _Table) -> int:
    """Return which of the items of a name share a character with one."""
    if _is_one(item):
        found = table.characters.get(item[0][0], 0)
    else:
        found = 0
        for character, bits in table.characters.items():
            if any(low <= character <= high for low, high in item):
                found |= bits
    for bit, other in table.classes:
        if any(a <= d and c <= b for a, b in item for c, d in other):
            found |= bit
    return found


def _is_one(item: Ranges) -> bool:
    return len(item) == 1 and item[0][0] == item[0][1]

"""Front matter: YAML between two lines `---`, before the text it is about. No I/O.

Every scalar is the text that was written: `no`, `0123` and `2026-03-24` are no truth value, number
or date. A parser's events are read, nothing is constructed: there are no tags, no anchors, and no
aliases that could grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from bus.errors import BadBrief, BadJson, TooLarge
from bus.model.strict_json import Rest, check_text

MAX_FRONT = 16 * 1024
MAX_DEPTH, MAX_NODES, MAX_KEY = 8, 1_000, 128
_STEPS = 400  # of the parser without a rest: a millisecond or two
_END = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_START = re.compile("\ufeff?---[ \t]*\r?\n")
# What may stand without quotes; all else is quoted and escaped.
_SIMPLE = re.compile(r"[^\W_](?:[\w./()+@—–,-]|[ ](?![ #]))*(?<! )")
_FIRST_LINE = 2  # of the YAML: `---` is the first

Value = str | list[Any] | dict[str, Any]


class FrontMatter(NamedTuple):
    """What stands in front of a text: its fields, and the line of each."""

    fields: dict[str, Any]
    lines: dict[str, int]


def split(text: str, rest: Rest = lambda: None) -> tuple[FrontMatter, str]:
    """Return the front matter of a text, and what is behind it as it is; raises BadBrief and
    TooLarge. Without a line `---` at its start, a text has no front matter. `rest` lets others go
    on between its parts: 16 KiB of YAML may take a tenth of a second.
    """
    start = _START.match(text)
    if start is None:
        return FrontMatter({}, {}), text
    end = _END.search(text, start.end())
    if end is None:
        raise _bad(
            1,
            "it begins front matter, and no line `---` ends that.",
            "If this is a line of the text, put two lines `---` before it.",
        )
    front = text[start.end() : end.start()]
    size = len(front.encode())
    if size > MAX_FRONT:
        raise TooLarge(
            f"The front matter is {size} bytes; at most {MAX_FRONT} are allowed.",
            size=size,
            limit=MAX_FRONT,
        )
    return _read(front, rest), text[end.end() :]


def _read(front: str, rest: Rest) -> FrontMatter:
    try:
        return _Reader(front, rest).document()
    except yaml.reader.ReaderError as error:
        at = front[: error.position].count("\n") + _FIRST_LINE
        raise _bad(at, f"a character is not for YAML: {error.character!r:.20}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = _FIRST_LINE + (0 if mark is None else mark.line)
        raise _bad(line, f"this is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, IndexError) as error:
        # PyYAML lets `"\U00110000"` through to chr(), say.
        raise _bad(_FIRST_LINE, f"this is no YAML: {str(error)[:80]}.") from None


class _Loader(yaml.BaseLoader):  # type: ignore[misc]
    """A parser that stops at what is too deep while it looks ahead: of many open brackets on a
    line, each costs it as much as all before. It rests between its steps.
    """

    def __init__(self, text: str, rest: Rest) -> None:
        self._rest, self._steps = rest, 0
        super().__init__(text)

    def forward(self, length: int = 1) -> None:
        """Go on in the text."""
        self._steps += 1
        if self._steps % _STEPS == 0:
            self._rest()
        super().forward(length)

    def fetch_flow_collection_start(self, token: Any) -> None:
        """Begin `[` or `{`; raises BadBrief for one that is too deep."""
        if self.flow_level >= MAX_DEPTH:
            raise _too_much(self.line + _FIRST_LINE)
        super().fetch_flow_collection_start(token)


def _events(text: str, rest: Rest) -> Iterator[Any]:
    loader = _Loader(text, rest)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Reader:
    """Reads one document from the parser's events."""

    def __init__(self, text: str, rest: Rest) -> None:
        self._events = _events(text, rest)
        self._nodes = 0

    def document(self) -> FrontMatter:
        """Return the mapping that the document is."""
        event = self._next()
        while isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return FrontMatter({}, {})
        if isinstance(event, yaml.ScalarEvent) and event.value == "":
            return FrontMatter({}, {})
        if not isinstance(event, yaml.MappingStartEvent):
            raise _bad(_line(event), "front matter is lines of `key: value`.")
        lines: dict[str, int] = {}
        fields = self._mapping(event, 1, lines)
        return FrontMatter(fields, lines)

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, depth: int) -> Value:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _too_much(_line(event))
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _bad(_line(event), "anchors and aliases are not read.", "Write it out.")
        if event.tag is not None:
            raise _bad(_line(event), "tags are not read.", "Every value is text.")
        if isinstance(event, yaml.ScalarEvent):
            return self._text(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth + 1, {})
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _text(self, event: Any) -> str:
        # What writes JSON escapes an emoji as two halves; YAML's reader leaves them apart.
        halves = event.value.encode("utf-16-le", "surrogatepass")
        text: str = halves.decode("utf-16-le", "surrogatepass")
        try:
            check_text(text, "it")
        except BadJson as error:  # an escape such as "\\0"
            raise _bad(_line(event), error.message) from None
        return text

    def _mapping(self, start: Any, depth: int, lines: dict[str, int]) -> dict[str, Any]:
        if start.anchor is not None or start.tag is not None:
            raise _bad(_line(start), "anchors and tags are not read.", "Write it out.")
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _bad(_line(event), "a key is text.")
            key = str(self._value(event, depth))
            if len(key) > MAX_KEY or key in found:
                what = "is there twice" if key in found else "is too long for a key"
                raise _bad(_line(event), f"`{key[:40]}` {what}.")
            lines[key] = _line(event)
            found[key] = self._value(self._next(), depth)
        return found


def _line(event: Any) -> int:
    return int(event.start_mark.line) + _FIRST_LINE


def _too_much(line: int) -> BadBrief:
    rule = f"At most {MAX_NODES} values, {MAX_DEPTH} levels deep."
    return _bad(line, "this is too much, or too deep.", rule)


def _bad(line: int, what: str, hint: str | None = None) -> BadBrief:
    return BadBrief(f"Line {line}: {what}", hint=hint, line=line)


def joined(fields: Mapping[str, Any], text: str) -> str:
    """Return a text with these fields before it: `split` gives both again."""
    front = yaml.serialize(
        _node(fields),
        Dumper=yaml.BaseDumper,
        allow_unicode=True,
        width=1 << 30,
    )
    return f"---\n{front if fields else ''}---\n{text}"


def _node(value: Any) -> yaml.Node:
    if isinstance(value, Mapping):
        pairs = [(_node(key), _node(item)) for key, item in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=not pairs)
    if isinstance(value, list):
        items = [_node(item) for item in value]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=not items)
    style = None if _SIMPLE.fullmatch(value) else '"'
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)

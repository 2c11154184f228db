"""Write the tables of hidden characters: bus/model/hidden.py, busclient/_hidden.py, and a block of
scripts/session-start-poll.

HIDDEN is what no text form shows as it is: what acts on a terminal, and what a reader cannot see.

- control and format characters, but newline, tab and the visible Prepended_Concatenation_Marks;
- Default_Ignorable_Code_Point: invisible by definition, unassigned ones too (all of U+E0000 to
  U+E0FFF);
- line and paragraph separators, and surrogates;
- fillers and blanks: by their names, because Unicode has no property for "has no ink and is no
  space".

PICTURES is where emoji are: runs of Extended_Pictographic. A variation selector 16 behind one of
them, and a zero width joiner between two, belong to an emoji and stay.

`python -m scripts.hidden` writes the files; `--check` says whether they are up to date.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import regex

ROOT = Path(__file__).parents[1]
Range = tuple[int, int]

_HIDDEN = regex.compile(
    r"(?V1)[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]--\p{Prepended_Concatenation_Mark}--[\n\t]]"
)
_PICTURE = regex.compile(r"\p{Extended_Pictographic}")
_BLANKS = (" FILLER", " BLANK", " NULL NOTEHEAD")
_GAP = 0x200  # symbols between pictographs may as well have a variation selector

_MODULE = '''"""Made by scripts/hidden-characters from the data of Unicode, with the rules of
scripts/hidden.py. Do not edit it.

Both are what stands between the brackets of a character class of `re`.
"""

HIDDEN = (
{hidden}
)
PICTURES = (
{pictures}
)
'''
_BEGIN, _END = (
    "# What follows is made by scripts/hidden-characters.\n",
    "# Here ends what is made.\n",
)


def is_hidden(char: str) -> bool:
    """Whether no text form shows this character as it is."""
    name = unicodedata.name(char, "")
    return bool(_HIDDEN.fullmatch(char)) or (
        name.endswith(_BLANKS) and unicodedata.category(char) != "Po"
    )


def ranges(points: Iterable[int], gap: int = 1) -> list[Range]:
    """Ascending code points as ranges, ends included; neighbours less than `gap` apart
    share one.
    """
    found: list[Range] = []
    for point in points:
        if found and point - found[-1][1] <= gap:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def hidden() -> list[Range]:
    return ranges(point for point in range(sys.maxunicode + 1) if is_hidden(chr(point)))


def pictures() -> list[Range]:
    wide = ranges(
        (point for point in range(sys.maxunicode + 1) if _PICTURE.fullmatch(chr(point))), _GAP
    )
    return ranges(
        point
        for first, last in wide
        for point in range(first, last + 1)
        if not is_hidden(chr(point))
    )


def written() -> dict[Path, str]:
    """The files as they are to be."""
    classes = {
        "hidden": _lines(map(_escaped, hidden())),
        "pictures": _lines(map(_escaped, pictures())),
    }
    module = _MODULE.format(**classes)
    script = ROOT / "scripts" / "session-start-poll"
    before, _, rest = script.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    # Apart, because control characters stand for others while the script works.
    controls = _as_bytes((a, min(b, 0x7F)) for a, b in hidden() if a < 0x80)
    beyond_ascii = ((max(a, 0x80), b) for a, b in hidden() if b > 0x7F)
    block = f"controls='{controls}'\nhidden='{_as_bytes(beyond_ascii)}'\n"
    block += f"pictures='{_as_bytes(pictures())}'\n"
    files = {
        ROOT / "bus" / "model" / "hidden.py": module,
        ROOT / "busclient" / "_hidden.py": module,
    }
    return {**files, script: f"{before}{_BEGIN}{block}{_END}{after}"}


def _escaped(bounds: Range) -> str:
    first, last = (f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}" for point in bounds)
    return first if first == last else f"{first}-{last}"


def _lines(texts: Iterable[str], width: int = 80) -> str:
    lines = [""]
    for text in texts:
        if len(lines[-1]) + len(text) > width:
            lines.append("")
        lines[-1] += text
    return "\n".join(f'    "{line}"' for line in lines)


def _as_bytes(wanted: Iterable[Range]) -> str:
    """The ranges in UTF-8, as alternatives of an extended regular expression for bytes, those in
    octal for printf.
    """
    return "|".join(
        alternative
        for bounds in wanted
        for part in _of_one_length(bounds)
        for alternative in _sequences(*part)
    )


def _of_one_length(bounds: Range) -> Iterator[tuple[bytes, bytes]]:
    for low, high in (
        (1, 0x7F),
        (0x80, 0x7FF),
        (0x800, 0xFFFF),
        (0x10000, sys.maxunicode),
    ):  # NUL: `tr` sees to it
        first, last = max(bounds[0], low), min(bounds[1], high)
        if first <= last:
            yield _encoded(first), _encoded(last)


def _encoded(point: int) -> bytes:
    return chr(point).encode("utf-8", "surrogatepass")


def _sequences(first: bytes, last: bytes) -> Iterator[str]:
    """The byte sequences from `first` to `last`, both of one length."""
    if len(first) == 1:
        yield _bracket(first[0], last[0])
        return
    low, high = b"\x80" * (len(first) - 1), b"\xbf" * (len(first) - 1)
    if first[0] == last[0]:
        yield from (_bracket(first[0], first[0]) + rest for rest in _sequences(first[1:], last[1:]))
        return
    begin, end = first[0], last[0]
    if first[1:] != low:
        yield from _sequences(first, first[:1] + high)
        begin += 1
    if last[1:] != high:
        end -= 1
    if begin <= end:
        yield _bracket(begin, end) + _bracket(0x80, 0xBF) * len(low)
    if last[1:] != high:
        yield from _sequences(last[:1] + low, last)


def _bracket(first: int, last: int) -> str:
    return f"\\{first:03o}" if first == last else f"[\\{first:03o}-\\{last:03o}]"


def main(arguments: list[str]) -> int:
    stale = {
        path: text
        for path, text in written().items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        print(
            f"{path.relative_to(ROOT)} is not as Unicode's data makes it"
            if arguments
            else f"wrote {path.relative_to(ROOT)}"
        )
        if not arguments:
            path.write_text(text)
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One text message: what fits, and what is cut."""

from __future__ import annotations

import pytest

from bus.model.sms import one_text

POINTER = "bus read 412"


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web1 → db1: all\ngreen…", "web1 > db1: all green... bus read 412"),
        ("“it’s”\u00a0– done", '"it\'s" - done bus read 412'),
        ("grün 東京", "grün 東京 bus read 412"),
        ("", " bus read 412"),
    ],
)
def test_what_fits_is_one_line(text: str, said: str) -> None:
    assert one_text(text, POINTER) == said


def test_what_does_not_fit_is_cut_and_the_pointer_stays() -> None:
    for text in ("x" * 147, "ä" * 147):
        assert one_text(text, POINTER) == f"{text} {POINTER}"
    assert one_text("x" * 148, POINTER) == f"{'x' * 145}.. {POINTER}"
    assert one_text("x" * 160, "") == "x" * 160
    # These take two places each.
    assert one_text("{" * 80, POINTER) == f"{'{' * 72}.. {POINTER}"
    assert one_text("京" * 57, POINTER) == f"{'京' * 57} {POINTER}"
    assert one_text("京" * 58, POINTER) == f"{'京' * 55}.. {POINTER}"
    # No half of a pair, and what is plain before it has the room of plain text.
    said = one_text("🎉" * 40, POINTER)
    assert units(said) <= 70 and said.startswith("🎉" * 27) and said.isprintable()
    assert one_text("x" * 150 + "🎉", POINTER) == f"{'x' * 145}.. {POINTER}"

"""Signs are found wherever the stream is cut, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from bus.containers.signs import Signs


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 40, 41, 1000])
def test_signs_are_taken_out_however_the_stream_is_cut(piece: int) -> None:
    signs = Signs()
    sign = b"\x1e" + signs.word.encode()
    stream = b"of the client\n" + sign + b" started 5 6\nfirst\x1e\x1esecond" + sign + b" code 7\nthird\x1e" + sign[:20]
    out = b"".join(signs.take(stream[at : at + piece]) for at in range(0, len(stream), piece)) + signs.rest()
    assert out == b"first\x1e\x1esecondthird\x1e" + sign[:20]
    assert signs.before == b"of the client\n"
    assert (signs.numbers("started"), signs.numbers("code"), signs.numbers("failed")) == ((5, 6), (7,), ())


def test_only_what_could_be_a_sign_is_held_back() -> None:
    signs = Signs()
    signs.take(b"\x1e" + signs.word.encode() + b" started 1\n")
    assert signs.take(b"a prompt: ") == b"a prompt: "
    assert signs.take(b"x\x1e" + signs.word[:5].encode()) == b"x"
    assert signs.take(b"y") == b"\x1e" + signs.word[:5].encode() + b"y"


def test_the_word_of_another_run_is_no_sign() -> None:
    signs, other = Signs(), Signs()
    signs.take(b"\x1e" + signs.word.encode() + b" started 1\n")
    line = b"\x1e" + other.word.encode() + b" code 0\n"
    assert signs.take(line) == line
    assert signs.numbers("code") == ()

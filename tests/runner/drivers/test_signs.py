"""Signs are found wherever the stream is cut, and nothing else is taken for one."""

from __future__ import annotations

import time

import pytest

from bus.runner.drivers.signs import Signs


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 40, 41, 1000])
def test_signs_are_taken_out_however_the_stream_is_cut(piece: int) -> None:
    signs = Signs()
    sign = b"\x1e" + signs.word.encode()
    stream = (
        b"of the client\n"
        + sign
        + b" started 5 6 7\nfirst\x1e\x1esecond"
        + sign
        + b" code 7\nthird\x1e"
        + sign[:20]
    )
    out = (
        b"".join(signs.take(stream[at : at + piece]) for at in range(0, len(stream), piece))
        + signs.rest()
    )
    assert out == b"first\x1e\x1esecondthird\x1e" + sign[:20]
    assert signs.before == b"of the client\n"
    assert (signs.numbers("started"), signs.numbers("code"), signs.numbers("failed")) == (
        (5, 6, 7),
        (7,),
        (),
    )


def test_only_what_could_be_a_sign_is_held_back() -> None:
    signs = Signs()
    signs.take(b"\x1e" + signs.word.encode() + b" started 1 0 0\n")
    assert signs.take(b"a prompt: ") == b"a prompt: "
    assert signs.take(b"x\x1e" + signs.word[:5].encode()) == b"x"
    assert signs.take(b"y") == b"\x1e" + signs.word[:5].encode() + b"y"


def test_the_word_of_another_run_is_no_sign() -> None:
    signs, other = Signs(), Signs()
    signs.take(b"\x1e" + signs.word.encode() + b" started 1 0 0\n")
    line = b"\x1e" + other.word.encode() + b" code 0\n"
    assert signs.take(line) == line
    assert signs.numbers("code") == ()


@pytest.mark.parametrize(
    "line",
    [
        b"code 256", b"code 99999999999999999999", b"code -1", b"code +1", b"code 1 2", b"code",
        b"code ", b"code 0x1",
        b"code \xb2", "code ٣".encode(), b"started --5 0 0", b"started 1 2 3", b"folder",
        b"failed 1", b"other 1", b" code 1",
        b"Code 1", b"code 1\r", b"code  1", b"code 1 ", b"", b"x" * 300,
    ],
)  # fmt: skip
def test_what_is_said_otherwise_than_the_script_says_it_is_the_programs(line: bytes) -> None:
    signs = Signs()
    begin = b"\x1e" + signs.word.encode() + b" "
    signs.take(begin + b"started 5 6 7\n")
    assert signs.take(begin + line + b"\n") + signs.rest() == begin + line + b"\n"
    assert signs.said == {"started": (5, 6, 7)}
    assert signs.take(begin + b"code 3\n") == b""
    assert signs.numbers("code") == (3,)


@pytest.mark.parametrize(
    "numbers", [b"--5 0 0", b"5", b"5 6", b"5 6 7 8", b"5 -6 7", b"12345678901 0 0", b"", b"5 6 x"]
)
def test_a_start_is_three_numbers(numbers: bytes) -> None:
    signs = Signs()
    signs.take(b"\x1e%s started %s\n" % (signs.word.encode(), numbers))
    assert (signs.said, signs.numbers("started")) == ({}, ())
    signs.take(b"\x1e%s started -5 0 4294967295\n" % signs.word.encode())
    assert signs.numbers("started") == (-5, 0, 4294967295)


def test_the_first_of_each_kind_counts_in_the_order_of_the_script() -> None:
    signs = Signs()
    begin = b"\x1e" + signs.word.encode() + b" "
    early = begin + b"code 1\n" + begin + b"failed 1\n"
    assert signs.take(early) == b""
    assert (signs.said, signs.before) == ({}, early)
    signs.take(begin + b"started 5 6 7\n" + begin + b"code 0\n")
    late = b"".join(
        begin + line + b"\n" for line in (b"code 9", b"started 1 1 1", b"folder", b"failed")
    )
    assert signs.take(late) == late
    assert signs.said == {"started": (5, 6, 7), "code": (0,)}
    signs = Signs()
    begin = b"\x1e" + signs.word.encode() + b" "
    signs.take(begin + b"folder\n" + begin + b"started 5 6 7\n")
    assert signs.said == {"folder": ()}


def test_a_sign_behind_the_beginning_of_one_is_found() -> None:
    signs = Signs()
    begin = b"\x1e" + signs.word.encode() + b" "
    signs.take(begin + b"started 5 6 7\n")
    assert signs.take(begin) == b""
    assert signs.take(begin + b"code 7\n") == begin
    assert signs.numbers("code") == (7,)


def test_what_is_held_back_has_a_bound_and_costs_no_more_than_it_is_long() -> None:
    signs = Signs()
    begin = b"\x1e" + signs.word.encode() + b" "
    signs.take(begin + b"started 5 6 7\n")
    began, size = time.monotonic(), 0
    size += len(signs.take(begin))
    for _ in range(1024):
        size += len(signs.take(bytes(1 << 16)))
        assert len(signs._held) <= 256
    assert size == len(begin) + (1 << 26)
    many = begin * (1 << 20)
    assert len(signs.take(many)) + len(signs.rest()) == len(many)
    keys = b"".join(begin + b"key%d 1\n" % n for n in range(200_000))
    assert signs.take(keys) == keys
    for _ in range(20_000):
        signs.take(begin[:1])
        signs.take(begin[1:])
        assert len(signs._held) <= 256
    assert time.monotonic() - began < 10
    assert signs.said == {"started": (5, 6, 7)}

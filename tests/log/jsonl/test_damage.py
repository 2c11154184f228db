"""Bytes that changed on a disk which had promised to keep them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.log.jsonl import inspection
from bus.log.jsonl.engine import JsonlLog
from bus.model.records import START
from tests.log.folder import bodies, draft, drafts, flip, lines_of, reboot

OpenLog = Callable[..., JsonlLog]
COUNT = 7


@pytest.fixture
def active(folder: Path, open_log: OpenLog) -> Path:
    """The file of a log of seven messages, m1 to m7."""
    open_log().append(drafts([draft(f"m{number}") for number in range(1, COUNT + 1)]))
    return folder / "bus.jsonl"


def span_of_line(active: Path, number: int) -> range:
    """The offsets of a line (from 1) without its newline."""
    lines = lines_of(active)
    start = sum(map(len, lines[: number - 1]))
    return range(start, start + len(lines[number - 1]) - 1)


def put_lines(active: Path, lines: list[bytes]) -> None:
    """Give the file these lines instead of its own, as the same file."""
    with open(active, "r+b") as file:
        file.write(b"".join(lines))
        file.truncate()


@pytest.mark.parametrize("number", [1, 2, 4, 6])
@pytest.mark.parametrize("bits", [0x01, 0x80])
def test_one_changed_byte_costs_its_own_record_and_no_other(
    active: Path, open_log: OpenLog, number: int, bits: int
) -> None:
    good = active.read_bytes()
    for offset in span_of_line(active, number)[::3]:
        flip(active, offset, bits)
        report = inspection.verify(active.parent)
        assert [(problem["file"], problem["line"]) for problem in report.problems] == [
            ("bus.jsonl", number)
        ]
        assert report.problems[0]["problem"].startswith("damaged: ")
        assert report.records == COUNT - 1
        reboot(active.parent)
        log = open_log()
        assert bodies(log) == [f"m{other}" for other in range(1, COUNT + 1) if other != number]
        assert [record["seq"] for _, record in log.read()] == list(range(1, COUNT + 1))
        with open(active, "r+b") as file:
            file.write(good)


def test_a_damaged_line_is_evidence_and_stays_as_it_is(active: Path, open_log: OpenLog) -> None:
    flip(active, span_of_line(active, 3)[20])
    damaged = active.read_bytes()
    reboot(active.parent)
    open_log().append([draft("next")])
    assert active.read_bytes().startswith(damaged)


def test_reading_goes_on_after_a_damaged_record(active: Path, open_log: OpenLog) -> None:
    flip(active, span_of_line(active, 3)[20])
    log = open_log()
    everything = list(log.read())
    assert [record["kind"] for _, record in everything] == ["message"] * 2 + ["damaged"] + [
        "message"
    ] * 4
    assert (
        everything[2][1]["segment"] == 1
        and everything[2][1]["offset"] == span_of_line(active, 3).stop + 1
    )
    for index, (position, _) in enumerate(everything):
        assert log.holds(position)
        assert [record["seq"] for _, record in log.read(position)] == list(
            range(index + 2, COUNT + 1)
        )


def test_the_seq_of_a_damaged_last_record_is_not_given_again(
    active: Path, open_log: OpenLog
) -> None:
    """Somebody may have read and acknowledged it before the damage."""
    flip(active, span_of_line(active, COUNT)[20])
    (result,) = open_log().append([draft("next")])
    assert result.record["seq"] == COUNT + 1


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_lost_newline_costs_the_two_records_it_parted(
    active: Path, open_log: OpenLog, number: int
) -> None:
    flip(active, span_of_line(active, number).stop)
    report = inspection.verify(active.parent)
    assert report.problems[0]["line"] == number
    log = open_log()
    assert bodies(log) == [
        f"m{other}" for other in range(1, COUNT + 1) if other not in (number, number + 1)
    ]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_newline_out_of_nothing_costs_the_record_it_splits(
    active: Path, open_log: OpenLog, number: int
) -> None:
    offset = span_of_line(active, number)[40]
    with open(active, "r+b") as file:
        file.seek(offset)
        file.write(b"\n")
    log = open_log()
    assert bodies(log) == [f"m{other}" for other in range(1, COUNT + 1) if other != number]
    assert not inspection.verify(active.parent).is_clean()


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_deleted_line_is_found(active: Path, number: int) -> None:
    lines = lines_of(active)
    del lines[number - 1]
    put_lines(active, lines)
    (problem,) = inspection.verify(active.parent).problems
    assert (problem["file"], problem["line"]) == ("bus.jsonl", number)
    assert "does not follow" in problem["problem"]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_swapped_lines_are_found(active: Path, open_log: OpenLog, number: int) -> None:
    lines = lines_of(active)
    lines[number - 1], lines[number] = lines[number], lines[number - 1]
    put_lines(active, lines)
    problems = inspection.verify(active.parent).problems
    assert problems[0]["line"] == number and "does not follow" in problems[0]["problem"]
    seqs = [record["seq"] for _, record in open_log().read(START) if record["kind"] == "message"]
    assert seqs == sorted(set(seqs)), "what is read is in order"


def test_a_line_that_comes_twice_is_found_and_read_once(active: Path, open_log: OpenLog) -> None:
    lines = lines_of(active)
    put_lines(active, [*lines[:4], lines[2], *lines[4:]])
    assert inspection.verify(active.parent).problems[0]["line"] == 5
    reboot(active.parent)
    assert bodies(open_log()) == [f"m{number}" for number in range(1, COUNT + 1)]


def test_a_replaced_line_with_a_right_checksum_is_found_by_the_chain(active: Path) -> None:
    from bus.model import records

    lines = lines_of(active)
    forged = records.decode(lines[2][:-1])
    del forged["sum"]
    lines[2], _ = records.encode({**forged, "body": "forged"}, records.FIRST_SUM)
    put_lines(active, lines)
    assert inspection.verify(active.parent).problems[0]["line"] == 3
    assert "does not follow" in inspection.verify(active.parent).problems[0]["problem"]


def test_a_sealed_file_is_checked_by_its_name(folder: Path, open_log: OpenLog) -> None:
    log = open_log(segment_max_bytes=1_000)
    for number in range(12):
        log.append(drafts([draft(f"m{number}")]))
    sealed = sorted(folder.glob("bus-*.jsonl"))[1]
    flip(sealed, 300)
    (problem,) = inspection.verify(folder).problems
    assert problem["file"] == sealed.name
    assert sealed.name in inspection.verify(folder).as_text()
    assert len(bodies(log)) == 11

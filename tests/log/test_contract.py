"""The promises of `bus.log.base`, tested against every engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.log.base import Appended, Log
from bus.log.jsonl.engine import JsonlLog
from bus.log.memory import MemoryLog
from bus.model.records import START, Position
from tests.log.folder import bodies, draft, drafts, seqs


@pytest.fixture(params=["jsonl", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    made: Log = (
        JsonlLog(tmp_path / "data", fsync=False) if request.param == "jsonl" else MemoryLog()
    )
    yield made
    made.close()


def texts(appended: list[Appended]) -> list[str]:
    return [result.record["body"] for result in appended]


def test_an_empty_log_has_nothing_to_read_and_stands_at_the_start(log: Log) -> None:
    assert list(log.read()) == []
    assert log.position().seq == 0
    assert log.holds(START)
    assert not log.failed()


def test_records_come_back_in_the_order_they_were_appended(log: Log) -> None:
    log.append([draft("a"), draft("b")])
    log.append([draft("c")])
    assert bodies(log) == ["a", "b", "c"]


def test_each_seq_is_one_more_than_that_of_the_record_before_whatever_the_kind(log: Log) -> None:
    log.append(drafts([draft("a"), {"kind": "ack", "reader": "bob", "seqs": [1]}]))
    log.append(drafts([{"kind": "of another time"}]))
    assert seqs(log) == [1, 2, 3]
    assert log.position().seq == 3


def test_append_answers_with_the_records_that_read_gives(log: Log) -> None:
    made = log.append([draft("a"), draft("b")])
    for result, (_, record) in zip(made, log.read(), strict=True):
        assert not result.replayed
        assert result.record.items() <= record.items()
        assert {"seq", "id", "ts"} <= result.record.keys()


def test_an_empty_batch_adds_nothing(log: Log) -> None:
    assert log.append(drafts([])) == []
    assert log.position().seq == 0


@pytest.mark.parametrize(
    "body",
    [
        "\u2028\u2029\x85\x0b",
        "a\nb\r\nc",
        "😀",
        '"}\\',
        "sum",
        ',"sum":"00000000-0000"}',
        "x" * 70_000,
    ],
)
def test_any_text_comes_back_byte_for_byte(log: Log, body: str) -> None:
    log.append([draft(body), draft("next")])
    assert bodies(log) == [body, "next"]


def test_the_second_draft_with_a_unique_key_is_answered_with_the_first_record(log: Log) -> None:
    (first,) = log.append([draft("a", key="k")])
    (again,) = log.append([draft("a", key="k")])
    assert again.replayed
    assert again.record["seq"] == first.record["seq"] and again.record["id"] == first.record["id"]
    assert bodies(log) == ["a"]


def test_a_unique_key_counts_within_one_batch_too(log: Log) -> None:
    made = log.append([draft("a", key="k"), draft("b"), draft("a", key="k")])
    assert [result.replayed for result in made] == [False, False, True]
    assert [result.record["seq"] for result in made] == [1, 2, 1]
    assert bodies(log) == ["a", "b"]


def test_a_unique_key_belongs_to_one_sender_and_one_credential(log: Log) -> None:
    log.append(
        drafts(
            [
                draft("a", key="k"),
                draft("b", key="k", **{"from": "bob"}),
                draft("c", key="k", auth="carol"),
            ]
        )
    )
    assert bodies(log) == ["a", "b", "c"]


def test_drafts_with_one_key_from_many_threads_at_once_become_one_record(log: Log) -> None:
    results = in_threads(
        8, lambda number: log.append(drafts([draft("same", key="k"), draft(f"own {number}")]))
    )
    assert bodies(log).count("same") == 1
    assert sum(not made[0].replayed for made in results) == 1
    assert len({made[0].record["id"] for made in results}) == 1


def test_many_threads_share_one_unbroken_order_and_each_keeps_its_own(log: Log) -> None:
    def post_ten(number: int) -> list[int]:
        return [
            log.append(drafts([draft(f"{number}:{turn}")]))[0].record["seq"] for turn in range(10)
        ]

    answered = in_threads(4, post_ten)
    assert seqs(log) == list(range(1, 41))
    for number, numbers in enumerate(answered):
        assert numbers == sorted(numbers)
        assert [body for body in bodies(log) if body.startswith(f"{number}:")] == [
            f"{number}:{turn}" for turn in range(10)
        ]


def test_reading_after_any_position_gives_exactly_the_rest(log: Log) -> None:
    log.append([draft(str(number)) for number in range(5)])
    everything = list(log.read())
    for index, (position, record) in enumerate(everything):
        assert position.seq == record["seq"]
        assert log.holds(position)
        assert [record["seq"] for _, record in log.read(position)] == [
            record["seq"] for _, record in everything[index + 1 :]
        ]


def test_reading_after_the_end_gives_what_is_appended_later(log: Log) -> None:
    log.append([draft("before")])
    end = log.position()
    assert log.holds(end)
    assert list(log.read(end)) == []
    log.append([draft("after")])
    assert [record["body"] for _, record in log.read(end)] == ["after"]


def test_a_position_beyond_the_end_is_not_held(log: Log) -> None:
    log.append([draft("a"), draft("b")])
    last, _ = list(log.read())[-1]
    assert not log.holds(Position(last.seq + 1, last.token))


def in_threads(count: int, job: Callable[[int], Any]) -> list[Any]:
    """What `job(0)`, `job(1)`, … give when all of them start at the same time."""
    results: dict[int, Any] = {}
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait(10)
        results[number] = job(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [results[number] for number in range(count)]

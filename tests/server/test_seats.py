"""Which worker takes a new connection."""

from __future__ import annotations

from bus.server.seats import Seat, Seats


def two() -> tuple[Seat, Seat]:
    seats = Seats()
    first, second = seats.of(1), seats.of(2)
    first.open()
    second.open()
    return first, second


def test_a_connection_is_for_the_worker_that_has_fewer() -> None:
    first, second = two()
    assert not first.is_for_another()
    assert not second.is_for_another()
    first.count(1)
    assert first.is_for_another()
    assert not second.is_for_another()
    second.count(1)
    assert not first.is_for_another()
    first.count(1)
    first.count(-1)
    assert not first.is_for_another()


def test_a_worker_that_leaves_is_not_waited_for() -> None:
    first, second = two()
    first.count(5)
    second.leave()
    assert not first.is_for_another()
    second.count(-1)  # its last connections go after it has left
    assert not first.is_for_another()

"""No more is let in than would be done in time; what is let in is never more than that, nor none at all."""

from __future__ import annotations

import threading

import pytest

from sb_api.broker.limiter import SMALL_ENOUGH, WINDOW, Limiter, Room
from sb_api.errors import QueueFull
from tests.conftest import join


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(limiter: Limiter, clock: Clock, size: int, seconds: float) -> None:
    assert limiter.enter(size)
    clock.now += seconds
    limiter.leave(size, done=True)


def test_up_to_the_least_is_let_in_before_any_rate_is_known(clock: Clock) -> None:
    limiter = Limiter(0.1, 10, clock)
    assert [limiter.enter(4) for _ in range(4)] == [True, True, False, False]
    assert limiter.enter(2)


def test_one_piece_of_work_is_let_in_however_large(clock: Clock) -> None:
    limiter = Limiter(0.1, 10, clock)
    assert limiter.enter(10_000)
    assert not limiter.enter(1)


def test_what_is_let_in_would_be_done_within_the_longest_wait(clock: Clock) -> None:
    limiter = Limiter(0.5, 10, clock)
    work(limiter, clock, 1000, 1.0)
    assert limiter.rate == pytest.approx(1000)
    entered = sum(limiter.enter(1) for _ in range(2000))
    assert entered == 500


def test_the_rate_follows_the_answers(clock: Clock) -> None:
    limiter = Limiter(1.0, 1, clock)
    work(limiter, clock, 1000, 1.0)
    for _ in range(20):
        work(limiter, clock, 100, 1.0)
    assert limiter.rate == pytest.approx(100, rel=0.05)


def test_idle_time_does_not_count(clock: Clock) -> None:
    limiter = Limiter(1.0, 1, clock)
    for _ in range(100):
        work(limiter, clock, 10, WINDOW / 10)
        clock.now += 60
    assert limiter.rate == pytest.approx(100 / WINDOW)


def test_what_is_given_up_leaves_room_and_lowers_the_rate(clock: Clock) -> None:
    limiter = Limiter(1.0, 1, clock)
    work(limiter, clock, 1000, 1.0)
    assert limiter.enter(900)
    assert not limiter.enter(200)
    clock.now += 1.0
    limiter.leave(900, done=False)
    assert limiter.inside == 0
    assert limiter.rate == pytest.approx(700)


MIB = 2**20


def test_large_bodies_are_let_in_while_memory_has_room_and_one_always() -> None:
    """Four of 30 MiB at once took a process over its limit of memory."""
    room = Room(32 * MIB)
    with room.take(40 * MIB, 0):
        with pytest.raises(QueueFull), room.take(MIB, 0):
            pytest.fail("there was no room")
        with room.take(SMALL_ENOUGH, 0):  # small ones never wait behind large ones
            assert room.inside == 40 * MIB
    with room.take(16 * MIB, 0), room.take(16 * MIB, 0):
        assert room.inside == 32 * MIB
        with pytest.raises(QueueFull), room.take(MIB, 0):
            pytest.fail("there was no room")
    assert room.inside == 0


def test_who_waits_for_room_is_let_in_when_another_leaves() -> None:
    room = Room(MIB)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with room.take(MIB):
            inside.set()
            leave.wait(20)

    other = threading.Thread(target=stay, daemon=True)
    other.start()
    inside.wait(20)
    threading.Timer(0.05, leave.set).start()
    with room.take(MIB, 20):
        assert leave.is_set()
    join(other)

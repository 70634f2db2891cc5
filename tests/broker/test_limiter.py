"""No more is let in than would be done in time; what is let in is never more than that, nor none at all."""

from __future__ import annotations

import pytest

from sb_api.broker.limiter import WINDOW, Limiter


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

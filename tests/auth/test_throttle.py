"""Failures are counted and slowed, each key for itself, in bounded memory; by an injected clock."""

from __future__ import annotations

import pytest

from sb_api.auth import throttle
from sb_api.auth.throttle import Throttle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Throttle:
    return Throttle(free=3, longest=10.0, clock=clock)


def test_the_first_failures_cost_nothing(gate: Throttle) -> None:
    for _ in range(3):
        gate.fail("a")
    assert gate.wait("a") == 0


def test_each_further_failure_doubles_the_wait_up_to_the_longest(gate: Throttle) -> None:
    waits = []
    for _ in range(3 + 6):
        gate.fail("a")
        waits.append(gate.wait("a"))
    assert waits == [0, 0, 0, 1, 2, 4, 8, 10, 10]


def test_failures_without_end_do_not_overflow(gate: Throttle) -> None:
    for _ in range(3000):
        gate.fail("a")
    assert gate.wait("a") == 10


def test_the_wait_passes_with_time(gate: Throttle, clock: Clock) -> None:
    for _ in range(6):
        gate.fail("a")
    clock.now += 3
    assert gate.wait("a") == 1
    clock.now += 1
    assert gate.wait("a") == 0


def test_one_key_says_nothing_of_another(gate: Throttle) -> None:
    for _ in range(9):
        gate.fail("a")
    assert gate.wait("b") == 0


def test_a_success_forgives(gate: Throttle) -> None:
    for _ in range(9):
        gate.fail("a")
    gate.forgive("a")
    assert gate.wait("a") == 0
    assert gate.fail("a") == 1


def test_failures_are_forgotten_after_a_quiet_time(gate: Throttle, clock: Clock) -> None:
    for _ in range(9):
        gate.fail("a")
    clock.now += throttle.QUIET
    assert gate.fail("a") == 1


def test_memory_is_bounded_and_who_was_heard_of_last_is_remembered(
    gate: Throttle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "CAPACITY", 10)
    for number in range(100):
        gate.fail(str(number))
        assert gate.fail("loud") == number + 1
    assert gate.fail("0") == 1
    assert gate.fail("99") == 2

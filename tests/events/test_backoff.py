"""Waits double up to a limit, vary, and begin again after a success."""

import pytest

from sse_push.events.backoff import _JITTER, Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3, chance=lambda: 0)
    assert [backoff.next_wait() for _ in range(5)] == [0.5, 1, 2, 3, 3]


def test_reset_begins_again() -> None:
    backoff = Backoff(0.5, 3, chance=lambda: 0)
    backoff.next_wait()
    backoff.reset()
    assert backoff.next_wait() == 0.5


@pytest.mark.parametrize("chance", [-1, 1])
def test_waits_vary_by_the_jitter(chance: int) -> None:
    assert Backoff(2, 8, chance=lambda: chance).next_wait() == 2 * (1 + chance * _JITTER)


def test_waits_of_two_differ() -> None:
    assert len({Backoff(1, 8).next_wait() for _ in range(20)}) > 1

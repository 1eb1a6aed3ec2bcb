"""Bytes of the history by caller: a share within any time that events are kept, and what grows with the history."""

import pytest

from sse_push.events.errors import OverLimit
from sse_push.service import byte_budget
from sse_push.service.byte_budget import EVENT_COST_BYTES, ByteBudget
from tests.conftest import Clock

PERIOD_S = 86_400.0


def budget(clock: Clock, history: int = 10_000_000, share: float = 0.1) -> ByteBudget:
    return ByteBudget(share, lambda: history, PERIOD_S, clock)


def refusal(budget: ByteBudget, caller: str, data_bytes: int, events: int = 1) -> OverLimit | None:
    try:
        budget.take(caller, data_bytes, events)
    except OverLimit as error:
        return error
    return None


def test_caller_fills_no_more_than_their_share_within_the_time_that_events_are_kept() -> None:
    """However they spread it: as fast as they may, from the first second on."""
    clock = Clock()
    its = budget(clock)
    filled = 0
    for _ in range(24 * 60):
        while refusal(its, "42", 10_000) is None:
            filled += 10_000 + EVENT_COST_BYTES
        clock.advance(60)

    assert 0.9 * 1_000_000 <= filled <= 1_000_000


def test_flood_of_one_caller_is_not_the_matter_of_another() -> None:
    its = budget(Clock())
    while refusal(its, "42", 60_000) is None:
        pass

    assert refusal(its, "43", 60_000) is None


def test_small_events_count_what_they_cost() -> None:
    its = budget(Clock())
    count = 0
    while refusal(its, "42", 1) is None:
        count += 1

    assert count <= 500_000 / EVENT_COST_BYTES


def test_refusal_says_when_there_is_room_and_takes_nothing() -> None:
    clock = Clock()
    its = budget(clock)
    while (error := refusal(its, "42", 60_000)) is None:
        pass
    for _ in range(100):
        refusal(its, "42", 60_000)

    assert error.limit == "bytes"
    clock.advance(error.retry_after)
    assert refusal(its, "42", 60_000) is None
    assert refusal(its, "42", 60_000) is not None


def test_share_follows_what_the_history_may_take() -> None:
    clock, history = Clock(), 10_000_000
    its = ByteBudget(0.1, lambda: history, PERIOD_S, clock)
    its.take("42", 400_000)
    history = 1_000_000  # a Redis that has less memory now

    assert refusal(its, "42", 1) is not None
    assert refusal(its, "43", 40_000) is None
    history = 10_000_000
    assert refusal(its, "42", 40_000) is None


def test_event_larger_than_all_at_once_goes_when_nothing_is_spent() -> None:
    its = budget(Clock(), history=1000)

    assert refusal(its, "42", 60_000) is None
    assert refusal(its, "42", 1) is not None


def test_list_counts_each_of_its_events() -> None:
    its = budget(Clock())
    its.take("42", 1000, events=800)

    assert refusal(its, "42", 1000, events=800) is not None


def test_what_others_publish_because_of_a_caller_counts_and_is_never_refused() -> None:
    clock = Clock()
    its = budget(clock)
    for _ in range(100):
        its.charge("42", 30_000)

    error = refusal(its, "42", 1)
    assert error is not None and error.retry_after > PERIOD_S / 2


@pytest.mark.parametrize("count", [1, 100_000])
def test_no_share_is_no_limit_and_remembers_nothing(count: int) -> None:
    its = budget(Clock(), share=0)
    its.take("42", 2**40, count)
    its.charge("42", 2**40)

    assert not its._spent


def test_callers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "REMEMBERED_CALLERS", 10)
    its = budget(Clock())
    its.take("flood", 400_000)
    for number in range(100):
        its.take(str(number), 1)
        its.take("flood", 1)

    assert len(its._spent) == 10
    assert refusal(its, "flood", 60_000) is not None

"""The timing wheel of heartbeats."""

from sse_push.service.timing_wheel import SLOTS, TimingWheel


def test_an_item_is_due_once_in_each_period_and_first_after_a_whole_one() -> None:
    wheel: TimingWheel[str] = TimingWheel()
    for _ in range(7):
        wheel.advance()

    wheel.add("a")
    due = [tick for tick in range(1, 2 * SLOTS + 1) if "a" in wheel.advance()]

    assert due == [SLOTS, 2 * SLOTS]


def test_a_new_wheel_takes_items_before_its_first_tick() -> None:
    wheel: TimingWheel[str] = TimingWheel()

    wheel.add("a")
    due = [tick for tick in range(1, SLOTS + 1) if wheel.advance()]

    assert due == [SLOTS]


def test_a_discarded_item_is_not_due() -> None:
    wheel: TimingWheel[str] = TimingWheel()
    slot = wheel.add("a")
    wheel.add("b")

    wheel.discard("a", slot)
    wheel.discard("a", slot)

    assert [item for _ in range(SLOTS) for item in wheel.advance()] == ["b"]
    assert list(wheel) == ["b"]


def test_items_added_in_different_ticks_are_in_different_slots() -> None:
    wheel: TimingWheel[str] = TimingWheel()

    first = wheel.add("a")
    wheel.advance()
    second = wheel.add("b")

    assert first != second

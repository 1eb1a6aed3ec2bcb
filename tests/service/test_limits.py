"""Limits: streams counted by three, commands by a token bucket."""

import pytest

from sse_push.events.errors import OverLimit
from sse_push.service import limits as module
from sse_push.service.limits import ConnectionLimits, RateLimit
from tests.conftest import Clock


def _refused(limits: ConnectionLimits, user: str | None, address: str) -> str:
    with pytest.raises(OverLimit) as caught:
        limits.take(user, address)
    assert caught.value.retry_after > 0
    return caught.value.limit


def test_total_is_bounded() -> None:
    limits = ConnectionLimits(2, 10, 10)
    limits.take("1", "a")
    limits.take(None, "b")

    assert _refused(limits, "3", "c") == "total"
    assert limits.open == 2


def test_user_is_bounded_wherever_they_are() -> None:
    limits = ConnectionLimits(10, 2, 10)
    limits.take("1", "a")
    limits.take("1", "b")

    assert _refused(limits, "1", "c") == "user"
    limits.take("2", "a")


def test_address_is_bounded_whoever_it_is() -> None:
    limits = ConnectionLimits(10, 10, 2)
    limits.take("1", "a")
    limits.take(None, "a")

    assert _refused(limits, "2", "a") == "address"
    limits.take("2", "b")


def test_nobody_is_no_user() -> None:
    limits = ConnectionLimits(10, 1, 10)

    for _ in range(5):
        limits.take(None, "a")


def test_streams_without_a_token_leave_room_for_users() -> None:
    """Whatever the number of addresses: five that fill their own limit must not fill the node."""
    limits = ConnectionLimits(8, 10, 4, anonymous_share=0.5)
    for address in "aabb":
        limits.take(None, address)

    assert _refused(limits, None, "c") == "anonymous"
    for number in range(4):
        limits.take(str(number), "d")
    assert _refused(limits, "9", "e") == "total"


def test_streams_without_a_token_leave_room_for_users_of_their_address() -> None:
    limits = ConnectionLimits(100, 10, 4, anonymous_share=0.5)
    limits.take(None, "a")
    limits.take(None, "a")

    assert _refused(limits, None, "a") == "anonymous"
    limits.take("1", "a")
    limits.take("1", "a")
    assert _refused(limits, "1", "a") == "address"
    limits.take(None, "b")


def test_slot_without_a_token_that_was_given_back_is_free() -> None:
    limits = ConnectionLimits(2, 1, 2, anonymous_share=0.5)
    for _ in range(3):
        limits.take(None, "2001:db8::1")
        assert _refused(limits, None, "2001:db8::2") == "anonymous"
        limits.give(None, "2001:db8::1")

    assert not limits._anonymous_by_address and not limits._by_address


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_somebody_without_a_token_always_finds_room_somewhere(share: float) -> None:
    ConnectionLimits(1, 1, 1, anonymous_share=share).take(None, "a")


def test_refusal_takes_nothing() -> None:
    limits = ConnectionLimits(10, 10, 1)
    limits.take("1", "a")
    for _ in range(20):
        _refused(limits, "2", "a")

    for number in range(9):
        limits.take("2", f"b{number}")


def test_slot_given_back_is_free() -> None:
    limits = ConnectionLimits(1, 1, 1)
    for _ in range(3):
        limits.take("1", "a")
        limits.give("1", "a")

    assert limits.open == 0


def test_nothing_is_remembered_of_those_who_left() -> None:
    limits = ConnectionLimits(100, 100, 100)
    for number in range(50):
        limits.take(str(number), str(number))
        limits.take(str(number), str(number))
        limits.give(str(number), str(number))
        limits.give(str(number), str(number))

    assert not limits._by_user
    assert not limits._by_address


def _count(rate: RateLimit, caller: str = "1") -> int:
    """How many commands pass now."""
    for passed in range(1000):
        if (refusal := _refusal(rate, caller)) is not None:
            assert refusal.limit == "rate"
            assert refusal.retry_after >= 1
            return passed
    raise AssertionError("no end")


def _refusal(rate: RateLimit, caller: str) -> OverLimit | None:
    try:
        rate.take(caller)
    except OverLimit as error:
        return error
    return None


def test_rate_allows_a_burst_of_twice_as_many_then_its_pace() -> None:
    clock = Clock(0.0)
    rate = RateLimit(10, clock)

    assert _count(rate) == 20
    clock.advance(1)
    assert _count(rate) == 10
    clock.advance(0.5)
    assert _count(rate) == 5
    clock.advance(1000)
    assert _count(rate) == 20


def test_rate_is_each_callers_own() -> None:
    rate = RateLimit(1, Clock(0.0))

    assert _count(rate, "1") == 2
    assert _count(rate, "2") == 2


def test_rate_below_one_a_second_allows_one() -> None:
    clock = Clock(0.0)
    rate = RateLimit(0.1, clock)

    assert _count(rate) == 1
    with pytest.raises(OverLimit) as caught:
        rate.take("1")
    assert caught.value.retry_after == 10
    clock.advance(10)
    assert _count(rate) == 1


def test_refusals_do_not_push_the_next_chance_away() -> None:
    clock = Clock(0.0)
    rate = RateLimit(1, clock)
    _count(rate)

    passed = 0
    for _ in range(40):
        clock.advance(0.25)
        passed += _count(rate)

    assert passed == 10


def test_rate_of_zero_is_no_limit() -> None:
    rate = RateLimit(0, Clock(0.0))

    for _ in range(10_000):
        rate.take("1")


def test_waiting_as_long_as_told_is_long_enough() -> None:
    clock = Clock(0.0)
    rate = RateLimit(0.3, clock)
    _count(rate)
    with pytest.raises(OverLimit) as caught:
        rate.take("1")

    clock.advance(caught.value.retry_after)

    rate.take("1")


def test_callers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_CALLERS", 10)
    rate = RateLimit(1, Clock(0.0))
    for number in range(100):
        rate.take(str(number))

    assert len(rate._full_at) == 10
    assert _count(rate, "99") == 1


def test_caller_whose_burst_is_whole_again_is_forgotten() -> None:
    clock = Clock()
    rate = RateLimit(1, clock, burst=2)
    for number in range(100):
        rate.take(str(number))
        clock.now += 1
    assert len(rate._full_at) <= 2


# -- addresses -------------------------------------------------------------------------------------


def test_streams_of_one_ipv6_network_are_bounded_together() -> None:
    limits = ConnectionLimits(10, 10, 2, anonymous_share=1.0)
    limits.take(None, "2001:db8::1")
    limits.take(None, "2001:db8::2")

    assert _refused(limits, None, "2001:db8::3") == "address"
    limits.take(None, "2001:db8:0:1::3")

    limits.give(None, "2001:db8::1")
    limits.take(None, "2001:db8::3")

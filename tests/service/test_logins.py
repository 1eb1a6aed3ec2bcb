"""How many wrong passwords one may try, and from where."""

import pytest

from sse_push.events.errors import OverLimit
from sse_push.service import logins as module
from sse_push.service.logins import LoginLimits
from tests.conftest import Clock


def refused(limits: LoginLimits, account: str, network: str) -> bool:
    try:
        limits.take(account, network)
    except OverLimit as error:
        return error.limit == "login_account"
    return False


def test_failures_count_by_account_and_network() -> None:
    limits = LoginLimits(2, 100, 0, Clock())

    assert [refused(limits, "ada", "a") for _ in range(3)] == [False, False, True]
    assert not refused(limits, "ada", "b")
    assert not refused(limits, "ben", "a")


def test_failures_are_forgiven_with_time() -> None:
    clock = Clock()
    limits = LoginLimits(2, 100, 0, clock)
    assert [refused(limits, "ada", "a") for _ in range(3)] == [False, False, True]

    clock.advance(30)

    assert [refused(limits, "ada", "a") for _ in range(2)] == [False, True]


def test_failures_for_one_account_are_bounded_but_for_networks_that_knew_it() -> None:
    limits = LoginLimits(10, 3, 0, Clock())
    limits.take("ada", "home")
    limits.succeeded("ada", "home")

    assert [refused(limits, "ada", str(number)) for number in range(4)] == [False] * 3 + [True]
    assert not refused(limits, "ada", "home")
    assert not refused(limits, "ben", "home")


def test_network_that_knew_a_password_may_not_guess_for_ever() -> None:
    limits = LoginLimits(3, 100, 0, Clock())
    limits.take("ada", "home")
    limits.succeeded("ada", "home")

    assert [refused(limits, "ada", "home") for _ in range(4)] == [False] * 3 + [True]


def test_remembered_networks_are_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_NETWORKS", 2)
    limits = LoginLimits(10, 10, 0, Clock())
    for network in ("a", "b", "a", "c"):
        limits.take("ada", network)
        limits.succeeded("ada", network)

    assert [*limits._known] == [("ada", "a"), ("ada", "c")]


def test_limit_of_zero_is_none() -> None:
    limits = LoginLimits(0, 0, 0, Clock())

    for _ in range(100):
        limits.take_address("a")
        limits.take("ada", "a")
        limits.give_back("ada", "a")


def test_login_refused_for_its_account_is_no_failure_of_its_network() -> None:
    clock = Clock()
    limits = LoginLimits(2, 60, 0, clock)
    for number in range(60):
        limits.take("ada", str(number))
    assert [refused(limits, "ada", "home") for _ in range(3)] == [True] * 3

    clock.advance(1)

    assert not refused(limits, "ada", "home")

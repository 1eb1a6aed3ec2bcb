"""Ages by a clock that is set forward and back."""

import time

import pytest

from sse_push.events.engines.embedded.ages import Ages, steady_clock

NOW = 1_700_000_000.0


def test_time_to_come_ages_from_when_the_clock_was_set_back() -> None:
    saved: list[tuple[float, float]] = []
    ages = Ages(NOW, 0.0, lambda *both: saved.append(both))
    for now in (NOW - 1000, NOW - 900, NOW - 500):
        ages.note(now)
    assert (ages.age(NOW, NOW - 500), ages.age(NOW - 600, NOW - 500)) == (500, 100)
    assert saved == [(NOW, NOW - 1000)], "written down once"


def test_clock_that_has_caught_up_tells_all_ages() -> None:
    saved: list[tuple[float, float]] = []
    ages = Ages(NOW, NOW - 1000, lambda *both: saved.append(both))
    ages.note(NOW + 1)
    assert (ages.age(NOW, NOW + 1), ages.ahead_for(NOW + 1)) == (1, 0)
    assert saved == [(NOW + 1, 0)]


def test_clock_that_goes_on_writes_nothing_down() -> None:
    ages = Ages(NOW, 0.0, lambda *both: pytest.fail("nothing was set back"))
    for seconds in (0, 0, 1, 1e6):
        ages.note(NOW + seconds)
    assert ages.age(NOW, NOW + 5) == 5


def test_steady_clock_goes_on_when_the_system_s_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = steady_clock()
    before, real = clock(), time.time()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock() - before < 60
    assert abs(before - real) < 60

"""Events held until the engine has started: in order, within bounds, never after the close."""

import pytest

from sse_push.events import early
from sse_push.events.early import EarlyEvents
from sse_push.events.errors import EngineUnavailable, Overloaded
from sse_push.events.event import Event
from sse_push.events.group import EventList


def _events(count: int, data: bytes = b"1") -> list[Event]:
    return [Event("app", ("app",), data) for _ in range(count)]


def test_events_are_taken_once_and_in_order() -> None:
    held, first, second = EarlyEvents(), _events(1), _events(2)
    held.hold(EventList(first), None)
    held.hold(EventList(second), None)

    assert [events for events, _ in held.take()] == [first, second]
    assert held.take() == []


@pytest.mark.parametrize(
    ("fits", "more"),
    [
        (_events(early.MAX_EARLY_EVENTS), _events(1)),
        (_events(1, b"1" * early.MAX_EARLY_BYTES), _events(1)),
    ],
)
def test_events_over_the_bounds_are_refused_and_what_is_held_stays(
    fits: list[Event], more: list[Event]
) -> None:
    held = EarlyEvents()
    held.hold(EventList(fits), None)
    with pytest.raises(Overloaded):
        held.hold(EventList(more), None)

    assert held.take() == [(fits, None)]
    held.hold(EventList(more), None)


def test_nothing_is_held_after_the_close() -> None:
    held, events = EarlyEvents(), _events(1)
    held.hold(EventList(events), None)

    assert held.close() == [(events, None)]
    with pytest.raises(EngineUnavailable):
        held.hold(EventList(events), None)

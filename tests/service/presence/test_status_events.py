"""The events of topic ``presence``: their form and their audience."""

import pytest
from pydantic_core import from_json

from sse_push.service.presence.payloads import Connected, Heartbeat, Initial, StatusChange
from sse_push.service.presence.status_events import connected, heartbeat, initial, status, status_change

NOW = 1768732200.0
AT = "2026-01-18T10:30:00.000Z"


@pytest.mark.parametrize(
    ("active", "seen", "wanted"),
    [
        (NOW, None, {"user_id": 2, "is_online": True, "last_activity": AT}),
        (NOW, 1.0, {"user_id": 2, "is_online": True, "last_activity": AT}),
        (None, NOW, {"user_id": 2, "is_online": False, "last_seen": AT}),
        (None, None, {"user_id": 2, "is_online": False}),
    ],
)
def test_status_has_the_form_of_its_model(
    active: float | None, seen: float | None, wanted: dict[str, object]
) -> None:
    assert status(2, active, seen) == wanted
    assert StatusChange.model_validate(wanted).model_dump(exclude_none=True) == wanted


def test_change_is_an_event_for_its_audience_alone() -> None:
    push = status_change(2, NOW, None, [1, 3])
    assert (push.topic, push.event, push.user_ids) == ("presence", "status_change", ["1", "3"])
    assert push.data == status(2, NOW, None)


def test_initial_has_every_friend_in_order_and_may_be_large() -> None:
    friend_list = {user: float(user) for user in range(2000, 0, -1)}
    event = initial(7, friend_list, {3: NOW, 77_777: NOW}, NOW)
    data = from_json(event.data)
    assert list(data) == [str(user) for user in range(1, 2001)]
    assert data["3"] == status(3, NOW, None)
    assert data["4"] == status(4, None, 4.0)
    Initial.model_validate(data)
    assert len(event.data) > 64 * 1024
    assert event.frame().startswith(b"event: initial\ndata: {")


def test_own_events_are_for_streams_of_this_node_and_have_no_ids() -> None:
    for event, model in ((connected(7, NOW), Connected), (heartbeat([7, 8], NOW), Heartbeat)):
        assert (event.durable, event.local, event.id, event.name) == (False, True, None, model.event_name)
        assert model.model_validate_json(event.data).timestamp == AT
    assert heartbeat([7, 8], NOW).keys == ("presence\x1f@7", "presence\x1f@8")

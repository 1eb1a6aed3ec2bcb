"""What else a publisher may say of an event: its name, its key, how long it is good for; and nothing that is not known."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from sse_push.events.event import MAX_KEY, PushEvent
from sse_push.events.wire import MAX_EVENT_NAME
from tests.events.event.taking import NOW, accepted, refusal, sent


@pytest.mark.parametrize(
    "fields",
    [
        {"userId": "1", "colour": "red"},
        {"userId": "1", "id": "k-1"},
        {"userId": "1", "seq": 4},
        {"user": "1"},
    ],
)
def test_field_that_is_not_known_is_refused(fields: dict[str, Any]) -> None:
    refusal(**fields)


def test_data_must_be_given_but_may_be_null() -> None:
    with pytest.raises(ValidationError):
        PushEvent.model_validate({"userId": "1"})
    assert sent(None).data == "null"


def test_push_cannot_be_changed_after_validation() -> None:
    push = PushEvent(data=1, user_id="1")
    with pytest.raises(ValidationError):
        push.user_id = "a\nb"  # type: ignore[misc]


# -- its name --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\x00", "\n", "x\r\ndata: y", "", "x" * (MAX_EVENT_NAME + 1)]
)
def test_event_name_that_could_forge_a_field_is_refused(name: str) -> None:
    refusal(userId="1", event=name)


@pytest.mark.parametrize("name", ["sse.gap", "sse.expired", "sse.", "sse.anything"])
def test_event_name_of_the_service_is_refused(name: str) -> None:
    assert "service's own" in refusal(userId="1", event=name)


@pytest.mark.parametrize(
    "name", ["tick", "sse", "ssegap", "SSE.gap", "a b", ":x", " x", "x" * MAX_EVENT_NAME, "é"]
)
def test_event_name_reaches_the_reader(name: str) -> None:
    assert sent(1, user_id="1", event=name).type == name


@pytest.mark.parametrize("field", ["topic", "event", "key"])
def test_half_a_surrogate_in_a_name_is_refused(field: str) -> None:
    refusal(broadcast=True, **{field: "a\ud800"})


# -- its key and its time --------------------------------------------------------------------------


def test_key_is_bounded() -> None:
    assert PushEvent(data=1, broadcast=True, key="k" * MAX_KEY).key == "k" * MAX_KEY
    refusal(broadcast=True, key="k" * (MAX_KEY + 1))
    refusal(broadcast=True, key="")


@pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan, "soon"])
def test_ttl_must_be_a_time_to_come(ttl: object) -> None:
    refusal(broadcast=True, ttl=ttl)


def test_ttl_ends_that_much_after_acceptance() -> None:
    assert accepted(PushEvent(data=1, broadcast=True, ttl=2.5)).expires == NOW + 2.5
    assert accepted(PushEvent(data=1, broadcast=True)).expires is None

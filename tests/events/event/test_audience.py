"""Whom a publisher may say an event is for, and on which topic it goes out."""

from typing import Any

import pytest

from sse_push.events.event import MAX_USERS, PushEvent
from sse_push.events.topics import MAX_NAME
from tests.events.event.taking import accepted, audience, refusal


@pytest.mark.parametrize(
    ("fields", "users"),
    [
        ({"userId": "1"}, ["1"]),
        ({"user_id": "1"}, ["1"]),
        ({"userIds": ["1", "2"]}, ["1", "2"]),
        ({"userIds": ["2", "1", "2"]}, ["2", "1"]),
        ({"broadcast": True}, None),
        ({"room": "general", "topic": "chat"}, None),
        ({"userId": "1", "broadcast": False}, ["1"]),
    ],
)
def test_audience_is_the_one_given(fields: dict[str, Any], users: list[str] | None) -> None:
    assert audience(**fields) == users


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"broadcast": False},
        {"userId": None},
        {"userId": "1", "broadcast": True},
        {"userId": "1", "userIds": ["1"]},
        {"userId": "1", "room": "general"},
        {"room": "general", "broadcast": True},
        {"userIds": ["1"], "room": "general", "broadcast": True},
    ],
)
def test_audience_must_be_exactly_one(fields: dict[str, Any]) -> None:
    assert "exactly one of" in refusal(**fields)


@pytest.mark.parametrize(("number", "text"), [(42, "42"), (0, "0"), (-7, "-7"), (10**30, str(10**30))])
def test_number_means_its_text(number: int, text: str) -> None:
    assert audience(userId=number) == [text]
    assert audience(userIds=[number, text]) == [text]
    assert accepted(PushEvent.model_validate({"data": 1, "room": number})).topic == f"chat:{text}"
    push = PushEvent.model_validate_json(f'{{"data": 1, "userId": {number}, "topic": "client"}}')
    assert accepted(push).keys == (f"client\x1f@{text}",)


@pytest.mark.parametrize("field", ["userId", "room"])
@pytest.mark.parametrize(
    "name", ["", "a\n", "\r", "a\x00b", "\x1f", "\x7f", "x" * (MAX_NAME + 1), True, ["1"], {"a": 1}, "\ud800"]
)
def test_name_must_be_1_to_128_characters_without_controls(field: str, name: object) -> None:
    refusal(**{field: name})
    refusal(userIds=["1", name])


@pytest.mark.parametrize("name", ["x" * MAX_NAME, "é" * MAX_NAME, "\U0001f600" * MAX_NAME, " ", "*", "@1"])
def test_name_may_be(name: str) -> None:
    assert audience(userId=name) == [name]
    assert accepted(PushEvent(data=1, room=name)).topic == f"chat:{name}"


def test_users_are_bounded() -> None:
    assert audience(userIds=[str(n) for n in range(MAX_USERS)]) == [str(n) for n in range(MAX_USERS)]
    refusal(userIds=[str(n) for n in range(MAX_USERS + 1)])
    refusal(userIds=[])


# -- topics ----------------------------------------------------------------------------------------


def test_topic_is_app_unless_said() -> None:
    assert accepted(PushEvent(data=1, broadcast=True)).topic == "app"
    assert accepted(PushEvent(data=1, topic="client", user_id="1")).topic == "client"


@pytest.mark.parametrize("topic", ["chat", "chat:general"])
def test_room_may_name_its_own_topic(topic: str) -> None:
    assert accepted(PushEvent(data=1, room="general", topic=topic)).topic == "chat:general"


@pytest.mark.parametrize("topic", ["chat:other", "chat:", "client", "realtime", ""])
def test_room_with_another_topic_is_refused(topic: str) -> None:
    refusal(room="general", topic=topic)

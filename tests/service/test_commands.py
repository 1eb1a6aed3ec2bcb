"""What each command says, and for whom: models into events, without HTTP."""

from typing import Any

import pytest
from pydantic import ValidationError

from sse_push.events.event import MAX_USERS
from sse_push.service.commands import MAX_TEXT, AppPush, SendChat, SendNotification, UpdateEntity
from sse_push.service.identity import Caller

NOW = "2026-01-18T10:30:00.000Z"


def test_push_is_for_its_user_and_as_sent() -> None:
    sent = {"message": "hi", "userId": 42, "more": 1}

    event = AppPush.model_validate(sent).event(sent)

    assert (event.full_topic, event.user_id, event.data) == ("app", "42", sent)


SAID = {
    SendNotification: {"title": "t", "message": "m", "type": "info"},
    UpdateEntity: {"entityType": "order", "entityId": "7", "action": "deleted", "data": None},
}


@pytest.mark.parametrize("model", SAID)
@pytest.mark.parametrize(
    ("audience", "users", "broadcast"),
    [
        ({}, None, True),
        ({"userId": 1}, ["1"], False),
        ({"userIds": [1, "2"]}, ["1", "2"], False),
        ({"userId": "3", "userIds": ["1", "3"]}, ["3", "1"], False),
    ],
)
def test_command_is_for_the_users_it_names_or_for_everyone(
    model: type[SendNotification | UpdateEntity],
    audience: dict[str, Any],
    users: list[str] | None,
    broadcast: bool,
) -> None:
    event = model.model_validate({**SAID[model], **audience}).event(NOW)

    assert (event.user_ids, event.broadcast) == (users, broadcast)
    assert event.data == {**SAID[model], "timestamp": NOW}


@pytest.mark.parametrize("model", SAID)
@pytest.mark.parametrize(
    "audience",
    [
        {"userIds": []},
        {"userId": ""},
        {"userIds": ["\n"]},
        {"userId": "x", "userIds": [str(number) for number in range(MAX_USERS)]},
    ],
)
def test_command_for_nobody_or_for_too_many_is_refused(
    model: type[SendNotification | UpdateEntity], audience: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({**SAID[model], **audience})


def test_update_names_its_entity_by_text() -> None:
    body = {"entityType": "order", "entityId": 7, "action": "deleted", "data": None}
    event = UpdateEntity.model_validate(body).event(NOW)

    assert event.full_topic == "realtime"
    assert event.data == {**body, "entityId": "7", "timestamp": NOW}


@pytest.mark.parametrize(("name", "shown"), [("Ann", "Ann"), ("", "42")])
def test_chat_message_bears_its_author(name: str, shown: str) -> None:
    command = SendChat.model_validate({"roomId": "general", "message": "hi"})
    event = command.event(Caller("42", name=name), NOW)

    assert event.full_topic == "chat:general"
    assert event.data == {
        "roomId": "general",
        "message": "hi",
        "userId": "42",
        "username": shown,
        "timestamp": NOW,
    }


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (SendNotification, {"title": "x" * (MAX_TEXT + 1), "message": "m", "type": "info"}),
        (SendNotification, {"title": "t", "message": "x" * (MAX_TEXT + 1), "type": "info"}),
        (SendChat, {"roomId": "r", "message": "x" * (MAX_TEXT + 1)}),
        (SendChat, {"roomId": "r", "message": "m", "username": "another"}),
        (
            UpdateEntity,
            {"entityType": "t", "entityId": "1", "action": "created", "data": 1, "timestamp": NOW},
        ),
    ],
)
def test_command_of_another_form_is_refused(model: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)

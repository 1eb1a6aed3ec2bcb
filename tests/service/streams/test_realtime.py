"""Topic ``realtime``: narrowed by keys, so that other entities cost nothing."""

from typing import Any

import pytest

from sse_push.events.topics import event_keys
from sse_push.service.identity import Caller
from sse_push.service.streams.realtime import TOPIC, RealtimeParams, RealtimeStream
from tests.conftest import SettingsFactory

USER = Caller("42", frozenset(["user"]))


@pytest.mark.parametrize(
    ("params", "data", "gets"),
    [
        ({}, {"entityType": "order", "entityId": "1"}, True),
        ({}, {}, True),
        ({}, "text", True),
        ({"entityType": "order"}, {"entityType": "order", "entityId": "1"}, True),
        ({"entityType": "order"}, {"entityType": "user", "entityId": "1"}, False),
        ({"entityType": "order"}, {"entityId": "order"}, False),
        ({"entityType": "order"}, "text", False),
        ({"entityId": "1"}, {"entityType": "order", "entityId": 1}, True),
        ({"entityId": "1"}, {"entityType": "1", "entityId": "2"}, False),
        ({"entityType": "order", "entityId": "1"}, {"entityType": "order", "entityId": "1"}, True),
        ({"entityType": "order", "entityId": "1"}, {"entityType": "order", "entityId": "2"}, False),
        ({"entityType": "order", "entityId": "1"}, {"entityType": "order"}, False),
    ],
)
@pytest.mark.parametrize(("users", "mine"), [(None, True), (["42"], True), (["43"], False)])
def test_filter_and_event_share_one_key_or_none(
    settings_for: SettingsFactory,
    params: dict[str, str],
    data: Any,
    gets: bool,
    users: list[str] | None,
    mine: bool,
) -> None:
    where = RealtimeStream().filter(USER, RealtimeParams.model_validate(params), settings_for())
    shared = set(where.keys) & set(event_keys(TOPIC, TOPIC.name, users, data))

    assert len(shared) == (1 if gets and mine else 0)

"""Topics ``chat:ROOM``: for those allowed in the room."""

import pytest
from pydantic import ValidationError

from sse_push.events.errors import Forbidden, Unauthenticated
from sse_push.service.identity import ANONYMOUS, Caller
from sse_push.service.streams.chat import ChatParams, ChatStream, require_room, room_topic
from tests.conftest import SettingsFactory

USER = Caller("42", frozenset(["user"]))


def test_room_has_a_topic_of_its_own(settings_for: SettingsFactory) -> None:
    where = ChatStream().filter(USER, ChatParams(room="general"), settings_for())

    assert set(where.keys) == {"chat:general\x1f*", "chat:general\x1f@42"}
    assert room_topic("a:b") == "chat:a:b"


def test_room_that_is_closed_is_forbidden(settings_for: SettingsFactory) -> None:
    with pytest.raises(Forbidden):
        require_room(USER, "staff", settings_for())
    with pytest.raises(Unauthenticated):
        require_room(ANONYMOUS, "general", settings_for())
    assert require_room(USER, "staff", settings_for(open_rooms="*")) == "42"


@pytest.mark.parametrize("room", ["", "x" * 129, "a\x1f*", "a\nb"])
def test_room_name_that_could_reach_other_keys_is_refused(room: str) -> None:
    with pytest.raises(ValidationError):
        ChatParams(room=room)


def test_many_opens_the_room_that_its_topic_names() -> None:
    assert ChatStream().params_for(USER, "general") == ChatParams(room="general")
    with pytest.raises(ValidationError):
        ChatStream().params_for(USER, "")

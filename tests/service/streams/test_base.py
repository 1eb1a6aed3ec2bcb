"""What a stream is by default: its topic, for its caller; anyone's only where it says so."""

from typing import ClassVar

import pytest

from sse_push.events.errors import Unauthenticated
from sse_push.events.topics import Topic
from sse_push.service.identity import ANONYMOUS, Caller
from sse_push.service.settings import Settings
from sse_push.service.streams.base import Params, Stream
from tests.conftest import SettingsFactory

USER = Caller("42", frozenset(["user"]))


class Plain(Stream):
    name = "plain"
    path = "/plain"
    topic = Topic("plain")
    summary = "For users."


class Open(Plain):
    anyone: ClassVar[bool] = True


@pytest.fixture
def settings(settings_for: SettingsFactory) -> Settings:
    return settings_for()


def test_stream_is_for_its_caller_and_for_all(settings: Settings) -> None:
    where = Plain().filter(USER, Params(), settings)

    assert where.user == "42"
    assert set(where.keys) == {"plain\x1f*", "plain\x1f@42"}


def test_stream_wants_a_token(settings: Settings) -> None:
    with pytest.raises(Unauthenticated):
        Plain().filter(ANONYMOUS, Params(), settings)


def test_stream_for_anyone_gives_strangers_what_is_for_all(settings: Settings) -> None:
    assert Open().filter(ANONYMOUS, Params(), settings).keys == ("plain\x1f*",)
    assert Open().filter(USER, Params(), settings).user == "42"


def test_parameters_that_are_not_known_are_ignored() -> None:
    assert Params.model_validate({"token": "x", "_": "1"}) == Params()

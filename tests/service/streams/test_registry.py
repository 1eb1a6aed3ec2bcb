"""The registry: every stream is whole, and names, paths and topics do not collide."""

import pytest
from pydantic import BaseModel

from sse_push.service.streams import BY_TOPIC, STREAMS, TOPICS, SampledStream, SessionStream, Stream


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_stream_is_whole(stream: Stream) -> None:
    assert stream.path.startswith("/")
    assert stream.summary.endswith(".")
    assert stream.payloads
    assert all(issubclass(payload, BaseModel) for payload in stream.payloads)


def test_names_and_paths_are_unique() -> None:
    assert (
        len({stream.name for stream in STREAMS}) == len({stream.path for stream in STREAMS}) == len(STREAMS)
    )


def test_topics_are_those_of_the_contract() -> None:
    assert TOPICS.keys() >= {"app", "client", "notifications", "realtime", "chat", "system", "custom"}


def test_streams_of_one_topic_agree_on_it() -> None:
    assert all(TOPICS[stream.topic.name] == stream.topic for stream in STREAMS)


def test_topic_is_given_by_its_first_stream() -> None:
    assert BY_TOPIC["app"].name == "app"
    assert BY_TOPIC.keys() == TOPICS.keys()


def test_sampled_and_attended_streams_are_neither_kept_nor_published_to() -> None:
    for stream in STREAMS:
        own = isinstance(stream, SampledStream | SessionStream)
        assert stream.topic.durable is not own
        assert stream.topic.publishable is not own

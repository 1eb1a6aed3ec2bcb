"""Events made the way the service makes them: emitted as ``sse.push``, published by the pipeline.

What becomes of one (``accepted``), what its reader gets (``sent``), whom it is for (``audience``), or why it is
not taken (``refusal``).
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from pydantic import ValidationError

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.errors import BadEvent
from sse_push.events.event import Event, PushEvent
from sse_push.events.pipeline import Pipeline
from sse_push.events.topics import Topic, filter_keys
from sse_push.events.validation import Validator
from tests.events.fakes import CallbackListener, Clock, MemoryEngine
from tests.events.reference import Message, parse_stream

TOPICS = {
    topic.name: topic for topic in (Topic("app", whole=True), Topic("client"), Topic("chat", per_room=True))
}
MAX_BYTES = 64 * 1024
NOW = 1_700_000_000.0
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


class _Receipt:
    """Enough of a future to hear of a refusal."""

    error: Exception | None = None

    def done(self) -> bool:
        return False

    def set_exception(self, error: Exception) -> None:
        self.error = error

    def set_result(self, ids: list[str]) -> None:
        pass


def accepted(push: PushEvent, max_bytes: int = MAX_BYTES) -> Event:
    """The event that *push* becomes.

    Raises:
        BadEvent: It is refused.
    """
    emitter, engine, receipt = Emitter(), MemoryEngine(), _Receipt()
    validator = Validator(TOPICS, max_bytes=max_bytes, max_keys=6000, clock=Clock(NOW))
    pipeline = Pipeline(validator, engine, CallbackListener())
    pipeline.open()
    emitter.on(SSE_PUSH, pipeline.on_push)
    emitter.emit(SSE_PUSH, push, receipt=receipt)
    if receipt.error is not None:
        assert engine.events == []
        raise receipt.error
    (event,) = engine.events
    return event


def sent(data: Any, **more: Any) -> Message:
    """What a reader gets of *data*."""
    more = more or {"broadcast": True}
    stream = parse_stream(accepted(PushEvent(data=data, **more)).frame())
    assert stream.unknown == [] and stream.comments == []
    (message,) = stream.messages
    return message


def refusal(**fields: Any) -> str:
    """Why an event of *fields* is refused, by the model or when it is taken."""
    with pytest.raises((ValidationError, BadEvent)) as caught:
        accepted(PushEvent.model_validate({"data": 1, **fields}))
    return str(caught.value)


def audience(**fields: Any) -> list[str] | None:
    """The users that an event of *fields* is for, in the order of its keys; ``None`` is everybody."""
    event = accepted(PushEvent.model_validate({"data": 1, "topic": "client", **fields}))
    if event.keys == filter_keys(event.topic, None):
        return None
    return [key.removeprefix(f"{event.topic}\x1f@") for key in event.keys]

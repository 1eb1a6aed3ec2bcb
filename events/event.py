"""An event on its way: encoded once when it is accepted, framed once when it is delivered.

``PushEvent`` is what a publisher says (validated by pydantic); ``Event`` is what the service
carries, keeps and writes. Neither knows who listens.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError, from_json, to_json

from sse_push.events import wire
from sse_push.events.errors import BadEvent, EventTooLarge
from sse_push.events.fingerprint import fingerprint_of
from sse_push.events.json_text import TOO_DEEP, Encoded, fields_of, is_json, is_too_deep
from sse_push.events.topics import MAX_NAME, Topic, event_keys

MAX_USERS = 1000  # users one event may name; each costs a routing key in the index
MAX_KEY = 256  # characters of an idempotency key: room for a UUID or a URL-like name
RESERVED = "sse."  # event names the service alone may send (sse.gap, sse.expired)
_AROUND = len(b"id: \ndata: \n\n")  # what a frame has around its id and its data


def _event_name(value: str) -> str:
    if not wire.is_field_safe(value):
        raise ValueError("must not hold CR, LF or NUL")
    if value.startswith(RESERVED):
        raise ValueError(f"names beginning with {RESERVED!r} are the service's own")
    return value


# Written for pydantic's own matcher, as sse_push.events.topics.is_name: a call of Python for each user costs more.
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]
EventName = Annotated[str, Field(min_length=1, max_length=wire.MAX_EVENT_NAME), AfterValidator(_event_name)]


class PushEvent(BaseModel):
    """One event to push, as ``POST /v1/events`` takes it and ``emitter.emit("sse.push", ...)`` too.

    Exactly one of ``userId``, ``userIds``, ``room`` and ``broadcast`` says who it is for.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        json_schema_extra={"examples": [{"userId": "42", "data": {"message": "hello"}}]},
    )

    data: Any = Field(description="Any JSON. Text goes out as that text, all else as compact JSON.")
    topic: str = Field(default="app", max_length=MAX_NAME + 5, description="Where it belongs.")
    event: EventName | None = Field(default=None, description="The frame's `event:` name.")
    user_id: Name | None = Field(default=None, alias="userId", description="For one user.")
    user_ids: Annotated[list[Name], Field(min_length=1, max_length=MAX_USERS)] | None = Field(
        default=None, alias="userIds", description="For these users."
    )
    room: Name | None = Field(default=None, description="For a chat room; the topic is chat:ROOM.")
    broadcast: bool = Field(default=False, description="For everybody.")
    ttl: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Seconds it may be replayed."
    )
    key: str | None = Field(
        default=None, min_length=1, max_length=MAX_KEY, description="Publishes once, however often sent."
    )

    @property
    def full_topic(self) -> str:
        return self.topic if self.room is None else f"chat:{self.room}"

    def data_json(self) -> bytes:
        """Its data as one line of JSON.

        Raises:
            BadEvent: It can't be written as JSON (NaN, an object of no JSON type, half a surrogate).
        """
        if type(self.data) is Encoded:
            return self.data
        try:
            data = to_json(self.data)
        except (PydanticSerializationError, UnicodeEncodeError, ValueError) as error:
            raise BadEvent(f"data can't be written as JSON: {error}") from error
        if (b"NaN" in data or b"Infinity" in data) and not is_json(data):  # most often in a text, if at all
            raise BadEvent("data holds NaN or Infinity, which JSON can't")
        return data

    def with_key(self, key: str, asked: str | None = None) -> "KeyedPushEvent":
        """The same event with the idempotency key *key*.

        Args:
            asked: The fingerprint of the request that the event was made from, where that is not the event itself.

        Raises:
            ValidationError: It is no key.
        """
        fields = self.model_dump(exclude_unset=True, exclude={"data"})
        return KeyedPushEvent.model_validate({**fields, "data": self.data, "key": key, "asked": asked})


class KeyedPushEvent(PushEvent):
    """An event with an idempotency key, made from a request that a publisher may send again.

    Attributes:
        asked: The request's fingerprint. A retry has the same, though the event may differ: in its timestamp, say.
    """

    asked: str | None = None


class Event(msgspec.Struct, eq=False, gc=False):
    """An event with its routing keys and its encoded data; the engine gives it its number and id.

    Attributes:
        topic: Its full name, ``chat:general`` say.
        keys: Routing keys (:mod:`sse_push.events.topics`).
        name: The frame's ``event:``, or ``None``.
        data: Its payload as one line of JSON.
        at: When it was accepted, in seconds since the Unix epoch.
        expires: When it may no longer be replayed, or ``None``.
        key: The publisher's idempotency key.
        fingerprint: What the key is used for (:mod:`sse_push.events.fingerprint`); ``None`` compares with nothing.
        durable: It gets a number and can be replayed (:attr:`sse_push.events.topics.Topic.durable`).
        local: It stays on this node (:attr:`sse_push.events.topics.Topic.local`).
        seq: Its place in the store's one order; 0 until it is kept, and for ever if it never is.
    """

    # A Struct is made in C, in a fifth of the time, and holds nothing that could be part of a cycle.
    topic: str
    keys: tuple[str, ...]
    data: bytes
    name: str | None = None
    at: float = 0.0
    expires: float | None = None
    key: str | None = None
    durable: bool = True
    local: bool = False
    seq: int = 0
    id: str | None = None
    fingerprint: str | None = None
    _frame: bytes | None = None
    _named: bytes | None = None

    def frame(self) -> bytes:
        """The frame of a stream of one topic: ``event:`` only where the publisher named one."""
        frame = self._frame
        if frame is None:
            data, id_ = self.data, self.id
            if self.name is None and id_ is not None and data[:1] != b'"':  # by far the most
                frame = b"id: %b\ndata: %b\n\n" % (id_.encode(), data)
            else:
                frame = wire.frame(_lines(data), id=id_, event=self.name)
            self._frame = frame
        return frame

    def chunk(self) -> bytes:
        """:meth:`frame` as one HTTP chunk, made in one step where nobody asked for the frame before."""
        frame, data, id_ = self._frame, self.data, self.id
        if frame is None and self.name is None and id_ is not None and data[:1] != b'"':
            size = len(id_) + len(data) + _AROUND
            return b"%x\r\nid: %b\ndata: %b\n\n\r\n" % (size, id_.encode(), data)
        return wire.chunk(self.frame())

    def named_frame(self) -> bytes:
        """The frame of a stream of many topics: ``event:`` is the topic, or ``topic/name``."""
        if self._named is None:
            label = self.topic if self.name is None else f"{self.topic}/{self.name}"
            self._named = wire.frame(_lines(self.data), id=self.id, event=label)
        return self._named


class Push(Protocol):
    """What a publisher pushes, however it was read: a :class:`PushEvent`, or a plain one of events/plain.py."""

    @property
    def topic(self) -> str: ...
    @property
    def event(self) -> str | None: ...
    @property
    def user_id(self) -> str | int | None: ...
    @property
    def user_ids(self) -> Sequence[str | int] | None: ...
    @property
    def room(self) -> str | None: ...
    @property
    def broadcast(self) -> bool: ...
    @property
    def ttl(self) -> float | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def full_topic(self) -> str:
        """The topic with its room, ``chat:general`` say."""

    def data_json(self) -> bytes:
        """The data as one line of JSON."""


def encode(push: Push, name: str, topic: Topic, now: float, max_bytes: int) -> Event:
    """Encode *push* once, for however many streams it will go to.

    Args:
        name: Its topic's full name.
        topic: What is true of its topic.
        now: Seconds since the Unix epoch.
        max_bytes: The most its encoded data may take.

    Raises:
        EventTooLarge: The data is over *max_bytes*.
        BadEvent: It is for nobody or for two audiences at once, or its data can't be written as JSON.
    """
    data = data_of(push, max_bytes)
    ttl = push.ttl
    check_audience(push, name)
    keys = _keys_of(push, name, topic, data)
    expires = None if ttl is None else now + ttl
    return Event(name, keys, data, push.event, now, expires, push.key, topic.durable, topic.local)


def data_of(push: Push, max_bytes: int) -> bytes:
    """The encoded data of *push*.

    Raises:
        EventTooLarge: It is over *max_bytes*.
        BadEvent: It is nested too deep, or can't be written as JSON.
    """
    data = push.data_json()
    if len(data) > max_bytes:
        raise EventTooLarge(len(data), max_bytes)
    if is_too_deep(data):
        raise BadEvent(f"data is {TOO_DEEP}")
    return data


def check_audience(push: Push, name: str) -> None:
    """See that *push*, whose topic's full name is *name*, is for one audience.

    Raises:
        BadEvent: It is for nobody, or for two at once.
    """
    # Not the model's check: here it costs half.
    given = (
        (push.user_id is not None) + (push.user_ids is not None) + (push.room is not None) + push.broadcast
    )
    if given != 1:
        raise BadEvent("exactly one of userId, userIds, room and broadcast must be given")
    if push.room is not None and push.topic not in ("app", "chat", name):
        raise BadEvent("room means topic chat:ROOM; leave topic out")


def fingerprint_of_push(push: Push, data: bytes) -> str:
    """What *push* asks for, whose encoded data is *data*: its topic, audience, name, lifetime and data."""
    asked = push.asked if isinstance(push, KeyedPushEvent) else None
    if asked is not None:
        return asked
    users = [push.user_id] if push.user_id is not None else push.user_ids
    return fingerprint_of("events", push.full_topic, push.event, users, push.ttl, data)


def _keys_of(push: Push, name: str, topic: Topic, data: bytes) -> tuple[str, ...]:
    user_id, user_ids = push.user_id, push.user_ids
    users = (user_id,) if user_id is not None else user_ids and tuple(dict.fromkeys(user_ids))
    return event_keys(topic, name, users, _narrowing(data, topic) if topic.narrowed_by else None)


def _narrowing(data: bytes, topic: Topic) -> dict[str, Any]:
    """The fields of *data* by which *topic* is narrowed; the rest is not looked into."""
    fields = fields_of(data) or {}
    return {name: _value(fields[name]) for name in topic.narrowed_by if name in fields}


def _value(text: bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None  # a number of more digits than Python reads: no name of anything


def _lines(data: bytes) -> bytes:
    # JSON text begins with a quote and goes out as that text; all else is already one line.
    return wire.data_lines(from_json(data)) if data[:1] == b'"' else b"data: %b\n" % data

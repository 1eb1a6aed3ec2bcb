"""Events of JSON bodies that say plainly what they mean, read in a sixth of the time that the model takes.

Their data is not parsed: it goes out as the bytes that came, but for white space. Whatever is unusual, or wrong,
is not for this module: ``read_plain`` gives it back unread, and :class:`events.event.PushEvent` mends it or says
what is wrong (docs/design/0005-lean-publish.md). tests/events/test_plain.py holds both to the same answers.
"""

from typing import Annotated, Any

import msgspec
from pydantic_core import from_json

from events import wire
from events.errors import BadEvent
from events.event import MAX_KEY, MAX_USERS, RESERVED, Event
from events.topics import MAX_NAME, Topic, is_name, user_keys

_WHITE_SPACE = (b" ", b"\n", b"\r", b"\t")

_User = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)] | int


class PlainEvent(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """A :class:`events.event.PushEvent` that needed no mending."""

    data: msgspec.Raw
    topic: Annotated[str, msgspec.Meta(max_length=MAX_NAME + 5)] = "app"
    event: Annotated[str, msgspec.Meta(min_length=1, max_length=wire.MAX_EVENT_NAME)] | None = None
    user_id: _User | None = None
    user_ids: Annotated[list[_User], msgspec.Meta(min_length=1, max_length=MAX_USERS)] | None = None
    room: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)] | None = None
    broadcast: bool = False
    ttl: Annotated[float, msgspec.Meta(gt=0)] | None = None
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)] | None = None

    @property
    def full_topic(self) -> str:
        return self.topic if self.room is None else f"chat:{self.room}"

    def data_json(self) -> bytes:
        """Its data as one line of JSON."""
        return bytes(self.data)

    def value(self) -> Any:
        """Its data.

        Raises:
            BadEvent: It holds a number of more digits than Python reads.
        """
        try:
            return from_json(bytes(self.data))
        except ValueError as error:
            raise BadEvent(f"data can't be read: {error}") from error


_one = msgspec.json.Decoder(PlainEvent)
_many = msgspec.json.Decoder(list[PlainEvent])


def read_plain(body: bytes, *, is_list: bool) -> list[PlainEvent] | None:
    """The events of *body*, or ``None`` where the model must look at it."""
    try:
        if not body.isascii():
            body.decode()  # what is not parsed is not decoded either
        if any(space in body for space in _WHITE_SPACE):
            body = msgspec.json.format(body, indent=-1)
        events = _many.decode(body) if is_list else [_one.decode(body)]
    except (ValueError, RecursionError):  # msgspec's errors and Unicode's are ValueErrors
        return None
    return events if all(map(_is_plain, events)) else None


def encode_plain(push: PlainEvent, topic: Topic, now: float, max_bytes: int) -> Event | None:
    """What :func:`events.event.encode` makes of an event that is just for one user, in one step; else ``None``."""
    user = push.user_id
    if (
        user is None
        or push.user_ids is not None
        or push.room is not None
        or push.broadcast
        or push.ttl is not None
        or push.key is not None
        or topic.narrowed_by
    ):
        return None
    data = bytes(push.data)
    if len(data) > max_bytes:
        return None
    name = push.topic
    return Event(
        name, user_keys(topic, name, user), data, push.event, now, None, None, topic.kept, topic.local
    )


def _is_plain(event: PlainEvent) -> bool:
    user, users, name = event.user_id, event.user_ids, event.event
    if user is not None:
        if not isinstance(user, str):
            event.user_id = user = str(user)
        # Most names can be printed; those that can't may hold controls, or be a space of another kind.
        if not user.isprintable() and not is_name(user):
            return False
    if users is not None:
        names = [str(user) for user in users]
        event.user_ids = [*names]
        if not all(map(is_name, names)):
            return False
    if name is not None and (not wire.is_field_safe(name) or name.startswith(RESERVED)):
        return False
    return event.room is None or is_name(event.room)

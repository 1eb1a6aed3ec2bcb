"""Events of JSON bodies that say plainly what they mean, read in a sixth of the time that the model takes.

Their data is not parsed: it goes out as the bytes that came, but for white space. Whatever is unusual, or wrong,
is not for this module: ``read_plain`` gives it back unread, and :class:`sse_push.events.event.PushEvent` mends it or says
what is wrong (docs/design/0005-lean-publish.md). tests/events/test_plain.py holds both to the same answers.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Annotated, ClassVar, TypeAlias, cast

import msgspec

from sse_push.events import wire
from sse_push.events.event import MAX_KEY, MAX_USERS, RESERVED, Event
from sse_push.events.group import EventColumns
from sse_push.events.json_text import compact, is_any_too_deep, is_too_deep
from sse_push.events.topics import MAX_NAME, Topic, is_name, shared_keys, user_keys

_QUOTE = b'"'[0]

# A number of any length could be longer than a name may be: longer ones are the model's.
_User = (
    Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
)


class _Plain(msgspec.Struct, gc=False):
    data: msgspec.Raw

    def data_json(self) -> bytes:
        """Its data as one line of JSON."""
        return bytes(self.data)


class PlainEvent(_Plain, rename="camel", forbid_unknown_fields=True, gc=False):
    """A :class:`sse_push.events.event.PushEvent` that needed no mending."""

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


class PlainUserEvent(_Plain, rename="camel", forbid_unknown_fields=True, gc=False):
    """One that is for a user, and says no more: most of what comes in lists. Fewer fields are read sooner."""

    user_id: _User
    topic: Annotated[str, msgspec.Meta(max_length=MAX_NAME + 5)] = "app"

    event: ClassVar[None] = None
    user_ids: ClassVar[None] = None
    room: ClassVar[None] = None
    broadcast: ClassVar[bool] = False
    ttl: ClassVar[None] = None
    key: ClassVar[None] = None

    @property
    def full_topic(self) -> str:
        return self.topic


Plain: TypeAlias = PlainEvent | PlainUserEvent

_one = msgspec.json.Decoder(PlainEvent)
_many = msgspec.json.Decoder(list[PlainEvent])
_one_for_user = msgspec.json.Decoder(PlainUserEvent)
_many_for_users = msgspec.json.Decoder(list[PlainUserEvent])
_topic: Callable[[PlainUserEvent], str] = attrgetter("topic")
_user: Callable[[PlainUserEvent], str | int] = attrgetter("user_id")
_data: Callable[[PlainUserEvent], msgspec.Raw] = attrgetter("data")
_first_byte: Callable[[bytes], int] = itemgetter(0)


def read_plain(body: bytes, *, is_list: bool) -> Sequence[Plain] | None:
    """The events of *body*, or ``None`` where the model must look at it."""
    try:
        if not body.isascii():
            body.decode()  # what is not parsed is not decoded either
        body = compact(body)
        if (for_users := _for_users(body, is_list=is_list)) is not None:
            return for_users
        events = _many.decode(body) if is_list else [_one.decode(body)]
    except (ValueError, RecursionError):  # msgspec's errors and Unicode's are ValueErrors
        return None
    return events if all(map(_is_plain, events)) else None


def _for_users(body: bytes, *, is_list: bool) -> list[PlainUserEvent] | None:
    """The events of *body* if each is for a user and says no more; it stops at the first that is not."""
    if b'"userId"' not in body:
        return None
    try:
        events = _many_for_users.decode(body) if is_list else [_one_for_user.decode(body)]
    except (ValueError, RecursionError):
        return None
    users = _users_of(events)
    return events if "".join(users).isprintable() or all(map(is_name, users)) else None


def batch_plain(
    pushes: Sequence[PlainUserEvent], topic: Topic, now: float, max_bytes: int
) -> EventColumns | None:
    """*pushes* as one batch of *topic*; ``None`` where each has to be looked at."""
    if {*map(_topic, pushes)} != {topic.name} or topic.narrowed_by:
        return None
    data = [*map(bytes, map(_data, pushes))]
    longest = max(map(len, data))
    if longest > max_bytes or _QUOTE in map(_first_byte, data) or is_any_too_deep(data, longest):
        return None
    return EventColumns(topic.name, shared_keys(topic), _users_of(pushes), data, now)


def fits_batch(push: PlainUserEvent, topic: Topic, max_bytes: int) -> bool:
    """Whether :func:`batch_plain` takes *push*, with others of its topic that fit."""
    data = bytes(push.data)
    return not topic.narrowed_by and len(data) <= max_bytes and data[0] != _QUOTE and not is_too_deep(data)


def _users_of(events: Sequence[PlainUserEvent]) -> list[str]:
    users = [*map(_user, events)]
    if {*map(type, users)} == {str}:  # by far the most
        return cast("list[str]", users)
    return [*map(str, users)]


def encode_plain(push: Plain, topic: Topic, now: float, max_bytes: int) -> Event | None:
    """What :func:`sse_push.events.event.encode` makes of an event that is just for one user, in one step; else ``None``."""
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
    if len(data) > max_bytes or is_too_deep(data):
        return None
    name = push.topic
    return Event(
        name, user_keys(topic, name, user), data, push.event, now, None, None, topic.durable, topic.local
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

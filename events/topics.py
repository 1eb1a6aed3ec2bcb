"""Topics, and the routing keys by which an event finds its streams without asking every one of them.

A routing key is text: the topic, its audience, and field values. An event has a few keys; a filter
has a few keys; an event is for a filter when they share one. By construction they never share two,
so nothing is delivered twice. Knows no stream and no engine.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

MAX_NAME = 128  # characters of a user id, client id or room name (docs/protocol.md)
_SEP = "\x1f"  # ASCII unit separator: names can't hold control characters, so keys can't collide
_EVERYBODY = "*"
# No control characters, and no halves of surrogate pairs, which a token's JSON may hold and UTF-8 can't.
_NAME = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{MAX_NAME}}}")


@dataclass(frozen=True, slots=True)
class Topic:
    """What is true of all events of one topic.

    Attributes:
        name: The topic, or what comes before the colon of ``chat:ROOM``.
        durable: Events get an id and can be replayed. Others begin afresh with each connection.
        local: Events stay on the node that they come from: each node says how it is itself. Never kept.
        per_room: Written ``name:ROOM``.
        whole: Some streams (an admin's) take the topic whole, whoever the events are for.
        narrowed_by: Fields of ``data`` by which a stream may narrow what it takes.
        publishable: Other services may publish to it.
    """

    name: str
    durable: bool = True
    local: bool = False
    per_room: bool = False
    whole: bool = False
    narrowed_by: tuple[str, ...] = ()
    publishable: bool = True


def unknown_topics(shown: str, topics: Iterable[Topic]) -> str:
    """The error text for topics that do not exist: *shown*, and the *topics* that there are."""
    there_are = ", ".join(f"{topic.name}:ROOM" if topic.per_room else topic.name for topic in topics)
    return f"unknown topic: {shown}; there are {there_are}"


def is_name(text: str) -> bool:
    """Whether *text* may name a user, client, room or entity: 1 to 128 characters, none a control."""
    return _NAME.fullmatch(text) is not None


def as_name(value: object) -> str | None:
    """The text of a name given as text or as a number (42 is "42"), ``None`` if it is no name."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if is_name(text) else None


def event_keys(
    topic: Topic, full_name: str, users: Sequence[str | int] | None, data: Any = None
) -> tuple[str, ...]:
    """The routing keys of one event.

    Args:
        topic: What is true of its topic.
        full_name: The topic as written, ``chat:general`` say.
        users: The audience; ``None`` is everybody.
        data: Its payload, where :attr:`Topic.narrowed_by` looks for fields.
    """
    if users is None:
        keys = [f"{full_name}{_SEP}{_EVERYBODY}"]
    elif len(users) == 1 and not topic.narrowed_by:  # by far the most
        return user_keys(topic, full_name, users[0])
    else:
        keys = [f"{full_name}{_SEP}@{user}" for user in users]
    if topic.whole:
        keys.append(full_name)
    if topic.narrowed_by and isinstance(data, Mapping):
        abouts = _abouts(topic, data)
        keys = [key + about for key in keys for about in abouts]
    return tuple(keys)


def user_keys(topic: Topic, full_name: str, user: str | int) -> tuple[str, ...]:
    """:func:`event_keys` of an event for *user*, on a topic that nothing narrows."""
    key = f"{full_name}\x1f@{user}"  # _SEP, as a constant
    return (key, full_name) if topic.whole else (key,)


def shared_keys(topic: Topic) -> tuple[str, ...]:
    """All but the first of :func:`user_keys`, which users of a topic share."""
    return (topic.name,) if topic.whole else ()


def keys_of_users(full_name: str, users: Sequence[str]) -> list[str]:
    """The first of :func:`user_keys` for each of *users*."""
    return [*map(f"{full_name}\x1f@".__add__, users)]


def filter_keys(
    full_name: str,
    user: str | None,
    *,
    whole: bool = False,
    about: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """The routing keys of a filter: what is for everybody, and for *user* where one is named."""
    narrowed = "".join(_about(field, value) for field, value in sorted((about or {}).items()))
    if whole:
        return (full_name + narrowed,)
    everybody = full_name + _SEP + _EVERYBODY + narrowed
    return (everybody,) if user is None else (everybody, full_name + _SEP + "@" + user + narrowed)


def topic_of_key(key: str) -> str:
    """The full name of the topic that a routing key is of."""
    return key.partition(_SEP)[0]


def _about(field: str, value: str) -> str:
    return f"{_SEP}{field}={value}"


def _abouts(topic: Topic, data: Mapping[str, Any]) -> list[str]:
    """Every way a filter may narrow to this event: by none of its fields, or by any of them."""
    choices: list[tuple[str, ...]] = [("",)]
    for field in sorted(topic.narrowed_by):
        value = as_name(data.get(field))
        choices.append(("",) if value is None else ("", _about(field, value)))
    return ["".join(parts) for parts in product(*choices)]

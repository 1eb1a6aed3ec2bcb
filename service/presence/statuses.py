"""The events of topic ``presence``. Knows their format; does not know who gets them.

The formats are the models of service/streams/presence.py. In a login storm one status is sent a thousand times: its text is
cached.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from sse_push.events.event import Event, PushEvent
from sse_push.events.topics import event_keys
from sse_push.service.streams.presence import TOPIC, Connected, Heartbeat, Initial, StatusChange
from sse_push.service.timestamps import timestamp

if TYPE_CHECKING:
    from sse_push.service.presence.friend_lists import FriendList

TEXTS = 16_384  # statuses cached, some 150 bytes each


def status(user: int, active: float | None, seen: float | None) -> dict[str, Any]:
    """The status of *user*, in the form of ``StatusChange``.

    Args:
        active: When they were last active; ``None`` for one who is offline.
        seen: When one who is offline was last seen; ``None`` for never.
    """
    if active is not None:
        return {"user_id": user, "is_online": True, "last_activity": timestamp(active)}
    if seen is not None:
        return {"user_id": user, "is_online": False, "last_seen": timestamp(seen)}
    return {"user_id": user, "is_online": False}


@lru_cache(maxsize=TEXTS)
def _text(user: int, active: float | None, seen: float | None) -> str:
    return to_json(status(user, active, seen)).decode()


def change(user: int, active: float | None, seen: float | None, audience: Collection[int]) -> PushEvent:
    """The status of *user* for *audience*, which is not empty."""
    users = [str(friend) for friend in audience]
    data = status(user, active, seen)
    return PushEvent(topic=TOPIC.name, event=StatusChange.event_name, user_ids=users, data=data)


def initial(user: int, friend_list: "FriendList", present: Mapping[int, float], now: float) -> Event:
    """The status of all friends of *user*. It may exceed the limit for publishers."""
    told = [
        f'"{friend}":{_say(friend, present.get(friend), friend_list[friend])}'
        for friend in sorted(friend_list)
    ]
    return _event([user], Initial.event_name, f"{{{','.join(told)}}}", now)


def connected(user: int, now: float) -> Event:
    """The first event of a stream of *user*."""
    data = Connected(user_id=user, timestamp=timestamp(now))
    return _event([user], data.event_name, data.model_dump_json(), now)


def heartbeat(users: Collection[int], now: float) -> Event:
    data = Heartbeat(timestamp=timestamp(now))
    return _event(users, data.event_name, data.model_dump_json(), now)


def _say(friend: int, active: float | None, seen: float | None) -> str:
    return _text(friend, active, None) if active is not None else _text(friend, None, seen)


def _event(users: Collection[int], name: str, data: str, now: float) -> Event:
    """An event of this node's own, for streams here."""
    keys = event_keys(TOPIC, TOPIC.name, list(users))
    return Event(TOPIC.name, keys, data.encode(), name, now, durable=False, local=True)

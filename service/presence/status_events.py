"""Builds the events of topic ``presence``. Knows their form; does not know who gets them.

In a login storm the status of one user goes to a thousand friends: its JSON text is cached for as long as it holds.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from sse_push.events.event import Event, PushEvent
from sse_push.events.topics import event_keys
from sse_push.service.presence.payloads import TOPIC, Connected, Heartbeat, Initial, StatusChange
from sse_push.service.timestamps import timestamp

CACHED_STATUSES = 16_384  # statuses whose text is cached: some 150 bytes each


def status(user: int, last_active: float | None, last_seen: float | None) -> dict[str, Any]:
    """The status of *user*, in the form of ``StatusChange``.

    Args:
        last_active: When they were last active; ``None`` for one who is offline.
        last_seen: When one who is offline was last seen; ``None`` for never.
    """
    if last_active is not None:
        return {"user_id": user, "is_online": True, "last_activity": timestamp(last_active)}
    if last_seen is not None:
        return {"user_id": user, "is_online": False, "last_seen": timestamp(last_seen)}
    return {"user_id": user, "is_online": False}


@lru_cache(maxsize=CACHED_STATUSES)
def _status_json(user: int, last_active: float | None, last_seen: float | None) -> str:
    return to_json(status(user, last_active, last_seen)).decode()


def status_change(
    user: int, last_active: float | None, last_seen: float | None, audience: Collection[int]
) -> PushEvent:
    """The status of *user*, for the users of *audience*, which must not be empty."""
    user_ids = [str(friend) for friend in audience]
    data = status(user, last_active, last_seen)
    return PushEvent(topic=TOPIC.name, event=StatusChange.event_name, user_ids=user_ids, data=data)


def initial(
    user: int, friend_list: Mapping[int, float | None], online: Mapping[int, float], now: float
) -> Event:
    """The statuses of all friends of *user*. It may exceed the size limit of published events.

    Args:
        friend_list: When each friend was last seen.
        online: When each online user was last active.
    """
    statuses = [
        f'"{friend}":{_friend_json(friend, online.get(friend), friend_list[friend])}'
        for friend in sorted(friend_list)
    ]
    return _local_event([user], Initial.event_name, f"{{{','.join(statuses)}}}", now)


def connected(user: int, now: float) -> Event:
    """The first event of a stream of *user*."""
    data = Connected(user_id=user, timestamp=timestamp(now))
    return _local_event([user], data.event_name, data.model_dump_json(), now)


def heartbeat(users: Collection[int], now: float) -> Event:
    """A heartbeat for the streams of *users*."""
    data = Heartbeat(timestamp=timestamp(now))
    return _local_event(users, data.event_name, data.model_dump_json(), now)


def _friend_json(friend: int, last_active: float | None, last_seen: float | None) -> str:
    # While online, the last time seen is not shown: one cache entry for each activity.
    return _status_json(friend, last_active, None if last_active is not None else last_seen)


def _local_event(users: Collection[int], name: str, data: str, now: float) -> Event:
    """An event for streams of this node alone."""
    keys = event_keys(TOPIC, TOPIC.name, list(users))
    return Event(TOPIC.name, keys, data.encode(), name, now, durable=False, local=True)

"""Validates what publishers push, and encodes it once. Knows topics and limits; does not know engines or emitters."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from sse_push.events.errors import BadEvent
from sse_push.events.event import Event, Push, PushEvent, check_audience, data_of, encode, fingerprint_of_push
from sse_push.events.faults import together
from sse_push.events.group import EventColumns, EventGroup, EventList
from sse_push.events.plain import PlainEvent, PlainUserEvent, batch_plain, encode_plain, fits_batch
from sse_push.events.topics import Topic, is_name, unknown_topics

_TOO_MANY_KEYS = (
    "up to here the list has over {} routing keys (MAX_ROUTING_KEYS), one for each user of each event at the least:"
    " send it in parts"
)
Check = Callable[[bytes, bool], None]


class Validator:
    """Makes events of what publishers push, or says what is wrong.

    Args:
        topics: By name (:attr:`sse_push.events.topics.Topic.name`).
        max_bytes: Limit of an event's encoded data.
        max_keys: Limit of the routing keys of a list: a store blocks while it stores a list, for each key.
        checks: Further checks by topic. Each gets the data as JSON and whether it comes from outside this process, and
            raises BadEvent. Events of other topics do not pay for them.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        topics: Mapping[str, Topic],
        *,
        max_bytes: int,
        max_keys: int,
        checks: Mapping[str, Check] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._topics = topics
        self._checks = checks or {}
        # Topics whose plain events take the short way.
        self._plain = {
            name: topic for name, topic in topics.items() if not topic.per_room and name not in self._checks
        }
        self._max_bytes = max_bytes
        self._max_keys = max_keys
        self._clock = clock

    def topic_of(self, full_name: str) -> Topic:
        """The topic named *full_name*.

        Raises:
            BadEvent: There is none.
        """
        name, colon, room = full_name.partition(":")
        topic = self._topics.get(name)
        if topic is None or not (is_name(room) if topic.per_room else not colon):
            publishable = [topic for topic in self._topics.values() if topic.publishable]
            raise BadEvent(unknown_topics(repr(full_name[:64]), publishable))
        return topic

    def encode(self, push: Push, publisher: str | None = None) -> Event:
        """Encode one *push*.

        Args:
            publisher: The publisher's id; ``None`` for this process itself. Some topics are closed to publishers from
                outside, and idempotency keys are per publisher.

        Raises:
            BadEvent: It is not valid.
        """
        return self._encode(push, publisher, self._clock())

    def encode_all(self, pushes: Sequence[Push], publisher: str | None) -> EventGroup:
        """Encode *pushes* as one group: all or none.

        Raises:
            BadEvent: The first that is not valid; ``others`` has the rest.
        """
        now = self._clock()
        columns = self._columns_of(pushes, publisher, now)
        if columns is not None and columns.key_count <= self._max_keys:
            return columns
        return self._encode_each(pushes, publisher, now)

    def can_coalesce(self, push: Push) -> bool:
        """Whether *push* is certainly valid and can go to the engine in one group with those of other requests."""
        if type(push) is not PlainUserEvent:
            return False
        topic = self._plain.get(push.topic)
        return (
            topic is not None
            and topic.durable
            and topic.publishable
            and fits_batch(push, topic, self._max_bytes)
        )

    def errors_of(self, push: Push, publisher: str | None) -> list[BadEvent]:
        """All errors of *push*: its topic, audience and data are checked separately."""
        errors: list[BadEvent] = []
        checks: tuple[Callable[[], object], ...] = (
            lambda: self._topic_for(push, publisher),
            lambda: check_audience(push, push.full_topic),
            lambda: data_of(push, self._max_bytes),
            lambda: self._check(self.topic_of(push.full_topic), push.data_json(), publisher),
        )
        for check in checks:
            try:
                check()
            except BadEvent as error:
                if error.detail not in [other.detail for other in errors]:
                    errors.append(error)
        return errors

    def _encode(self, push: Push, publisher: str | None, now: float) -> Event:
        if isinstance(push, PlainEvent | PlainUserEvent):
            topic = self._plain.get(push.topic)
            if topic is not None and (publisher is None or topic.publishable):
                event = encode_plain(push, topic, now, self._max_bytes)
                if event is not None:
                    return event
        elif not isinstance(push, PushEvent):
            raise BadEvent(f"sse.push takes a PushEvent, not a {type(push).__name__}")
        topic, name = self._topic_for(push, publisher)
        event = encode(push, name, topic, now, self._max_bytes)
        self._check(topic, event.data, publisher)
        if push.key is not None:
            # A publisher's id has no control characters, so the first one ends it.
            event.key = f"{publisher or ''}\x1f{event.key}"
            event.fingerprint = fingerprint_of_push(push, event.data)
        return event

    def _topic_for(self, push: Push, publisher: str | None) -> tuple[Topic, str]:
        name = push.topic if push.room is None else push.full_topic
        topic = self._plain.get(name) or self.topic_of(name)
        if publisher is not None and not topic.publishable:
            raise BadEvent(f"topic {topic.name} can't be published to")
        return topic, name

    def _check(self, topic: Topic, data: bytes, publisher: str | None) -> None:
        if (check := self._checks.get(topic.name)) is not None:
            check(data, publisher is not None)

    def _columns_of(self, pushes: Sequence[Push], publisher: str | None, now: float) -> EventColumns | None:
        """*pushes* as columns if they are alike and valid."""
        if {*map(type, pushes)} != {PlainUserEvent}:
            return None
        plain = cast("Sequence[PlainUserEvent]", pushes)
        topic = self._plain.get(plain[0].topic)
        if topic is None or not topic.durable or (publisher is not None and not topic.publishable):
            return None
        return batch_plain(plain, topic, now, self._max_bytes)

    def _encode_each(self, pushes: Sequence[Push], publisher: str | None, now: float) -> EventList:
        events = EventList()
        errors: list[BadEvent] = []
        keys = 0
        for index, push in enumerate(pushes):
            try:
                event = self._encode(push, publisher, now)
                if events and (event.durable, event.local) != (events[0].durable, events[0].local):
                    raise BadEvent("events that are kept and events that are not can't go together")
                events.append(event)
                before, keys = keys, keys + len(event.keys)
                if before <= self._max_keys < keys and index:
                    errors.append(BadEvent(_TOO_MANY_KEYS.format(self._max_keys), index))
            except BadEvent as error:
                found = self.errors_of(push, publisher) if hasattr(push, "data_json") else []
                errors += [each.at(index) for each in found or [error]]
        if errors:
            raise together(errors)
        return events

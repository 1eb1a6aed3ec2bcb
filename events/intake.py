"""Where ``sse.push`` arrives: each event is encoded once and goes to the engine, or, if its topic is
local, straight to the streams. Knows topics and limits; does not know who publishes or who listens.
"""

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import cast

from sse_push.events.batch import EventBatch
from sse_push.events.early import EarlyEvents
from sse_push.events.emitter import SSE_KEPT, SSE_LOST, SSE_PUSH, Emitter
from sse_push.events.engines.base import Engine, Receipt
from sse_push.events.errors import BadEvent, EngineUnavailable, SsePushError
from sse_push.events.event import Event, Push, PushEvent, check_audience, data_of, encode, fingerprint_of_push
from sse_push.events.faults import together
from sse_push.events.plain import PlainEvent, PlainUserEvent, batch_plain, encode_plain, fits_batch
from sse_push.events.receipts import refuse, refuse_in_its_loop, relay
from sse_push.events.topics import Topic, is_name

_TOO_MANY_KEYS = (
    "up to here the list has over {} routing keys (MAX_ROUTING_KEYS), one for each user of each event at the least:"
    " send it in parts"
)
Check = Callable[[bytes, bool], None]


class Intake:
    """Listens to ``sse.push``.

    Args:
        topics: By name (:attr:`sse_push.events.topics.Topic.name`).
        max_bytes: The most an event's encoded data may take.
        max_keys: Routing keys that a list of events may have: one for each user that each is for, and some for what it
            is about. A store keeps a list as a whole, and does nothing else meanwhile.
        checks: By topic, what raises BadEvent for data that its streams must not get; told the data, as JSON, and whether
            it comes from outside this process. Events of other topics don't pay for it.
    """

    def __init__(
        self,
        emitter: Emitter,
        engine: Engine,
        topics: Mapping[str, Topic],
        *,
        max_bytes: int,
        max_keys: int,
        checks: Mapping[str, Check] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._emitter = emitter
        self._engine = engine
        self._topics = topics
        self._checks = checks or {}
        # Others, and those whose data is looked at, go the longer way.
        self._plain = {
            name: topic for name, topic in topics.items() if not topic.per_room and name not in self._checks
        }
        self._max_bytes = max_bytes
        self._max_keys = max_keys
        self._clock = clock
        self._early = EarlyEvents()
        self._loop: AbstractEventLoop | None = None
        self._thread = 0  # the loop's, while the engine runs
        emitter.on(SSE_PUSH, self.accept)

    def topic_of(self, full_name: str) -> Topic:
        """What is true of the topic written *full_name*.

        Raises:
            BadEvent: There is none.
        """
        name, colon, room = full_name.partition(":")
        topic = self._topics.get(name)
        if topic is None or not (is_name(room) if topic.per_room else not colon):
            there_are = ", ".join(
                f"{name}:ROOM" if topic.per_room else name
                for name, topic in self._topics.items()
                if topic.publishable
            )
            raise BadEvent(f"unknown topic: {full_name[:64]!r}; there are {there_are}")
        return topic

    def encode(self, push: Push, publisher: str | None = None) -> Event:
        """*push* as it will go to its streams.

        Args:
            publisher: Who publishes from outside, ``None`` for this process itself. Some topics are
                closed to it, and its idempotency keys are its own: the same key of another is another.

        Raises:
            BadEvent: It can't be pushed.
        """
        return self._encode(push, publisher, self._clock())

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
            # A caller's id holds no control character, so the first one ends it.
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

    def faults_of(self, push: Push, publisher: str | None) -> list[BadEvent]:
        """All that keeps *push* from being accepted: its topic, its data and its audience are looked at each by itself."""
        faults: list[BadEvent] = []
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
                if error.detail not in [fault.detail for fault in faults]:
                    faults.append(error)
        return faults

    def _batch_of(self, pushes: Sequence[Push], publisher: str | None, now: float) -> EventBatch | None:
        """*pushes* as one batch, where they are alike and nothing is wrong with them."""
        if {*map(type, pushes)} != {PlainUserEvent}:
            return None
        its = cast("Sequence[PlainUserEvent]", pushes)
        topic = self._plain.get(its[0].topic)
        if topic is None or not topic.kept or (publisher is not None and not topic.publishable):
            return None
        return batch_plain(its, topic, now, self._max_bytes)

    def _encode_all(self, pushes: Sequence[Push], publisher: str | None, now: float) -> list[Event]:
        """All of *pushes*, which can go together.

        Raises:
            BadEvent: The first that can't; it has the others with it.
        """
        events: list[Event] = []
        faults: list[BadEvent] = []
        keys = 0
        for index, push in enumerate(pushes):
            try:
                event = self._encode(push, publisher, now)
                if events and (event.kept, event.local) != (events[0].kept, events[0].local):
                    raise BadEvent("events that are kept and events that are not can't go together")
                events.append(event)
                before, keys = keys, keys + len(event.keys)
                if before <= self._max_keys < keys and index:
                    faults.append(BadEvent(_TOO_MANY_KEYS.format(self._max_keys), index))
            except BadEvent as error:
                found = self.faults_of(push, publisher) if hasattr(push, "data_json") else []
                faults += [fault.at(index) for fault in found or [error]]
        if faults:
            raise together(faults)
        return events

    def can_join(self, push: Push) -> bool:
        """Whether *push* is sure to be accepted, and like most others: it may go with those of other requests."""
        if type(push) is not PlainUserEvent:
            return False
        topic = self._plain.get(push.topic)
        return (
            topic is not None
            and topic.kept
            and topic.publishable
            and fits_batch(push, topic, self._max_bytes)
        )

    def open(self, loop: AbstractEventLoop | None = None) -> None:
        """The engine has started: hand on what was published before, in its order.

        Args:
            loop: The loop that the engine runs in; what other threads emit goes to it.
        """
        self._loop, self._thread = loop, get_ident()
        self._hand_on_early()
        if loop is not None:
            loop.call_soon(self._hand_on_early)  # what a thread was about to put there

    def _hand_on_early(self) -> None:
        for events, receipt in self._early.take():
            self._hand_on(events, receipt)

    def close(self) -> None:
        """The engine is about to close: refuse what comes from now on."""
        self._thread = 0
        for _, receipt in self._early.close():
            refuse(receipt, EngineUnavailable("this node has not started"))

    def accept(self, *pushes: Push, receipt: Receipt | None = None, publisher: str | None = None) -> None:
        """Take *pushes*, all or none; *receipt* gets their ids ("" for one that is not kept) or an error.

        Before the engine has started they are held, within bounds; other threads' are handed to its loop.
        """
        if receipt is not None and not hasattr(receipt, "set_exception"):
            raise TypeError(f"receipt must be a future, not a {type(receipt).__name__}")
        if self._thread != get_ident():
            self._accept_elsewhere(pushes, receipt, publisher)
            return
        now = self._clock()
        try:
            batch = self._batch_of(pushes, publisher, now)
            if batch is None or len(batch) * (1 + len(batch.shared)) > self._max_keys:
                self._hand_on(self._encode_all(pushes, publisher, now), receipt)
            else:
                self._engine.append(batch, receipt)
        except BadEvent as error:
            self._emitter.emit(SSE_LOST, "refused", len(pushes))
            refuse(receipt, error)
        except Exception as error:
            refuse(receipt, error)  # or whoever waits would wait for ever
            raise

    def _accept_elsewhere(
        self, pushes: Sequence[Push], receipt: Receipt | None, publisher: str | None
    ) -> None:
        """Before the start, after the close, or in another thread than the loop's."""
        if self._loop is not None and self._thread:
            self._loop.call_soon_threadsafe(self._accept_from_thread, pushes, receipt, publisher)
            return
        try:
            events = self._encode_all(pushes, publisher, self._clock())
            self._early.hold(events, receipt)
        except Exception as error:
            self._emitter.emit(SSE_LOST, "refused" if isinstance(error, BadEvent) else "failed", len(pushes))
            refuse_in_its_loop(receipt, error)
            if not isinstance(error, SsePushError):
                raise

    def _accept_from_thread(
        self, pushes: Sequence[Push], receipt: Receipt | None, publisher: str | None
    ) -> None:
        own = receipt
        if receipt is not None and receipt.get_loop() is not self._loop:
            own = cast("AbstractEventLoop", self._loop).create_future()
            own.add_done_callback(partial(relay, receipt))
        self.accept(*pushes, receipt=own, publisher=publisher)

    def _hand_on(self, events: Sequence[Event], receipt: Receipt | None) -> None:
        if events and events[0].kept:
            self._engine.append(events, receipt)
            return
        if events and events[0].local:
            self._emitter.emit(SSE_KEPT, events)
        elif events:
            self._engine.pass_on(events)
        if receipt is not None and not receipt.done():
            receipt.set_result([""] * len(events))

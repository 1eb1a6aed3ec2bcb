"""What one node takes from the server: the channels it listens to, and the messages that come.

A channel for each routing key that some stream here takes, and one of the node's own for marks: a mark says how far
the store is, on the way that events take too, so whoever has heard it has heard everything before
(docs/design/0006-redis.md). Knows channels and messages; does not know how events are kept.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.payload import read_event, read_number, tell_of
from sse_push.events.errors import EngineUnavailable
from sse_push.events.event import Event
from sse_push.events.ids import format_id

CHANNELS_AT_ONCE = 1000  # channels of one SUBSCRIBE


class Hole(NamedTuple):
    """An event that came and can't be read, numbered *seq*, for *keys*; everything up to *stood* was heard."""

    stood: int
    seq: int
    keys: set[str]


class Feed:
    """The routing keys listened to, and what was heard.

    Args:
        prefix: What the store's keys and channels begin with.
        own: The node's own channel.

    Attributes:
        epoch: The store's.
        head: Every event for the keys listened to, up to this number, was heard.
        hole: What :meth:`hear` ended before.
        rest: The messages behind it.
    """

    def __init__(self, prefix: str, own: str) -> None:
        self._prefix = prefix
        self._own = own.encode()
        self.epoch = ""
        self._past: dict[str, int] = {}
        self._inherited = -1  # numbers up to this one were given in past epochs
        self.head = 0
        self._link: RedisConnection | None = None
        self._listeners: dict[str, int] = {}
        self._since: dict[str, int] = {}  # all of the key above this number comes
        self._pending: set[str] = set()  # keys that are not known to be heard yet
        self._asked: list[str] = []  # those that the server was not asked for yet
        self._left: set[str] = set()
        self._unconfirmed: dict[bytes, str] = {}
        self._parting: set[bytes] = set()  # channels that the server has not yet confirmed to be left
        self._confirmed: list[
            str
        ] = []  # keys whose channels are listened to; what comes next says from where on
        self._marks: list[tuple[int, asyncio.Future[None]]] = []
        self._barrier = 0  # the newest that was heard
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self._last_token = b""
        self.hole: Hole | None = None
        self.rest: list[list[Any]] = []

    # -- which keys --------------------------------------------------------------------------------

    def listen(self, keys: Iterable[str]) -> bool:
        """One stream more takes *keys*; whether that is news for the server."""
        for key in keys:
            count = self._listeners.get(key, 0)
            self._listeners[key] = count + 1
            if count == 0:
                self._left.discard(key)
                if key not in self._since and key not in self._pending:
                    self._pending.add(key)
                    self._asked.append(key)
        return bool(self._asked)

    def unlisten(self, keys: Iterable[str]) -> bool:
        """One stream less takes *keys*; whether that is news for the server."""
        for key in keys:
            count = self._listeners[key] - 1
            if count:
                self._listeners[key] = count
            else:
                del self._listeners[key]
                self._left.add(key)
        return bool(self._left)

    def listens(self, key: str) -> bool:
        return key in self._listeners

    def heard_keys(self) -> list[str]:
        """All keys that are heard."""
        return [*self._since]

    def counted(self, key: str) -> bool | None:
        """Whether the server counts this node among those who listen to *key*; ``None`` while that changes."""
        channel = self.channel(key).encode()
        if (
            channel in self._parting
            or channel in self._unconfirmed
            or key in self._asked
            or key in self._left
        ):
            return None
        return key in self._since or key in self._pending

    def since(self, keys: Iterable[str]) -> int | None:
        """From which number on all of *keys* are heard; ``None`` if some are not yet."""
        found = [self._since.get(key) for key in keys]
        return None if None in found else max((number for number in found if number is not None), default=0)

    def flush(self) -> None:
        """Tell the server which channels this node listens to now."""
        asked, self._asked = self._asked, []
        gone = [key for key in self._left if key not in self._pending]
        self._left.difference_update(gone)
        for key in gone:
            self._since.pop(key, None)
        if self._link is not None:
            self._parting.update(self.channel(key).encode() for key in gone)
            self._send(self._link, "UNSUBSCRIBE", gone)
            self._subscribe(self._link, asked)

    def _subscribe(self, link: RedisConnection, keys: Sequence[str]) -> None:
        self._unconfirmed.update((self.channel(key).encode(), key) for key in keys)
        self._send(link, "SUBSCRIBE", keys)

    def _send(self, link: RedisConnection, command: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), CHANNELS_AT_ONCE):
            link.send(command, *map(self.channel, keys[start : start + CHANNELS_AT_ONCE]))

    def channel(self, key: str) -> str:
        """The channel of a routing key."""
        return f"{self._prefix}for:{key}"

    # -- a connection comes and goes ---------------------------------------------------------------

    def connected(self, link: RedisConnection) -> None:
        """Listen to everything on *link*; :meth:`all_confirmed` tells when that is so."""
        self._link = link
        self._asked, self._pending = [], {*self._listeners}
        self._unconfirmed, self._confirmed, self._parting = {}, [], set()
        self._since.clear()
        self._left.clear()
        link.send("SUBSCRIBE", self._own)
        self._subscribe(link, [*self._listeners])

    def disconnected(self) -> None:
        self._link = None
        waiting = [*self._marks, *self._barriers]
        self._marks, self._barriers = [], []
        for _, mark in waiting:
            if not mark.done():
                mark.set_exception(EngineUnavailable("Redis is away"))

    @property
    def all_confirmed(self) -> bool:
        """Whether the server has confirmed all channels asked for."""
        return not self._unconfirmed

    def caught_up(self, head: int) -> None:
        """All before *head* was had by other means: every key that the server was asked for is heard from there on."""
        self.head = max(self.head, head)
        self._confirmed = [*self._pending.difference(self._asked)]
        self._settle(self.head)

    def _settle(self, number: int) -> None:
        """Of the keys whose channels were confirmed, all above *number* comes."""
        for key in self._confirmed:
            self._pending.discard(key)
            if key in self._listeners:
                self._since[key] = number
            else:
                self._left.add(key)
        self._confirmed = []

    @property
    def owes_news(self) -> bool:
        """Whether the server is to be told of keys that are listened to, or no longer."""
        return bool(self._asked or self._left.difference(self._pending))

    # -- messages ----------------------------------------------------------------------------------

    async def reached(self, head: int) -> None:
        """Wait until everything up to *head* was heard.

        Raises:
            EngineUnavailable: The connection was lost.
        """
        if self.head < head:
            mark: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._marks.append((head, mark))
            await mark

    async def passed(self, barrier: int) -> None:
        """Wait until the mark that was asked for as *barrier* was heard.

        Raises:
            EngineUnavailable: The connection was lost.
        """
        if self._barrier < barrier:
            heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._barriers.append((barrier, heard))
            await heard

    def split(self, messages: Iterable[list[Any]]) -> list[list[Any]]:
        """Take the confirmations out of *messages*; the rest."""
        rest = []
        for message in messages:
            if message[0] == b"message":
                rest.append(message)
            else:
                self._confirm(message)
        return rest

    def _confirm(self, message: list[Any]) -> None:
        if message[0] == b"unsubscribe":
            self._parting.discard(message[1])
        elif (key := self._unconfirmed.pop(message[1], None)) is not None:
            self._confirmed.append(key)

    def hear(self, messages: Iterable[list[Any]]) -> list[Event]:
        """The events that *messages* tell, in order, each once, and not those heard before.

        It ends before an event that has a number and can't be read: :attr:`hole` is that, :attr:`rest` what follows.
        """
        events: list[Event] = []
        faults: list[ValueError] = []
        self.hole, self.rest = None, []
        unread = iter(messages)
        for message in unread:
            if message[0] != b"message":
                self._confirm(message)
                continue
            try:
                event = self._told(message[1], message[2])
            except ValueError as error:
                faults.append(error)
                if (hole := self._hole(message)) is not None:
                    self._stop_at(hole, [*unread])
                    break
            else:
                if event is not None:
                    events.append(event)
        tell_of(faults)
        return events

    def _hole(self, message: list[Any]) -> Hole | None:
        """What is missing, if *message* has the number of an event not heard before."""
        if message[0] != b"message" or message[1] == self._own:
            return None
        try:
            seq = read_number(message[2].partition(b"\n")[0])
            key = message[1].decode().removeprefix(f"{self._prefix}for:")
        except ValueError:
            return None
        return Hole(self.head, seq, {key}) if seq > self.head else None

    def _stop_at(self, hole: Hole, rest: list[list[Any]]) -> None:
        """It comes once for each of its keys, most often one after the other."""
        self.hole = hole
        while rest and (again := self._hole(rest[0])) is not None and again.seq == hole.seq:
            hole.keys.update(again.keys)
            del rest[0]
        self.rest = rest

    def _told(self, channel: bytes, payload: bytes) -> Event | None:
        if channel == self._own:
            self._hear_mark(payload)
            return None
        line, _, body = payload.partition(b"\n")
        number, _, token = line.partition(b" ")
        seq = read_number(number)
        # One event comes once for each of its keys that this node listens to.
        if seq <= self.head if seq else token == self._last_token:
            return None
        event = self.read(seq, body)
        if seq:
            self.head = seq
            if self._confirmed:
                self._settle(seq - 1)  # it was published after the server had confirmed them
        else:
            self._last_token = token
        return event

    def _hear_mark(self, payload: bytes) -> None:
        number, _, barrier = payload.partition(b" ")
        head = read_number(number)
        self.head = max(self.head, head)
        self._barrier = max(self._barrier, read_number(barrier or b"0"))
        if self._confirmed:
            self._settle(head)

    def wake(self) -> None:
        """Tell those who wait for a number or a barrier that it was heard, if it was; after the events were handed on."""
        if self._marks:
            self._marks = _still_waiting(self._marks, self.head)
        if self._barriers:
            self._barriers = _still_waiting(self._barriers, self._barrier)

    def belong_to(self, epoch: str, past: dict[str, int]) -> None:
        """The store is *epoch*'s.

        Args:
            past: Its past epochs, each with the number up to which it still is that one, oldest first.
        """
        self.epoch, self._past = epoch, past
        self._inherited = max(past.values(), default=-1)

    def id_of(self, seq: int) -> str:
        """The id of the event numbered *seq*: of the epoch in which it was given."""
        if seq <= self._inherited:
            for epoch, upto in self._past.items():
                if seq <= upto:
                    return format_id(epoch, seq)
        return format_id(self.epoch, seq)

    def knows(self, epoch: str, seq: int) -> bool:
        """Whether the store has, or had, all that came before an id."""
        return seq <= (self.head if epoch == self.epoch else self._past.get(epoch, -1))

    def read(self, seq: int, body: bytes) -> Event:
        """The event numbered *seq*; 0 for one that is not kept."""
        event = read_event(self.epoch, seq, body)
        if seq:
            event.id = self.id_of(seq)
        else:
            event.id, event.durable = None, False
        return event

    def read_all(self, found: Iterable[tuple[int, bytes]]) -> tuple[list[Event], list[int]]:
        """The events of all numbers and bodies that are events, and the numbers of the others."""
        events: list[Event] = []
        unreadable: list[int] = []
        faults: list[ValueError] = []
        for seq, body in found:
            try:
                events.append(self.read(seq, body))
            except ValueError as error:
                faults.append(error)
                unreadable.append(seq)
        tell_of(faults)
        return events, unreadable


def _still_waiting(
    marks: list[tuple[int, asyncio.Future[None]]], reached: int
) -> list[tuple[int, asyncio.Future[None]]]:
    """Those of *marks* that are not *reached*; the others are told."""
    for number, mark in marks:
        if number <= reached and not mark.done():
            mark.set_result(None)
    return [(number, mark) for number, mark in marks if number > reached]

"""What one node takes from the server: the channels it listens to, and the messages that come.

A channel for each routing key that some stream here takes, and one of the node's own for marks: a mark says how far
the store is, on the way that events take too, so whoever has heard it has heard everything before
(docs/design/0006-redis.md). Knows channels and messages; does not know how events are kept.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from events.engines.redis.link import Link
from events.engines.redis.payload import read_event, read_number, tell_of
from events.errors import EngineUnavailable
from events.event import Event
from events.ids import format_id

CHANNELS_AT_ONCE = 1000  # channels of one SUBSCRIBE


class Feed:
    """The routing keys listened to, and what was heard.

    Args:
        prefix: What the store's keys and channels begin with.
        own: The node's own channel.

    Attributes:
        epoch: The store's.
        head: Every event for the keys listened to, up to this number, was heard.
    """

    def __init__(self, prefix: str, own: str) -> None:
        self._prefix = prefix
        self._own = own.encode()
        self.epoch = ""
        self._past: dict[str, int] = {}
        self._inherited = -1  # numbers up to this one were given in past epochs
        self.head = 0
        self._link: Link | None = None
        self._listeners: dict[str, int] = {}
        self._since: dict[str, int] = {}  # the head when the key's channel was known to be listened to
        self._group: asyncio.Future[None] | None = None  # keys asked for in this turn
        self._groups: dict[str, asyncio.Future[None]] = {}
        self._asked: list[str] = []
        self._left: set[str] = set()
        self._unconfirmed: dict[bytes, str] = {}
        self._parting: set[bytes] = set()  # channels that the server has not yet confirmed to be left
        self._confirmed: list[str] = []
        self._marks: list[tuple[int, asyncio.Future[None]]] = []
        self._last_token = b""

    # -- which keys --------------------------------------------------------------------------------

    def listen(self, keys: Iterable[str]) -> bool:
        """One stream more takes *keys*; whether that is news for the server."""
        for key in keys:
            count = self._listeners.get(key, 0)
            self._listeners[key] = count + 1
            if count == 0:
                self._left.discard(key)
                if key not in self._since and key not in self._groups:
                    self._ask_for(key)
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
        return key in self._since or key in self._groups

    def since(self, keys: Iterable[str]) -> int | None:
        """From which number on all of *keys* are heard; ``None`` if some are not yet."""
        found = [self._since.get(key) for key in keys]
        return None if None in found else max((number for number in found if number is not None), default=0)

    async def settle(self, keys: Iterable[str]) -> None:
        """Wait until all of *keys* are heard."""
        for key in keys:
            if (group := self._groups.get(key)) is not None:
                await asyncio.shield(group)

    def _ask_for(self, key: str) -> None:
        if self._group is None:
            self._group = asyncio.get_running_loop().create_future()
        self._groups[key] = self._group
        self._asked.append(key)

    def flush(self) -> None:
        """Tell the server which channels this node listens to now."""
        asked, self._asked, self._group = self._asked, [], None
        gone = [key for key in self._left if key not in self._groups]
        self._left.difference_update(gone)
        for key in gone:
            self._since.pop(key, None)
        if self._link is not None:
            self._parting.update(self.channel(key).encode() for key in gone)
            self._send(self._link, "UNSUBSCRIBE", gone)
            self._subscribe(self._link, asked)

    def _subscribe(self, link: Link, keys: Sequence[str]) -> None:
        self._unconfirmed.update((self.channel(key).encode(), key) for key in keys)
        self._send(link, "SUBSCRIBE", keys)

    def _send(self, link: Link, command: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), CHANNELS_AT_ONCE):
            link.send(command, *map(self.channel, keys[start : start + CHANNELS_AT_ONCE]))

    def channel(self, key: str) -> str:
        """The channel of a routing key."""
        return f"{self._prefix}for:{key}"

    # -- a connection comes and goes ---------------------------------------------------------------

    def connected(self, link: Link) -> None:
        """Listen to everything on *link*; :meth:`all_confirmed` tells when that is so."""
        self._link = link
        self._asked, self._group = [], None
        self._unconfirmed, self._confirmed, self._parting = {}, [], set()
        self._since.clear()
        wanted = [*self._listeners]
        for key in [key for key in self._groups if key not in self._listeners]:
            self._settled([key])
        self._left.clear()
        link.send("SUBSCRIBE", self._own)
        self._subscribe(link, wanted)

    def disconnected(self) -> None:
        self._link = None
        marks, self._marks = self._marks, []
        for _, mark in marks:
            if not mark.done():
                mark.set_exception(EngineUnavailable("Redis is away"))

    @property
    def all_confirmed(self) -> bool:
        """Whether the server has confirmed all channels asked for."""
        return not self._unconfirmed

    def caught_up(self, head: int) -> None:
        """All before *head* was had by other means: every key confirmed is heard from there on."""
        self.head = max(self.head, head)
        self._confirmed = []
        self._settled([*self._listeners])

    def confirmed(self) -> list[str]:
        """Keys whose channels were confirmed since the last call: a mark asked for now says from where on."""
        keys, self._confirmed = self._confirmed, []
        return keys

    def not_settled(self, keys: Iterable[str]) -> None:
        """The mark asked for after *keys* were confirmed did not come; a later one will do."""
        if self._link is not None:  # else all are confirmed anew
            self._confirmed += keys

    def settled(self, keys: Iterable[str]) -> bool:
        """A mark asked for after *keys* were confirmed was heard; whether some were left meanwhile."""
        self._settled([key for key in keys if key in self._groups])
        return bool(self._left)

    def _settled(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._listeners:
                self._since[key] = self.head
            elif self._link is not None:
                self._left.add(key)
            group = self._groups.pop(key, None)
            if group is not None and not group.done():
                group.set_result(None)

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

    def split(self, messages: Iterable[list[Any]]) -> list[list[Any]]:
        """Take the confirmations out of *messages*; the rest."""
        rest = []
        for message in messages:
            if message[0] == b"message":
                rest.append(message)
            elif message[0] == b"unsubscribe":
                self._parting.discard(message[1])
            elif (key := self._unconfirmed.pop(message[1], None)) is not None:
                self._confirmed.append(key)
        return rest

    def hear(self, messages: Iterable[list[Any]]) -> list[Event]:
        """The events that *messages* tell, in order, each once, and not those heard before."""
        events: list[Event] = []
        faults: list[ValueError] = []
        for _, channel, payload in messages:
            try:
                event = self._told(channel, payload)
            except ValueError as error:
                faults.append(error)
            else:
                if event is not None:
                    events.append(event)
        tell_of(faults)
        return events

    def _told(self, channel: bytes, payload: bytes) -> Event | None:
        if channel == self._own:
            self.head = max(self.head, read_number(payload))
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
        else:
            self._last_token = token
        return event

    def wake(self) -> None:
        """Tell those who wait for a number that it was heard, if it was; after the events were handed on."""
        due = [mark for head, mark in self._marks if head <= self.head]
        if due:
            self._marks = [(head, mark) for head, mark in self._marks if head > self.head]
            for mark in due:
                if not mark.done():
                    mark.set_result(None)

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
            event.id, event.kept = None, False
        return event

    def read_all(self, found: Iterable[tuple[int, bytes]]) -> list[Event]:
        """The events of all numbers and bodies that are events."""
        events: list[Event] = []
        faults: list[ValueError] = []
        for seq, body in found:
            try:
                events.append(self.read(seq, body))
            except ValueError as error:
                faults.append(error)
        tell_of(faults)
        return events

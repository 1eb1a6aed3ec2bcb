"""The store on the server: the scripts that run there (``scripts/``), called by their names, and how keys are called.

Knows what scripts take and answer; does not know when they are called.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sse_push.events.engines.packs import pack
from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.memory import ServerMemory
from sse_push.events.engines.redis.script_loader import ScriptLoader
from sse_push.events.event import Event
from sse_push.events.group import EventGroup

PAGE_EVENTS = 500  # events one read gives at the most
PAST_EPOCHS = 64  # remembered by the store: restarts of the server within the time that events are kept
# The scripts, and the parts that each begins with.
_SCRIPTS = {
    "join": ("common",),
    "mark": ("common", "sweep"),
    "publish": ("common", "sweep"),
    "read": ("common", "index"),
    "pass": ("common",),
    "audit": ("common", "index"),
}

Answer = asyncio.Future[Any]
Parts = list[str | bytes | int]


class RemoteStore:
    """The store whose keys begin with *prefix*, as one node uses it.

    Errors of every future are those of :meth:`sse_push.events.engines.redis.connection.RedisConnection.call`.

    Args:
        name: The node's, for its own channel.
        clock: Seconds since the Unix epoch; with the system's, the server's is taken.

    Attributes:
        memory: What the server's memory leaves to the history; whoever asks the server keeps it up to date.
    """

    def __init__(
        self,
        prefix: str,
        name: str,
        *,
        max_events: int,
        max_age: float,
        max_bytes: int,
        key_age: float,
        clock: Callable[[], float],
    ) -> None:
        self.prefix = f"{{{prefix}}}:"
        self.own_channel = f"{self.prefix}node:{name}"
        self._name = name
        self._max_events = max_events
        self._max_age_ms = round(max_age * 1000)
        self._key_age_ms = round(key_age * 1000)
        self._clock = clock
        self.memory = ServerMemory(max_bytes)
        self._scripts = ScriptLoader("sse_push.events.engines.redis", _SCRIPTS)
        self._passed = 0
        self._link = RedisConnection()

    async def use(self, link: RedisConnection) -> None:
        """From now on call on *link*."""
        self._link = link
        await self._scripts.load(link)

    async def facts(self, *section: str) -> dict[str, str]:
        """What the server says of itself, all or a *section*, by the names of INFO."""
        info = (await self._link.call("INFO", *section)).decode()
        return dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)

    def join(self, epoch: str, head: int, run_id: str, new_epoch: str, *, lost: bool) -> Answer:
        """Epoch, head and floor, past epochs as ``NUMBER:EPOCH`` (up to the number the store is still that one), how
        many entries that are no events were removed, 1 if something of the store is missing, and the keys in whose
        places others had put something.

        Args:
            lost: The node has seen that something is.
        """
        evicted = self.memory.evicted
        return self._run(
            "join", epoch, head, run_id, new_epoch, PAST_EPOCHS, "" if evicted is None else evicted, int(lost)
        )

    def mark(self, barrier: int = 0) -> Answer:
        """Epoch ('' where something of the store is missing), head, floor, and the bytes that the history takes.

        The head comes on the node's own channel too, with *barrier*, after all events up to it.
        """
        limits = self._max_age_ms, self._max_events, self.memory.bound
        return self._run("mark", self.own_channel, self._now(), *limits, barrier)

    def publish(self, epoch: str, head: int, appends: Iterable[EventGroup]) -> Answer:
        """Keep the events of *appends*, all or none: head, floor, and the number of each.

        Of an append that uses an idempotency key for something else than before none is kept; in place of their
        numbers those at fault have -1, the others 0.
        """
        memory = self.memory
        parts: Parts = [epoch, head, self._now(), self._max_age_ms, self._key_age_ms, self._max_events]
        parts += [memory.bound, int(memory.gives_way)]
        for events in appends:
            parts.append(len(events))
            for event in events:
                fingerprint = event.fingerprint or ""
                parts += [event.key or "", fingerprint, len(event.keys), *event.keys, pack([event])]
        return self._run("publish", *parts)

    def pass_on(self, events: Iterable[Event]) -> Answer:
        """Tell of *events* without keeping them; each has a token by which it is known when it comes twice."""
        parts: Parts = []
        for event in events:
            self._passed += 1
            token = f"0 {self._name}:{self._passed}\n".encode()
            parts += [len(event.keys), *event.keys, token + pack([event])]
        return self._run("pass", *parts)

    def read(self, epoch: str, after: int, max_bytes: int, keys: Sequence[str]) -> Answer:
        """Events for *keys* above *after*: up to which number they are all, head, floor, then numbers and bodies."""
        return self._run("read", self.own_channel, epoch, after, PAGE_EVENTS, max_bytes, *keys)

    def audit(self, epoch: str, count: int, parts: Parts) -> Answer:
        """The head, and for each key and number of *parts* the numbers of its events above that, the first *count*."""
        return self._run("audit", self.own_channel, epoch, count, *parts)

    def all_between(self, after: int, upto: int, count: int) -> Answer:
        """Every event above *after* and up to *upto*, the first *count* of them, as XRANGE answers."""
        return self._link.call("XRANGE", f"{self.prefix}events", after + 1, upto, "COUNT", count)

    def listeners(self, channel: str) -> Answer:
        """The channel, and how many nodes listen to it."""
        return self._link.call("PUBSUB", "NUMSUB", channel)

    def end(self, connections: Iterable[int]) -> list[Answer]:
        """End *connections*, by their ids, if they are there."""
        return [self._link.call("CLIENT", "KILL", "ID", id_) for id_ in connections]

    def probe(self) -> Answer:
        """Write something, to see whether writing works."""
        return self._link.call("SET", f"{self.prefix}probe", "", "PX", 1)

    def _run(self, name: str, *parts: str | bytes | int) -> Answer:
        keys = f"{self.prefix}state", f"{self.prefix}events"
        return self._link.call("EVALSHA", self._scripts.sha(name), len(keys), *keys, self.prefix, *parts)

    def _now(self) -> int | str:
        """The time for the scripts; '' for the server's own, which is one for all nodes and nobody else's."""
        return "" if self._clock is time.time else round(self._clock() * 1000)

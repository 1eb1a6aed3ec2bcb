"""The load: some hundred streams and a few publishers on one epoll loop, in one thread, without asyncio.

Knows sockets and marks, and that every event must arrive. The scenarios decide what is requested.
"""

import gc
import json
import random
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from bench.marks import EVERYBODY, mark
from bench.process import busy_seconds
from bench.servers import Server
from bench.sockets import Failed, Publisher, Stream, Tally, now_ns

AT_ONCE = 64  # streams being opened at the same time
OPEN_S = 30.0  # seconds that may pass without a stream opening
DRAIN_S = 15.0  # seconds after the last publish for everything to arrive
LIVE_PUBLISHERS = 16  # of a storm
MAX_BEHIND = 64  # broadcasts not yet with everybody; a publisher that is not told to wait would run away


@dataclass(frozen=True)
class Plan:
    """What publishers do.

    Attributes:
        publishers: How many there are; each waits for its answer before it sends again.
        rate: Events a second, due at even times whatever the server does; 0 is as fast as it goes.
        to_one: Each event is for a stream picked at random, not for all.
        batch: Events in one request.
        size: Bytes of an event's data.
    """

    publishers: int = 4
    rate: float = 0
    to_one: bool = False
    batch: int = 1
    size: int = 200


@dataclass(frozen=True)
class Window:
    """What happened while it was measured."""

    seconds: float
    events: int
    deliveries: int
    server_cpu_s: float
    busy: float  # the share of its cpu that the load itself took
    others: float  # the cpus that other processes took meanwhile: 1.0 is one of them, all the time
    latencies_ns: list[int]


class Taken(NamedTuple):
    """What all has taken so far: seconds, and counts."""

    at: float
    events: int
    deliveries: int
    server_cpu_s: float
    own_cpu_s: float
    every_cpu_s: float


@contextmanager
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Load:
    """Streams and publishers of one server."""

    def __init__(self, server: Server, port: int, server_cpu_s: Callable[[], float], cpus: set[int]) -> None:
        self._server = server
        self._cpus = cpus
        self._port = port
        self._server_cpu_s = server_cpu_s
        self._epoll = select.epoll()
        self._by_fd: dict[int, Stream | Publisher] = {}
        self._streams: list[Stream] = []
        self._publishers: list[Publisher] = []
        self._targets = 0  # of events for one: the first so many streams, or all
        self._random = random.Random(1)  # the same users in the same order for every server
        self.tally = Tally()
        self.events = 0
        self.expected = 0

    def open(self, requests: Sequence[bytes]) -> None:
        """Open a stream by each of *requests*.

        Raises:
            Failed: One was refused, or they do not open.
        """
        deadline = time.monotonic() + OPEN_S
        goal = self.tally.opened + len(requests)
        for request in requests:
            self._begin(request)
            while len(self._streams) - self.tally.opened >= AT_ONCE:
                self._turn(1, deadline)
        while self.tally.opened < goal:
            self._turn(1, deadline)

    def _begin(self, request: bytes, *, timed: bool = True) -> Stream:
        stream = Stream(len(self._streams), self._port, request, self.tally, timed=timed)
        self._streams.append(stream)
        self._watch(stream)
        return stream

    def _publish_by(self, publishers: list[Publisher]) -> list[Publisher]:
        self._publishers = publishers
        for publisher in publishers:
            self._watch(publisher)
        return publishers

    def fill(self, count: int) -> str:
        """Broadcast *count* events in one request; the first one's id, once all have arrived."""
        [publisher] = self._publish_by([Publisher(0, self._port)])
        self._send(Plan(batch=count), now_ns())
        self._drain()
        while not publisher.idle:
            self._turn(0.05)
        return str(json.loads(publisher.answer)["ids"][0])

    def come_back(self, requests: Sequence[bytes], behind: int, rate: float) -> Window:
        """Open a stream by each of *requests* for those that :meth:`fill` left *behind*, all but the first event.

        Meanwhile the streams that are open get *rate* events a second, each for one of them.
        """
        # Enough of them that one is free whenever an event is due: else its waiting would count as latency.
        self._publish_by([Publisher(1 + index, self._port) for index in range(LIVE_PUBLISHERS)])
        self._targets = len(self._streams)
        self.expected += behind * len(requests)
        waiting = list(requests)
        plan, step, due = Plan(rate=rate, to_one=True), round(1e9 / rate), now_ns()
        deadline = time.monotonic() + OPEN_S
        with _no_collections():
            taken = self._start_timing()
            while waiting or self.tally.deliveries < self.expected:
                while waiting and len(self._streams) - self.tally.opened < AT_ONCE:
                    self._begin(waiting.pop(), timed=False).last[0] = 1
                while waiting and due <= now_ns() and self._send(plan, due):
                    due += step
                self._turn(max(0, due - now_ns()) / 1e9 if waiting else 0.05, deadline)
            return self._stop_timing(taken)

    def settle(self, seconds: float) -> None:
        """Read what comes for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._turn(0.05)

    def publish(self, plan: Plan, warm_up: float, seconds: float) -> Window:
        """Publish by *plan*, measure after *warm_up*, then wait for the rest to arrive."""
        self._publish_by([Publisher(index, self._port) for index in range(plan.publishers)])
        begun = now_ns()
        due = self._publish_until(plan, begun, begun, warm_up)
        with _no_collections():
            window = self._measure(plan, begun, due, seconds)
        self._drain()
        return window

    def _measure(self, plan: Plan, begun: int, due: int, seconds: float) -> Window:
        taken = self._start_timing()
        self._publish_until(plan, begun, due, seconds)
        return self._stop_timing(taken)

    def _start_timing(self) -> Taken:
        self.tally.timing = True
        self.tally.latencies_ns.clear()
        return self._taken()

    def _taken(self) -> Taken:
        return Taken(
            time.monotonic(),
            self.events,
            self.tally.deliveries,
            self._server_cpu_s(),
            time.process_time(),
            busy_seconds(self._cpus),
        )

    def _stop_timing(self, before: Taken) -> Window:
        took, events, deliveries, server, own, every = (
            now - then for now, then in zip(self._taken(), before, strict=True)
        )
        self.tally.timing = False
        others = max(0.0, every - server - own) / took
        latencies = self.tally.latencies_ns[:]
        return Window(took, int(events), int(deliveries), server, own / took, others, latencies)

    def _publish_until(self, plan: Plan, begun: int, due: int, seconds: float) -> int:
        """Publish for *seconds*; when the next event is *due* afterwards."""
        end = now_ns() + round(seconds * 1e9)
        step = round(1e9 / plan.rate) if plan.rate else 0
        while (now := now_ns()) < end:
            if step:
                while due <= now and self._send(plan, due):
                    due += step
                self._turn(max(0.0, min(due, end) - now_ns()) / 1e9)
            else:
                while self.expected - self.tally.deliveries <= MAX_BEHIND * len(self._streams):
                    if not self._send(plan, now):
                        break
                self._turn(0.01)
        return due

    def _send(self, plan: Plan, due: int) -> bool:
        """Send the next request if a publisher is free."""
        publisher = next((publisher for publisher in self._publishers if publisher.idle), None)
        if publisher is None:
            return False
        events = []
        for _ in range(plan.batch):
            target = self._random.randrange(self._targets or len(self._streams)) if plan.to_one else EVERYBODY
            number = publisher.next_number(target)
            events.append((target, mark(target, publisher.index, number, due, plan.size)))
        publisher.send(self._server.publish(events))
        self.events += plan.batch
        self.expected += plan.batch * (1 if plan.to_one else len(self._streams))
        return True

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while self.tally.deliveries < self.expected and time.monotonic() < deadline:
            self._turn(0.05)

    def _watch(self, watched: Stream | Publisher) -> None:
        fd = watched.socket.fileno()
        self._by_fd[fd] = watched
        self._epoll.register(fd, select.EPOLLIN)

    def _turn(self, timeout: float, deadline: float | None = None) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise Failed(f"{len(self._streams) - self.tally.opened} streams do not open")
        for fd, _ in self._epoll.poll(timeout, 1024):
            self._by_fd[fd].readable()

    def faults(self) -> list[str]:
        """What went wrong, in words; nothing if every event reached all it was for, once and in order."""
        missing = self.expected - self.tally.deliveries
        found = {
            "missing": missing,
            "out of order": self.tally.lost,
            "repeated": self.tally.repeated,
            "misdelivered": self.tally.misdelivered,
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def close(self) -> None:
        for watched in self._by_fd.values():
            watched.socket.close()
        self._epoll.close()

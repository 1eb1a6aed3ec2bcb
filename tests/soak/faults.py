"""What is done to a service under soak, whichever engine it has; engine_faults.py has the rest.

A fault is a coroutine that does something, and heals it where it does not heal by itself. What must be told by a gap
and what must not is said with each.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.soak.node import Node
from tests.soak.publisher import ANSWER_S, Publishers
from tests.soak.reader import Reader

FLOOD = 40  # events of a flood
LOG_CONNECTIONS = 10  # one after the other, to fill a log
LOG_REQUESTS = 100  # of each, a line each
FLOOD_BYTES = 50_000  # of each: in all more than may wait for a reader that has stopped


@dataclass
class Target:
    """What faults can reach: the nodes, and who uses them."""

    nodes: Sequence[Node]
    readers: Sequence[Reader]
    publishers: Publishers
    chance: random.Random

    def node(self) -> Node:
        return self.chance.choice(self.nodes)

    async def pause(self, least: float, most: float) -> None:
        """Let a random time go by, in seconds."""
        await asyncio.sleep(self.chance.uniform(least, most))

    async def flood(self, name: str) -> None:
        for number in range(FLOOD):
            await self.publishers.say(f"{name}-flood-{number}", padding=FLOOD_BYTES)


Do = Callable[[Target, str], Awaitable[None]]


@dataclass(frozen=True)
class FaultKind:
    """A fault to choose.

    Attributes:
        do: Does it; the text it gets is a name of its own.
        lossy: It destroys what was kept, so that gaps may follow.
    """

    name: str
    do: Do
    lossy: bool = False


async def node_killed(target: Target, name: str) -> None:
    node = target.node()
    await node.kill()
    await target.pause(0, 0.5)
    await node.start()


async def node_terminated(target: Target, name: str) -> None:
    node = target.node()
    await node.terminate()
    await node.start()


async def node_terminated_then_killed(target: Target, name: str) -> None:
    """The orchestrator loses patience in the middle of a shutdown."""
    node = target.node()
    node.expects_end()
    node.signal(signal.SIGTERM)
    await target.pause(0, 0.3)
    await node.kill()
    await node.start()


async def node_killed_at_its_start(target: Target, name: str) -> None:
    node = target.node()
    await node.kill()
    await node.spawn()
    await target.pause(0, 1.5)
    await node.kill()
    await node.start()


async def node_paused(target: Target, name: str) -> None:
    node = target.node()
    node.signal(signal.SIGSTOP)
    await target.pause(0.2, 3)
    node.signal(signal.SIGCONT)


async def callers_cut(target: Target, name: str) -> None:
    target.node().proxy.cut()


async def callers_half_open(target: Target, name: str) -> None:
    """Connections that say nothing any more, to either side; nobody is told that they are gone."""
    target.node().proxy.strand()


async def callers_stalled(target: Target, name: str) -> None:
    proxy = target.node().proxy
    proxy.stall()
    await target.pause(0.2, 2)
    proxy.go_on()


async def readers_stop_reading(target: Target, name: str) -> None:
    slow = target.chance.sample(list(target.readers), 2)
    for reader in slow:
        reader.reading.clear()
    try:
        await target.flood(name)
    finally:
        for reader in slow:
            reader.reading.set()


async def log_not_read(target: Target, name: str) -> None:
    """Whoever reads a node's log stops; lines enough to fill the pipe are logged meanwhile."""
    node = target.node()
    node.stop_reading_log()
    try:
        await fill_log(node)
        await target.publishers.say(f"{name}-while nobody reads")
    finally:
        node.read_log_again()


async def log_reader_gone(target: Target, name: str) -> None:
    """Whoever reads a node's log goes away for good; the node is started again later, with another."""
    node = target.node()
    node.close_log()
    await fill_log(node)
    await target.publishers.say(f"{name}-after")
    await node.terminate()
    await node.start()


async def files_cannot_grow(target: Target, name: str) -> None:
    """A full disk: publishers get 503 for a while, and streams go on."""
    node = target.node()
    node.limit_files(4096)
    try:
        await target.pause(0.2, 1.5)
    finally:
        node.limit_files(None)


async def fill_log(node: Node) -> None:
    """Ask for a path that does not exist, often: some hundred lines of the log. Each must be answered.

    Raises:
        RuntimeError: Some were not.
    """
    ask = b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    for _ in range(LOG_CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write((ask + b"\r\n") * (LOG_REQUESTS - 1) + ask + b"Connection: close\r\n\r\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                answered = (await reader.read(-1)).count(b"HTTP/1.1 404 ")
        except (OSError, TimeoutError) as error:
            raise RuntimeError(f"{node.name} does not answer while nobody reads its log: {error!r}") from None
        finally:
            writer.transport.abort()
        if answered != LOG_REQUESTS:
            raise RuntimeError(
                f"{node.name} answered {answered} of {LOG_REQUESTS} while nobody reads its log"
            )


ANY_ENGINE = [
    FaultKind("node: kill -9", node_killed),
    FaultKind("node: SIGTERM", node_terminated),
    FaultKind("node: SIGTERM, then kill -9", node_terminated_then_killed),
    FaultKind("node: kill -9 at its start", node_killed_at_its_start),
    FaultKind("node: stopped and continued", node_paused),
    FaultKind("callers: connections cut", callers_cut),
    FaultKind("callers: connections half-open", callers_half_open),
    FaultKind("callers: network stalled", callers_stalled),
    FaultKind("callers: readers stop reading", readers_stop_reading),
    FaultKind("log: not read", log_not_read),
    FaultKind("log: reader gone", log_reader_gone),
]

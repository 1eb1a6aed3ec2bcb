"""Faults of what keeps the events: the embedded engine's files, and Redis with the network before it."""

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.redis_server import RedisServer
from tests.soak.faults import ANY_ENGINE, FaultKind, Target, files_cannot_grow
from tests.tcp_proxy import TcpProxy

FLIPS = 3  # bytes changed in a damaged file
REDIS_AWAY_S = (0.1, 2.5)  # seconds that a Redis is gone

# -- the embedded engine ---------------------------------------------------------------------------------


def _files(target: Target, pattern: str) -> list[Path]:
    return [file for file in target.nodes[0].data.glob(pattern) if file.stat().st_size]


async def _while_dead(target: Target, damage: Callable[[Target], None]) -> None:
    node = target.nodes[0]
    await node.kill()
    damage(target)
    await node.start()


def _truncate_log(target: Target) -> None:
    for file in _files(target, "events.db-wal"):
        with file.open("r+b") as opened:
            opened.truncate(target.chance.randrange(file.stat().st_size))


def _delete_log(target: Target) -> None:
    for file in _files(target, "events.db-wal"):
        file.unlink()


def _flip_bytes(target: Target, pattern: str) -> None:
    for file in _files(target, pattern):
        with file.open("r+b") as opened:
            for _ in range(FLIPS):
                at = target.chance.randrange(file.stat().st_size)
                opened.seek(at)
                before = opened.read(1)[0]
                opened.seek(at)
                opened.write(bytes([before ^ (1 << target.chance.randrange(8))]))


async def log_truncated(target: Target, name: str) -> None:
    await _while_dead(target, _truncate_log)


async def log_deleted(target: Target, name: str) -> None:
    await _while_dead(target, _delete_log)


async def log_bytes_flipped(target: Target, name: str) -> None:
    await _while_dead(target, lambda target: _flip_bytes(target, "events.db-wal"))


async def store_bytes_flipped(target: Target, name: str) -> None:
    await _while_dead(target, lambda target: _flip_bytes(target, "events.db"))


async def old_copy_put_back(target: Target, name: str) -> None:
    """A copy of the folder, made a while ago, takes the folder's place, without its record of how far the store was.

    With that record nobody could tell the copy from the folder; docs/operations.md says to leave it out.
    """
    node = target.nodes[0]
    copy = node.data.with_name("copy")
    await node.kill()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(node.data, copy)
    await node.start()
    for number in range(3):
        await target.publishers.say(f"{name}-after the copy-{number}")
    await node.kill()
    shutil.rmtree(node.data)
    shutil.copytree(copy, node.data)
    (node.data / "events.head").unlink()
    await node.start()


async def only_the_store_put_back(target: Target, name: str) -> None:
    """As before, but whatever lies beside the store's own file stays."""
    node = target.nodes[0]
    copy = node.data.with_name("events.db.copy")
    await node.terminate()
    shutil.copy(node.data / "events.db", copy)
    await node.start()
    for number in range(3):
        await target.publishers.say(f"{name}-after the copy-{number}")
    await node.kill()
    for file in node.data.glob("events.db-*"):
        file.unlink()
    shutil.copy(copy, node.data / "events.db")
    await node.start()


async def store_locked(target: Target, name: str) -> None:
    """A backup holds the file locked."""
    lock = sqlite3.connect(target.nodes[0].data / "events.db", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        await target.pause(0.2, 3)
    finally:
        lock.close()


EMBEDDED = [
    *ANY_ENGINE,
    FaultKind("store: files cannot grow", files_cannot_grow),
    FaultKind("store: locked by another process", store_locked),
    FaultKind("store: write-ahead log truncated", log_truncated, lossy=True),
    FaultKind("store: write-ahead log deleted", log_deleted, lossy=True),
    FaultKind("store: bytes flipped in the write-ahead log", log_bytes_flipped, lossy=True),
    FaultKind("store: bytes flipped in the database", store_bytes_flipped, lossy=True),
    FaultKind("store: an old copy of the folder put back", old_copy_put_back, lossy=True),
    FaultKind("store: an old copy of the database put back", only_the_store_put_back, lossy=True),
]

# -- Redis -----------------------------------------------------------------------------------------------


class RedisFaults:
    """Faults of a server that the nodes share, each through a proxy of its own."""

    def __init__(self, redis: RedisServer, links: list[TcpProxy]) -> None:
        self._redis = redis
        self._links = links

    @property
    def kinds(self) -> list[FaultKind]:
        def lossless(name: str, do: Callable[[Target, str], Awaitable[None]]) -> FaultKind:
            return FaultKind(f"redis: {name}", do)

        return [
            *ANY_ENGINE,
            lossless("kill -9", self.killed),
            lossless("SIGTERM", self.stopped),
            lossless("stopped and continued", self.paused),
            lossless("kill -9, and a node with it", self.killed_with_a_node),
            lossless("out of memory", self.full),
            lossless("disk full", self.disk_full),
            lossless("subscribers killed", self.subscribers_killed),
            lossless("connections cut", self.cut),
            lossless("connections half-open", self.half_open),
            lossless("connections stalled", self.stalled),
            lossless("connections refused", self.refused),
            FaultKind("redis: comes back empty", self.emptied, lossy=True),
            FaultKind("redis: FLUSHALL", self.flushed, lossy=True),
            FaultKind("redis: garbage on the channels", self.garbage, lossy=True),
        ]

    def _link(self, target: Target) -> TcpProxy:
        return target.chance.choice(self._links)

    async def _start(self) -> None:
        await asyncio.to_thread(self._redis.start, aof=True)

    async def killed(self, target: Target, name: str) -> None:
        self._redis.kill()
        await target.pause(*REDIS_AWAY_S)
        await self._start()

    async def stopped(self, target: Target, name: str) -> None:
        self._redis.stop()
        await target.pause(*REDIS_AWAY_S)
        await self._start()

    async def paused(self, target: Target, name: str) -> None:
        self._redis.pause()
        await target.pause(0.2, 7)
        self._redis.resume()

    async def killed_with_a_node(self, target: Target, name: str) -> None:
        node = target.node()
        self._redis.kill()
        await node.kill()
        await self._start()
        await node.start()

    async def full(self, target: Target, name: str) -> None:
        self._redis.call("CONFIG", "SET", "maxmemory", "1")
        await target.pause(0.2, 1.5)
        self._redis.call("CONFIG", "SET", "maxmemory", "0")

    async def disk_full(self, target: Target, name: str) -> None:
        """It cannot write what it acknowledges, so it ends itself."""
        resource.prlimit(self._redis.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        await target.pause(0.2, 1)
        self._redis.kill()
        await self._start()

    async def subscribers_killed(self, target: Target, name: str) -> None:
        self._redis.call("CLIENT", "KILL", "TYPE", "pubsub")

    async def cut(self, target: Target, name: str) -> None:
        self._link(target).cut()

    async def half_open(self, target: Target, name: str) -> None:
        self._link(target).strand()

    async def stalled(self, target: Target, name: str) -> None:
        link = self._link(target)
        link.stall()
        await target.pause(0.2, 7)
        link.go_on()

    async def refused(self, target: Target, name: str) -> None:
        link = self._link(target)
        await link.refuse()
        await target.pause(0.2, 2)
        await link.start()

    async def emptied(self, target: Target, name: str) -> None:
        self._redis.kill()
        self._redis.forget()
        await self._start()

    async def flushed(self, target: Target, name: str) -> None:
        self._redis.call("FLUSHALL")

    async def garbage(self, target: Target, name: str) -> None:
        """Messages that no node has published, on the channels of real routing keys."""
        channels = self._redis.call("PUBSUB", "CHANNELS", "{sse-push}:*")
        for channel in target.chance.sample(channels, min(5, len(channels))):
            for body in (
                b"",
                b"\xff\xfe",
                b"7",
                b"1e9\n{}",
                b"99999999999999999999\n[]",
                b"-1\n" + b"[" * 5000,
            ):
                self._redis.call("PUBLISH", channel, body)

"""Several nodes that share a roster on a real server, what each is told, and what may befall their answers and leases."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from sse_push.events.errors import EngineUnavailable
from sse_push.events.rosters.redis.roster import RedisRoster
from tests.events.rosters.contract import NOW
from tests.redis_server import RedisServer

_number = count()


class Told:
    """What a node is told."""

    def __init__(self) -> None:
        self.gone: dict[str, float] = {}
        self.times = 0
        self.forgotten: list[float] = []

    def hear(self, gone: Mapping[str, float]) -> None:
        self.times += len(gone)
        self.gone.update(gone)


class Nodes:
    """Nodes that share a roster on *server*."""

    def __init__(self, server: RedisServer, timeout: float) -> None:
        self._url = f"{server.url}?prefix=roster{next(_number)}"
        self._timeout = timeout
        self._made: list[RedisRoster] = []

    def node(self, name: str = "n") -> tuple[RedisRoster, Told]:
        roster, told = RedisRoster(self._url, name, timeout=self._timeout), Told()
        roster.start(told.hear, told.forgotten.append)
        self._made.append(roster)
        return roster, told

    def kill(self, roster: RedisRoster) -> None:
        """Without a word."""
        if roster._keeper is not None:
            roster._keeper.cancel()
        roster._calls.close()
        self._made.remove(roster)

    async def close(self) -> None:
        for roster in self._made:
            await roster.close()


async def hold(roster: RedisRoster, *users: str) -> None:
    """Take *users* on, and say that it is told."""
    await roster.move(users, [], NOW)
    await roster.told(users)


async def keys_of(roster: RedisRoster, *patterns: str) -> list[Any]:
    prefix = roster._calls.prefix
    found = [
        key for pattern in patterns for key in await roster._calls.call("KEYS", f"{glob(prefix)}{pattern}")
    ]
    return found or ["none"]


def glob(text: str) -> str:
    return text.replace("{", "?").replace("}", "?")


@contextmanager
def lost_answers(roster: RedisRoster) -> Iterator[None]:
    """What the server answers to a script that changes something is lost on its way."""
    run = roster._calls.run

    async def lose(name: str, *arguments: Any) -> Any:
        answer = await run(name, *arguments)
        if name == "move" or (name == "sweep" and len(answer) > 1):
            raise EngineUnavailable("Redis is away")
        return answer

    roster._calls.run = lose  # type: ignore[method-assign]
    yield
    roster._calls.run = run  # type: ignore[method-assign]


async def lease_of(node: RedisRoster, asked: RedisRoster) -> float:
    """Seconds that are left of *node*'s lease, as *asked* sees it, by the clock of :func:`pass_time`."""
    seconds, micros = await asked._calls.call("TIME")
    score = await asked._calls.call("ZSCORE", f"{asked._calls.prefix}nodes", node._node)
    return float(score) - int(seconds) - int(micros) / 1e6


async def pass_time(roster: RedisRoster, seconds: float) -> None:
    """Let *seconds* go by, as far as the roster's keys can tell."""
    nodes, state = (roster._calls.prefix + key for key in ("nodes", "state"))
    scores = await roster._calls.call("ZRANGE", nodes, 0, -1, "WITHSCORES")
    for node, score in zip(scores[::2], scores[1::2], strict=True):
        await roster._calls.call("ZADD", nodes, float(score) - seconds, node)
    heard = float(await roster._calls.call("HGET", state, "heard"))
    await roster._calls.call("HSET", state, "heard", repr(heard - seconds))

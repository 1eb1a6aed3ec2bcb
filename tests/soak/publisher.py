"""Publishers that go on whatever happens, and write down what they were promised.

Some give each event an idempotency key and try again until there is an answer; the others say each event once. Knows
``POST /v1/events`` in its three forms; knows nothing of faults.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.e2e.client import SERVICE
from tests.soak.checker import Promise

USERS = [f"user-{number}" for number in range(6)]
ANSWER_S = 10.0  # seconds to wait for an answer before the connection is given up
PAUSE_S = 0.05  # seconds between two publishes of one publisher, and between two tries


class Publishers:
    """Publishers of one round.

    Args:
        url: Gives the URL of some node.
        name: Of the round: no two rounds say the same.
    """

    def __init__(self, url: Callable[[], str], name: str, chance: random.Random) -> None:
        self._url = url
        self._name = name
        self._chance = chance
        self._tasks: list[asyncio.Task[None]] = []
        self._going_on = True
        self.promises: list[Promise] = []
        self.unsure: set[str] = set()
        self.refused: dict[int, int] = {}

    def start(self) -> None:
        for number, (lines, keys) in enumerate([(False, True), (False, False), (True, True), (True, False)]):
            run = self._run(f"{self._name}-{number}", lines=lines, keys=keys)
            self._tasks.append(asyncio.get_running_loop().create_task(run))

    async def stop(self) -> None:
        self._going_on = False
        await asyncio.gather(*self._tasks)

    async def say(self, data: str, *, padding: int = 0) -> None:
        """Publish a broadcast with a key; returns once it is acknowledged."""
        text = data + " " * padding
        event = {"data": text, "broadcast": True, "key": data}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            while not await self._publish(session, [event], lines=False):
                await asyncio.sleep(PAUSE_S)

    async def _run(self, name: str, *, lines: bool, keys: bool) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            for call in itertools.count():
                if not self._going_on:
                    return
                events = [
                    self._event(f"{name}-{call}-{index}", keys)
                    for index in range(self._chance.choice([1, 1, 4]))
                ]
                while not await self._publish(session, events, lines=lines):
                    if not keys:
                        self.unsure.update(event["data"] for event in events)
                        break
                    await asyncio.sleep(PAUSE_S)
                await asyncio.sleep(PAUSE_S)

    def _event(self, data: str, keys: bool) -> dict[str, Any]:
        event: dict[str, Any] = {"data": data}
        audience = self._chance.random()
        if audience < 0.3:
            event["broadcast"] = True
        elif audience < 0.5:
            event["userIds"] = self._chance.sample(USERS, 3)
        else:
            event["userId"] = self._chance.choice(USERS)
        if keys:
            event["key"] = data
        return event

    async def _publish(
        self, session: aiohttp.ClientSession, events: list[dict[str, Any]], *, lines: bool
    ) -> bool:
        """Whether all of *events* were acknowledged."""
        form = "application/x-ndjson" if lines else "application/json"
        body = "".join(json.dumps(event) + "\n" for event in events) if lines else json.dumps(events)
        headers = {"Authorization": f"Bearer {SERVICE}", "Content-Type": form}
        try:
            async with session.post(self._url() + "/v1/events", data=body, headers=headers) as answer:
                if answer.status != 200:
                    self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
                    return False
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return False
        if lines:
            ids = [json.loads(line).get("id") for line in text.splitlines()]
        else:
            ids = json.loads(text)["ids"]
        for event, id_ in zip(events, ids, strict=False):
            if id_ is not None:
                self._promised(event, id_)
        return len(ids) == len(events) and None not in ids

    def _promised(self, event: dict[str, Any], id_: str) -> None:
        users = None if "broadcast" in event else frozenset(event.get("userIds") or [event["userId"]])
        self.promises.append(Promise(id_, event["data"].rstrip(" "), users, time.monotonic()))

"""Publishers that remember what they were promised, and whether readers got just that."""

import asyncio
import itertools
import random
import secrets
from collections.abc import Iterable
from typing import Any

import aiohttp

from tests.e2e.client import SERVICE, Api
from tests.e2e.stream import Frame, number
from tests.process import ServerProcess, eventually

USERS = [f"u{index}" for index in range(6)]
SEED = 20260118
END = "the end"


def is_end(frame: Frame) -> bool:
    return frame.data == END


class Publishers:
    """Publishers that go on until told to stop, and remember what they were promised.

    Attributes:
        promised: ``id -> (data, users)`` of all that was answered with 2xx; no users is everybody.
        unsure: Data of calls of which no answer came and that were not tried again.
    """

    def __init__(self, api: Api, server: ServerProcess) -> None:
        self._api = api
        self._server = server
        self._keys = secrets.token_hex(4)  # its own, where several publish to one store, one after the other
        self._going_on = True
        self.promised: dict[str, tuple[str, frozenset[str] | None]] = {}
        self.unsure: set[str] = set()

    async def run(self, name: str, *, retries: bool) -> None:
        chance = random.Random(f"{SEED} {name}")
        for call in itertools.count():
            if not self._going_on:
                return
            events = [
                _some_event(chance, f"{name}-{call}-{index}") for index in range(chance.choice([1, 1, 5]))
            ]
            if retries:
                events = [{**event, "key": self._keys + event["data"]} for event in events]
            while (ids := await self._try(events)) is None:
                if not retries:
                    self.unsure.update(event["data"] for event in events)
                    break
                await asyncio.sleep(0.01)
            for id_, event in zip(ids or (), events, strict=ids is not None):
                assert id_ not in self.promised
                self.promised[id_] = (event["data"], _users(event))

    async def _try(self, events: list[dict[str, Any]]) -> list[str] | None:
        try:
            status, answer = await self._api.call(self._server, "POST", "/v1/events", events, SERVICE)
        except aiohttp.ClientError:
            return None
        assert status in (200, 503), answer
        return answer["ids"] if status == 200 else None

    async def promised_another(self, count: int) -> None:
        target = len(self.promised) + count
        await eventually(
            lambda: len(self.promised) >= target, f"{count} more events are published", within=20
        )

    async def finish(self, publishing: Iterable[asyncio.Task[None]]) -> None:
        """Stop, let what is under way (:meth:`run`) come to its end, and publish the last event of all."""
        self._going_on = False
        await asyncio.wait([*publishing])
        while (ids := await self._try([{"data": END, "broadcast": True, "key": self._keys + END}])) is None:
            await asyncio.sleep(0.01)
        self.promised[ids[0]] = (END, None)


def _some_event(chance: random.Random, data: str) -> dict[str, Any]:
    audience = chance.random()
    if audience < 0.3:
        return {"data": data, "broadcast": True}
    if audience < 0.5:
        return {"data": data, "userIds": chance.sample(USERS, 3)}
    return {"data": data, "userId": chance.choice(USERS)}


def _users(event: dict[str, Any]) -> frozenset[str] | None:
    if "broadcast" in event:
        return None
    return frozenset(event.get("userIds") or [event["userId"]])


def check_whole(frames: list[Frame], user: str | None, publishers: Publishers) -> None:
    """Nothing lost, repeated or out of order for *user* (``None``: for one who sees it all)."""
    ids = [frame.id for frame in frames]
    assert None not in ids, "a frame without an id, or a gap"
    numbers = [number(id_) for id_ in ids if id_]
    assert numbers == sorted(set(numbers)), "out of order, or given twice"
    data = [frame.data for frame in frames]
    assert len(set(data)) == len(data), "published twice"
    its = {
        id_: said
        for id_, (said, users) in publishers.promised.items()
        if users is None or user is None or user in users
    }
    got = dict(zip(ids, data, strict=True))
    lost = {id_: said for id_, said in its.items() if got.get(id_) != said}
    assert not lost, f"promised, but lost or changed: {lost}"
    assert {got[id_] for id_ in got.keys() - its.keys()} <= publishers.unsure, (
        "for somebody else, or never published"
    )

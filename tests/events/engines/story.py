"""Random things that happen to one store, held against the simplest model of it: a list.

The contract suite tells a few of these stories to every engine.
"""

import asyncio
import random
from collections.abc import Sequence

from sse_push.events.event import Event
from tests.events.engines.places import EVERYTHING, Place, batch_of, keys_of, said
from tests.events.fakes import turns

USERS = ["1", "2", "3"]


class Story:
    """One of them; its course is the dice's, its model is ``known``."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        self.place = place
        self.dice = dice
        self.limits = {"max_events": dice.choice([20, 60, 1000]), "max_age": dice.choice([30.0, 1e6])}
        self.known: dict[int, Event] = {}  # all that was ever told, by number
        self.pending: list[tuple[list[Event], asyncio.Future[list[str]]]] = []
        self.said = 0

    async def run(self) -> None:
        self.life = await self.place.open(**self.limits)
        often = [self.append] * 6 + [self.read] * 4 + [self.wait, self.answer, self.pass_time]
        for _ in range(25):
            await self.dice.choice([*often, self.restart, self.crash])()
        await self.answer()
        for keys in (EVERYTHING, *map(keys_of, USERS)):
            await self.read_all(keys, 0)

    async def append(self) -> None:
        for _ in range(self.dice.randint(1, 6)):
            self.append_group()

    def append_group(self) -> None:
        count = self.dice.randint(1, 9)
        numbers = range(self.said + 1, self.said + count + 1)
        self.said += count
        now = self.place.clock.now
        if self.dice.random() < 0.4:
            group: Sequence[Event] = batch_of(numbers, self.dice.choices(USERS, k=count), at=now)
        else:
            audiences = [
                self.dice.choice([None, self.dice.sample(USERS, self.dice.randint(1, 3))]) for _ in numbers
            ]
            group = [said(n, users, at=now) for n, users in zip(numbers, audiences, strict=True)]
        self.pending.append(([*group], self.life.append_all(group)))

    async def wait(self) -> None:
        await turns(self.dice.randint(1, 20))

    async def answer(self) -> None:
        """Every receipt is answered, with the ids that were told."""
        for group, receipt in self.pending:
            answered = await self.life.answer(receipt)
            told = {event.data: str(event.id) for event in self.life.told}
            assert answered == [told[event.data] for event in group]
        self.pending.clear()
        self.note()

    def note(self) -> None:
        self.known |= {event.seq: event for event in self.life.told}

    async def pass_time(self) -> None:
        self.place.clock.now += self.dice.choice([1.0, 20.0])
        await asyncio.sleep(0.003)  # the engine may look at its clock now, or later

    async def read(self) -> None:
        keys = self.dice.choice([EVERYTHING, *map(keys_of, USERS)])
        await self.read_all(keys, self.dice.randint(0, self.life.engine.head))

    async def read_all(self, keys: tuple[str, ...], after: int) -> None:
        meanwhile = self.dice.choices([self.append, self.wait, self.pass_time], k=self.dice.randint(0, 2))

        async def between() -> None:
            if meanwhile:
                await meanwhile.pop()()

        found = await self.life.replay(keys, after, self.dice.choice([1, 200, 2**20]), between)
        self.note()
        lowest = max(after, self.life.engine.floor)
        wanted = [e for seq, e in sorted(self.known.items()) if seq > lowest and {*e.keys} & {*keys}]
        assert [(e.seq, e.data) for e in found] == [(e.seq, e.data) for e in wanted]

    async def restart(self) -> None:
        await self.place.close(self.life)
        await self.answer()
        self.life = await self.place.open(**self.limits)
        assert self.life.engine.head == max(self.known, default=0)

    async def crash(self) -> None:
        answered = [event for group, receipt in self.pending if receipt.done() for event in group]
        cut_off = [group for group, receipt in self.pending if not receipt.done()]
        for _, receipt in self.pending:
            receipt.cancel()
        self.pending.clear()
        self.note()
        assert {event.data for event in answered} <= {event.data for event in self.known.values()}
        self.place.crash(self.life)
        self.life = await self.place.open(**self.limits)
        found = {event.data: event for event in await self.life.replay()}
        floor = self.life.engine.floor
        assert {e.data for e in self.known.values() if e.seq > floor} <= {*found}
        for group in cut_off:
            # It is there whole or not at all; what has sunk below the floor since can't be seen.
            its = [found[event.data] for event in group if event.data in found]
            assert len(its) in (0, len(group)) or its[0].seq == floor + 1
        self.known |= {event.seq: event for event in found.values()}

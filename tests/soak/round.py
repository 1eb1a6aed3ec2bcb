"""One round of a soak: publishers and readers run, faults come one after the other, then all is checked."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence

import aiohttp

from tests.process import POLL_S, eventually
from tests.soak.checker import Checker, Fault, Verdict
from tests.soak.faults import FaultKind, Target
from tests.soak.node import Node
from tests.soak.publisher import USERS, Publishers
from tests.soak.reader import Reader

RECOVERS_WITHIN_S = 60.0  # seconds until every node is ready and every reader gets events again
MARK_S = 6.0  # seconds until a mark that some reader has not got is followed by another
QUIET_S = (0.1, 0.6)  # seconds between two faults


class Round:
    """A round with *nodes*; :meth:`run` runs it.

    Attributes:
        done: How often each fault was done.
    """

    def __init__(self, name: str, nodes: Sequence[Node], seed: int) -> None:
        self._name = name
        self._nodes = nodes
        self._chance = random.Random(f"{seed} {name}")
        self._publishers = Publishers(lambda: self._chance.choice(nodes).url, name, self._chance)
        self._readers = [*self._wandering(), *self._staying()]
        self._faults: list[Fault] = []
        self._stuck: list[str] = []
        self.done: Counter[str] = Counter()

    def _wandering(self) -> list[Reader]:
        users: list[tuple[str | None, bool]] = [(USERS[0], False), (USERS[1], True), (None, False)]
        return [
            Reader(lambda: self._chance.choice(self._nodes), user, self._chance, many=many, wanders=True)
            for user, many in users
        ]

    def _staying(self) -> list[Reader]:
        readers = [
            Reader(lambda node=node: node, None, self._chance, many=False, wanders=False)
            for node in self._nodes
        ]
        return [*readers, Reader(lambda: self._nodes[0], USERS[2], self._chance, many=True, wanders=False)]

    async def run(self, kinds: Sequence[FaultKind], count: int, until: float) -> Verdict:
        """Do *count* faults, or as many as there is time for before *until* (monotonic seconds)."""
        following = [asyncio.create_task(reader.follow()) for reader in self._readers]
        try:
            async with asyncio.timeout(RECOVERS_WITHIN_S):
                for reader in self._readers:
                    await reader.started.wait()
            self._publishers.start()
            for number in range(count):
                if time.monotonic() > until or self._stuck:
                    break
                await asyncio.sleep(self._chance.uniform(*QUIET_S))
                await self._fault(self._chance.choice(kinds), f"{self._name}-fault-{number}")
            await self._publishers.stop()
            await self._heard_by_all(f"{self._name}-end")
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        return self._verdict()

    async def _fault(self, kind: FaultKind, name: str) -> None:
        self.done[kind.name] += 1
        began = time.monotonic()
        target = Target(self._nodes, self._readers, self._publishers, self._chance)
        try:
            await kind.do(target, name)
            await self._heard_by_all(name)
        except (TimeoutError, AssertionError, RuntimeError) as error:
            self._stuck.append(f"{kind.name}: {error!r}")
        self._faults.append(Fault(kind.name, began, time.monotonic(), kind.lossy))

    async def _heard_by_all(self, mark: str) -> None:
        """Wait until every node is ready, and every reader has got an event that was published after that."""
        async with asyncio.timeout(RECOVERS_WITHIN_S):
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
                for node in self._nodes:
                    await eventually(
                        lambda node=node: _is_ready(session, node),
                        f"{node.name} is ready",
                        within=RECOVERS_WITHIN_S,
                    )
            # A reader that came back after a mark may get a gap instead of it: the next one is for that reader.
            for number in itertools.count():
                await self._publishers.say(f"{mark}-{number}")
                if await self._is_seen_by_all(f"{mark}-{number}"):
                    return

    async def _is_seen_by_all(self, mark: str) -> bool:
        """Whether every reader gets *mark* within a while."""
        try:
            async with asyncio.timeout(MARK_S):
                while not all(mark in reader.seen for reader in self._readers):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return False
        return True

    def _verdict(self) -> Verdict:
        checker = Checker(self._publishers.promises, self._publishers.unsure, self._faults)
        verdict = checker.check([(reader.name, reader.user, reader.received) for reader in self._readers])
        verdict.counts["faults"] += len(self._faults)
        verdict.counts["connects"] += sum(reader.connects for reader in self._readers)
        for reader in self._readers:
            for wrong in reader.wrong:
                verdict.blame("frames", wrong)
        for stuck in self._stuck:
            verdict.blame("stuck", stuck)
        for node in self._nodes:
            for kind, detail in node.wrong:
                verdict.blame(kind, detail)
            node.wrong.clear()
        return verdict


async def _is_ready(session: aiohttp.ClientSession, node: Node) -> bool:
    try:
        async with session.get(node.url + "/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False

"""The verdict on one round: what was acknowledged, what each reader got, what is wrong. Pure.

A reader must get every acknowledged event that is for it, once, in order and unchanged. Only an ``sse.gap`` excuses
a missing one: it excuses what lies between the reader's position and the id of the gap frame.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

NOTICED_S = 2.0  # seconds until a node has noticed what a fault took: it looks once a second

Place = tuple[int, int]  # an id: its epoch's place in the order of epochs, its number


@dataclass(frozen=True, slots=True)
class Promise:
    """An event that was answered with 2xx; ``users`` is ``None`` for a broadcast, ``at`` is monotonic seconds."""

    id: str
    data: str
    users: frozenset[str] | None
    at: float


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it came to a reader; ``gap`` for an ``sse.gap``, whose ``after`` is the reader's position before."""

    id: str
    data: str
    at: float
    gap: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the service, from ``began`` until all readers had recovered; ``lossy`` if it may lose events."""

    name: str
    began: float
    over: float
    lossy: bool


@dataclass
class Verdict:
    """What is wrong, by kind, and what was counted."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def blame(self, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.wrong.append(f"{kind}: {detail}")


WRONG = ("lost", "repeated", "out of order", "changed", "published twice", "id given twice", "not for this user",
         "never published", "without an id", "false gaps", "stuck", "died", "exit status", "traceback")  # fmt: skip


class Checker:
    """Checks the readers of one round.

    Args:
        promises: All that was acknowledged, in the order of the answers.
        unsure: Data of publishes without an answer, which may or may not be there.
        faults: What was done meanwhile.
    """

    def __init__(self, promises: Sequence[Promise], unsure: set[str], faults: Sequence[Fault]) -> None:
        self._promises = promises
        self._reply_lost = unsure
        self._faults = faults
        self._said = {promise.data: promise for promise in promises}
        self._by_id = {promise.id: promise for promise in promises}
        self._epochs: dict[str, int] = {}
        self.verdict = Verdict()

    def check(self, readers: Sequence[tuple[str, str | None, Sequence[Received]]]) -> Verdict:
        """Check *readers*: the name, the user (``None`` for one who gets everything) and what came, of each."""
        everything = [*self._promises, *(one for _, _, received in readers for one in received)]
        for one in sorted(everything, key=lambda one: one.at):
            self._epochs.setdefault(one.id.rpartition("-")[0], len(self._epochs))
        self._check_promises()
        for name, user, received in readers:
            self._check_reader(name, user, received)
        return self.verdict

    def _place(self, id_: str) -> Place:
        epoch, _, number = id_.rpartition("-")
        return self._epochs.setdefault(epoch, len(self._epochs)), int(number)

    def _lossy_between(self, first: float, last: float) -> bool:
        return any(
            fault.lossy and fault.began <= last and first <= fault.over + NOTICED_S for fault in self._faults
        )

    def _check_promises(self) -> None:
        by_id: dict[str, Promise] = {}
        by_data: dict[str, Promise] = {}
        for promise in self._promises:
            self.verdict.counts["events"] += 1
            if promise.id in by_id and by_id[promise.id].data != promise.data:
                self.verdict.blame(
                    "id given twice", f"{promise.id}: {by_id[promise.id].data}, {promise.data}"
                )
            by_id[promise.id] = promise
            by_data[promise.data] = promise

    def _check_reader(self, name: str, user: str | None, received: Sequence[Received]) -> None:
        excused: list[tuple[Place, Place]] = []
        position: Place | None = None
        seen: dict[str, Received] = {}
        data: dict[str, Received] = {}
        for one in received:
            if not one.id:
                self.verdict.blame("without an id", f"{name}: {one.data}")
                continue
            place = self._place(one.id)
            if one.gap:
                excused.append((self._place(one.after) if one.after else (-1, 0), place))
                self._check_gap(name, one)
                position = place
                continue
            if one.id in seen:
                self.verdict.blame("repeated", f"{name}: {one.id} {one.data}")
            elif position is not None and place <= position:
                self.verdict.blame("out of order", f"{name}: {one.id} {one.data}")
            position = max(place, position or place)
            seen[one.id] = one
            self._check_event(name, user, one, data)
            data[one.data] = one
        self.verdict.counts["received"] += len(seen)
        self._check_missing(name, user, seen, excused)

    def _check_event(self, name: str, user: str | None, one: Received, data: dict[str, Received]) -> None:
        before = data.get(one.data)
        if before is not None and before.id != one.id and not self._lossy_between(before.at, one.at):
            self.verdict.blame("published twice", f"{name}: {one.data} as {before.id} and {one.id}")
        promise = self._by_id.get(one.id)
        if promise is not None and promise.data != one.data:
            self.verdict.blame("changed", f"{name}: {one.id} was {promise.data}, came as {one.data}")
        promise = promise or self._said.get(one.data)
        if promise is None and one.data not in self._reply_lost:
            self.verdict.blame("never published", f"{name}: {one.id} {one.data}")
        elif (
            promise is not None
            and user is not None
            and promise.users is not None
            and user not in promise.users
        ):
            self.verdict.blame("not for this user", f"{name}: {one.id} {one.data}")

    def _check_gap(self, name: str, gap: Received) -> None:
        self.verdict.counts["gaps"] += 1
        if not self._lossy_between(gap.at, gap.at):
            during = [fault.name for fault in self._faults if fault.began <= gap.at <= fault.over]
            self.verdict.blame(
                "false gaps", f"{name}: after {gap.after}: {gap.data}, at {gap.id}, during {during}"
            )

    def _check_missing(
        self, name: str, user: str | None, seen: dict[str, Received], excused: list[tuple[Place, Place]]
    ) -> None:
        spans = sorted(excused)
        starts = [first for first, _ in spans]
        for promise in self._promises:
            its = promise.users is None or user is None or user in promise.users
            if not its or promise.id in seen:
                continue
            place = self._place(promise.id)
            before = spans[: bisect_right(starts, place)]
            if any(first < place <= last for first, last in before):
                self.verdict.counts["missing, told by a gap"] += 1
            else:
                self.verdict.blame("lost", f"{name}: {promise.id} {promise.data}")

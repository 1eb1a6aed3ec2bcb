"""What the embedded engine has after its process or its machine has died, and what a replay of it costs."""

import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.window import Window
from tests.events.engines.embedded.place import EmbeddedPlace, copied, machine_restarted, rows
from tests.events.engines.places import keys_of, said, said_of
from tests.events.fakes import DEADLINE_S, until

# -- machines that die -----------------------------------------------------------------------------


async def test_machine_that_went_down_leaves_a_new_epoch(place: EmbeddedPlace) -> None:
    """Commits may not have reached its disk: their numbers would be given out again."""
    life = await place.open()
    await life.keep(said(1))
    place.crash(life)
    machine_restarted(place.dir)
    again = await place.open()
    assert again.engine.epoch != life.engine.epoch
    await again.keep(said(2))
    assert len({event.id for event in await again.replay()}) == 2
    epoch = again.engine.epoch
    place.crash(again)
    assert (await place.open()).engine.epoch == epoch, "of this machine's life there is one only"


async def test_machine_that_went_down_leaves_the_epoch_where_each_commit_is_flushed(tmp_path: Path) -> None:
    place = EmbeddedPlace(tmp_path, sync="full")
    life = await place.open()
    await life.keep(said(1))
    place.crash(life)
    machine_restarted(place.dir)
    assert (await place.open()).engine.epoch == life.engine.epoch
    await place.clean()


async def test_machine_that_restarts_after_an_orderly_end_leaves_the_epoch(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said(1))
    await place.close(life)
    machine_restarted(place.dir)
    assert (await place.open()).engine.epoch == life.engine.epoch


async def test_flushing_from_now_on_does_not_hide_what_the_machine_lost_before(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said(1))
    place.crash(life)
    machine_restarted(place.dir)
    place.sync = "full"
    assert (await place.open()).engine.epoch != life.engine.epoch


async def test_machine_that_loses_the_whole_log_cannot_give_an_id_twice(
    place: EmbeddedPlace, tmp_path: Path
) -> None:
    """A store that was closed in order, opened anew, and lost all that this life had not yet on its disk."""
    first = await place.open()
    await first.keep(said("on disk"))
    await place.close(first)
    second = await place.open()
    (lost,) = await second.keep(said("acknowledged, then lost"))
    place.dir = copied(place.dir, tmp_path / "after", log=False)
    machine_restarted(place.dir)
    third = await place.open()
    (given_,) = await third.keep(said("something else"))
    assert given_ != lost


# -- kill -9 ---------------------------------------------------------------------------------------

_CHILD = """
import asyncio, sys
from pathlib import Path
from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.event import Event
from sse_push.events.group import EventList

store.ROUTES_BEHIND_EVENTS, embedded.CHORES_EVERY_S = 50, 0.001

async def main():
    engine = EmbeddedEngine(Path(sys.argv[1]), max_events=10**6, max_age=1e12)
    await engine.start(EngineListener())
    n = int(sys.argv[2])
    while True:
        receipts = []
        for _ in range(5):
            receipt = asyncio.get_running_loop().create_future()
            engine.append(EventList([Event("app", ("app",), b'"%d"' % m, at=1.7e9) for m in (n, n + 1)]), receipt)
            receipts.append((n, receipt))
            n += 2
        for first, receipt in receipts:
            print(first, *await receipt, flush=True)

asyncio.run(main())
"""


@pytest.mark.process
async def test_what_was_acknowledged_survives_kill_9(place: EmbeddedPlace) -> None:
    acknowledged: dict[str, bytes] = {}
    for round_ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(place.dir), str(round_ * 10_000_000)], stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(300)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
        finally:
            child.kill()
            child.wait(DEADLINE_S)
            if child.stdout is not None:
                child.stdout.close()
        for line in lines:
            if line.endswith(b"\n"):
                first, *its = line.decode().split()
                acknowledged |= {id_: b'"%d"' % (int(first) + n) for n, id_ in enumerate(its)}
    assert len(acknowledged) >= 3 * 600
    life = await place.open(max_events=10**6, max_age=1e12)
    found = {str(event.id): event.data for event in await life.replay()}
    assert acknowledged.items() <= found.items()
    kept = sorted(int(data.strip(b'"')) for data in found.values())
    assert all(n + 1 in kept for n in kept[::2]), "groups of two are there whole"


# -- what a replay costs ---------------------------------------------------------------------------


class Steps:
    """Counts what SQLite's machine does on every connection opened from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        connect = sqlite3.connect

        def counted(*args: object, **more: object) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*args, **more)  # type: ignore[call-overload]
            db.set_progress_handler(self.step, 1)
            return db

        monkeypatch.setattr(sqlite3, "connect", counted)

    def step(self) -> int:
        self.count += 1
        return 0


async def steps_of_a_replay(place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch, others: int) -> int:
    """Steps of SQLite for a replay of ten events from disk, with *others* before, between and behind them."""
    life = await place.open()
    for n in range(10):
        life.append(said(n, ["me"]))
        life.append(*(said(f"{n}-{m}", [f"other{n}-{m}"]) for m in range(others // 10)))
    await life.keep(said("last", ["nobody"]))
    await until(lambda: rows(place.dir, "routes"))
    await place.close(life)
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "Window", partial(Window, max_bytes=1))
        patched.setattr(embedded, "CHORES_EVERY_S", 3600.0)  # their steps are not the replay's
        steps = Steps(patched)
        again = await place.open()
        await again.replay(keys_of("me"))  # the first one checks the routes of all
        before = steps.count
        found = await again.replay(keys_of("me"))
        assert said_of(found) == said_of([said(n, ["me"]) for n in range(10)])
        assert steps.count > before, "nothing was read from disk"
        return steps.count - before


async def test_replay_costs_nothing_for_ten_thousand_events_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 10)
    alone, among = EmbeddedPlace(tmp_path / "alone"), EmbeddedPlace(tmp_path / "among")
    # Room for the few segments more and for packs that are not shared; not for looking at the others.
    few = await steps_of_a_replay(alone, monkeypatch, 0)
    many = await steps_of_a_replay(among, monkeypatch, 10_000)
    await alone.clean()
    await among.clean()
    assert many < few + 1000, (few, many)

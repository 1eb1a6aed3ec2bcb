"""Where the embedded engine keeps its events in tests: a directory, copies of it for crashes, and what else may befall it."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.window import Window
from tests.events.engines.places import Life, Place

_number = count()


class EmbeddedPlace(Place):
    def __init__(self, parent: Path, sync: Literal["normal", "full"] = "normal") -> None:
        super().__init__()
        self._parent = parent
        self.dir = self._new_dir()
        self.sync = sync

    def _new_dir(self) -> Path:
        return self._parent / f"data{next(_number)}"

    def new_engine(self, **limits: Any) -> EmbeddedEngine:
        return EmbeddedEngine(self.dir, sync=self.sync, clock=self.clock, **limits)

    def crash(self, life: Life) -> None:
        """The next life finds what the files hold now; the engine that is dead to it goes on elsewhere."""
        self.dir = copied(self.dir, self._new_dir())

    def lose(self) -> None:
        shutil.rmtree(self.dir)

    @contextmanager
    def outage(self, life: Life) -> Iterator[None]:
        with full_disk():
            yield


def copied(source: Path, target: Path, *, log: bool = True) -> Path:
    """The files of *source* as the death of its process would leave them.

    Args:
        log: With the write-ahead log; without it, as the death of the machine may leave them.
    """
    target.mkdir(parents=True)
    with closing(sqlite3.connect(source / "events.db", isolation_level=None)) as db:
        # Whoever writes is done, and nobody begins: then the log first, for a checkpoint moves pages from
        # it to the file, never back.
        db.execute("BEGIN IMMEDIATE")
        for name in ("events.db-wal", "events.db", "events.head") if log else ("events.db", "events.head"):
            # The record of how far it was is written after each commit, before that is answered.
            if (source / name).exists():
                shutil.copy(source / name, target / name)
        db.execute("ROLLBACK")
    return target


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow or be written to: the system refuses, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def machine_restarted(directory: Path) -> None:
    """Let the store believe that it was last open before the machine was started anew.

    What it says of an orderly end, or of flushing each commit (both the empty text), stays.
    """
    with closing(sqlite3.connect(directory / "events.db")) as db, db:
        db.execute("UPDATE meta SET value = 'an earlier boot' WHERE name = 'boot' AND value != ''")


def rows(directory: Path, table: str) -> int:
    with closing(sqlite3.connect(directory / "events.db")) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def on_disk_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events get their routes soon and leave memory at once, so that a replay reads them from disk."""
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 1)
    monkeypatch.setattr(embedded, "Window", partial(Window, max_bytes=1))

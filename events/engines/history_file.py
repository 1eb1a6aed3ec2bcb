"""The embedded engine's file of history: its tables, its form, its epoch, and SQLite's small talk.

Knows SQLite; does not know what is appended when, nor what may go. Blocking.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from events.ids import new_epoch

FORMAT = "4"
_READABLE = ("", "2", "3", FORMAT)  # a new file; packs of one form only; keys without fingerprints; these

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS packs (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, at REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS segments (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS routes (
    segment INTEGER NOT NULL, key TEXT NOT NULL, seqs TEXT NOT NULL,
    PRIMARY KEY (segment, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS published (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, at REAL NOT NULL, fingerprint TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS published_at ON published (at);
"""


class HistoryFile:
    """An open file, for whoever writes it.

    Args:
        path: Made if it is not there.
        log_bytes: What the write-ahead log is cut to at a checkpoint.
        sync: SQLite's ``synchronous``: ``normal`` survives the death of the process, ``full`` also
            that of the machine, at the price of a disk flush for each commit.

    Attributes:
        epoch: Its name, which its ids carry.

    Raises:
        sqlite3.Error: It can't be opened, or is not ours to read.
    """

    def __init__(self, path: Path, *, log_bytes: int, sync: Literal["normal", "full"]) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.execute = self._db.execute
        self.executemany = self._db.executemany
        try:
            self.epoch = self._open(log_bytes, sync)
        except BaseException:
            self.close()
            raise

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()

    def meta(self, name: str) -> str:
        row = self.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set(self, **values: object) -> None:
        rows = [(name, str(value)) for name, value in values.items()]
        self.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def scalar(self, query: str, *values: object) -> int:
        return int(self.execute(query, values).fetchone()[0] or 0)

    def delete(self, what: str, *values: object) -> int:
        return self.execute(f"DELETE FROM {what}", values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise

    def _open(self, log_bytes: int, sync: str) -> str:
        """Make the file ready; its epoch.

        A new one where the machine went down with commits that were not yet on its disk: clients may
        hold ids of events that are gone, whose numbers are given out again.
        """
        log_limit = f"journal_size_limit={log_bytes}"
        for pragma in ("journal_mode=WAL", "synchronous=full", "wal_autocheckpoint=0", log_limit):
            self.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        if self.meta("format") not in _READABLE:
            raise sqlite3.DatabaseError("it was written by another version of sse-push")
        if "fingerprint" not in [row[1] for row in self.execute("PRAGMA table_info(published)")]:
            self.execute("ALTER TABLE published ADD COLUMN fingerprint TEXT")
        boot = _boot_id()
        epoch = self.meta("epoch")
        if not epoch or self.meta("boot") not in ("", boot):
            epoch = new_epoch()
        # On the disk before the first commit that may not be, or a lost log would take this with it.
        self.set(epoch=epoch, boot=boot if sync == "normal" else "", format=FORMAT)
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.execute(f"PRAGMA synchronous={sync}")
        return epoch


def _boot_id() -> str:
    """Which start of the machine this is; the empty text where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""

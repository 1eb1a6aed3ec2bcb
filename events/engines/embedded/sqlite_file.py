"""The embedded engine's file of history: its tables, its form, its epoch, and SQLite's small talk.

Knows SQLite; does not know what is appended when, nor what may go. Blocking.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sse_push.events.engines.embedded.damage import OtherVersion
from sse_push.events.ids import new_epoch

FORMAT = "5"
_READABLE = (
    "",
    "2",
    "3",
    "4",
    FORMAT,
)  # a new file; packs of one form only; no fingerprints; no checksums; these
LOCK_WAIT_S = 5.0  # seconds that a start waits for another process to unlock the file
CHECK_BYTES = (
    64 * 2**20
)  # bytes of a file that is checked whole at a start (0.1 s); in a larger one, reads and writes meet damage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS packs (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, at REAL NOT NULL, body BLOB NOT NULL, checksum INTEGER);
CREATE TABLE IF NOT EXISTS segments (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, checksum INTEGER);
CREATE TABLE IF NOT EXISTS routes (
    segment INTEGER NOT NULL, key TEXT NOT NULL, seqs TEXT NOT NULL,
    PRIMARY KEY (segment, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS published (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, at REAL NOT NULL, fingerprint TEXT,
    checksum INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS published_at ON published (at);
"""


class SqliteFile:
    """An open file, for whoever writes it.

    Args:
        path: Made if it is not there.
        log_bytes: What the write-ahead log is cut to at a checkpoint.
        sync: SQLite's ``synchronous``: ``normal`` survives the death of the process, ``full`` also
            that of the machine, at the price of a disk flush for each commit.

    Attributes:
        epoch: Its name, which its ids carry.
        is_new: It was made, or is another one now.
        is_upgraded: An earlier version wrote it last.

    Raises:
        sqlite3.Error: It can't be opened, or is not ours to read.
    """

    def __init__(self, path: Path, *, log_bytes: int, sync: Literal["normal", "full"]) -> None:
        self._path, self._sync = path, sync
        self._db = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
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
            raise OtherVersion("it was written by another version of sse-push")
        if self._path.stat().st_size <= CHECK_BYTES:
            found = self.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise ValueError(found)
        self._add_columns(published="fingerprint TEXT")
        self._add_columns(published="checksum INTEGER", packs="checksum INTEGER", segments="checksum INTEGER")
        boot = _boot_id()
        epoch = self.meta("epoch")
        self.is_new = not epoch or self.meta("boot") not in ("", boot)
        self.is_upgraded = self.meta("format") != FORMAT
        if self.is_new:
            epoch = new_epoch()
        if self.is_upgraded:
            self.set(unchecked=self.scalar("SELECT max(last) FROM packs"))
        # On the disk before the first commit that may not be, or a lost log would take this with it.
        self.set(epoch=epoch, boot=boot if sync == "normal" else "", format=FORMAT)
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.execute(f"PRAGMA synchronous={sync}")
        self.execute("PRAGMA busy_timeout=0")  # from now on the event loop asks
        return epoch

    def begin_epoch(self) -> None:
        """It is another store from now on: some of what it had is gone."""
        self.epoch, self.is_new = new_epoch(), True
        self.execute("PRAGMA synchronous=full")
        self.set(epoch=self.epoch)
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.execute(f"PRAGMA synchronous={self._sync}")

    def wait_for_locks(self) -> None:
        """From now on wait for other processes, on a thread: to end in order."""
        self.execute(f"PRAGMA busy_timeout={LOCK_WAIT_S * 1000:.0f}")

    @property
    def used_bytes(self) -> int:
        """What it takes, but for pages that are free to be used again."""
        pages, free, size = [
            self.scalar(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
        ]
        return (pages - free) * size

    def _add_columns(self, **columns: str) -> None:
        for table, column in columns.items():
            if column.split()[0] not in [row[1] for row in self.execute(f"PRAGMA table_info({table})")]:
                self.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _boot_id() -> str:
    """Which start of the machine this is; the empty text where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""

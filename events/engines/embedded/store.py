"""The embedded engine's history on disk: one SQLite file (sqlite_file.py), one writer.

Events are appended in packs (one row for many events), which is what a commit costs. Which events are
for which routing key (``routes``) is written behind, a segment of many events at once, by ``chores``;
until then the engine's window answers. docs/design/0002-history.md has the measurements.

Blocking, and for one thread at a time: the engine sees to both. Knows no event loop.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Literal
from zlib import crc32

import structlog
from pydantic_core import to_json

from sse_push.events.engines.embedded.ages import Ages
from sse_push.events.engines.embedded.damage import OtherVersion, is_damage
from sse_push.events.engines.embedded.head_record import HeadRecord
from sse_push.events.engines.embedded.published import Published, PublishedKeys
from sse_push.events.engines.embedded.reader import ROUTES_AT_ONCE, start_of_routes
from sse_push.events.engines.embedded.sqlite_file import FORMAT, SqliteFile
from sse_push.events.engines.packs import PACK_EVENTS, checksum_of, packs_of, unpack_row
from sse_push.events.errors import KeyReused
from sse_push.events.group import EventGroup, EventList
from sse_push.events.ids import format_id
from sse_push.events.window import size_of

ROUTES_BEHIND_EVENTS = 40_000  # events that may wait for their routes; in bulk they cost a fifth
ROUTES_BEHIND_BYTES = 40 * 2**20  # bytes they may take meanwhile, in the window
_SLICE_ROWS = 1000  # rows a chore writes at once (about 2 ms): a commit waits no longer than that
_CHECKPOINT_BYTES = 16 * 2**20  # bytes appended to the write-ahead log between its checkpoints
_COMMIT_BYTES = 4 * 4096  # what a commit appends beside its packs: the pages of the tables it touches
_KEY_BYTES = 2 * 4096  # what an idempotency key appends: a page of its table, one of its index
_SWEEP_EVENTS = 1024  # events past the limits that may stay on disk, never replayed, until a sweep
_PACK_ROW_BYTES = 100  # of a pack beside its body: its place in pages, and the index of its events
_SLACK_EVENTS = 100_000  # events by which a store may be ahead of its record, which is written after a commit
_MOST_BEHIND = (
    200_000  # events without routes that a start takes into memory; more say that the file is damaged
)
_LATEST_TIME = 1e11  # seconds since the Unix epoch (year 5138): a later time is damaged
_INSERT = "INSERT INTO packs VALUES (?, ?, ?, ?, ?)"

_log = structlog.get_logger()


class Store:
    """The writing side.

    Args:
        path: The database file; made if it is not there.
        max_events: Newest events that can be replayed.
        max_age: Seconds for which an event can be replayed.
        max_bytes: What the file may take, indexes with it; past it the oldest events go.
        key_age: Seconds for which an idempotency key is remembered.
        sync: SQLite's ``synchronous``: ``normal`` survives the death of the process, ``full`` also
            that of the machine, at the price of a disk flush for each commit.

    Attributes:
        epoch: The store's name, which its ids carry.
        head: The newest event's number.
        floor: Events up to this number are no longer replayed.
        indexed: Events up to this number have their routes on disk.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_events: int,
        max_age: float,
        max_bytes: int = 2**30,
        key_age: float = 600.0,
        sync: Literal["normal", "full"] = "normal",
    ) -> None:
        self._record = HeadRecord(path.with_suffix(".head"), FORMAT)
        try:
            self._file = self._open(path, sync)
        except BaseException:
            self._record.close()
            raise
        try:
            self._load(max_events, max_age, max_bytes, key_age)
        except BaseException:
            self._file.close()
            self._record.close()
            raise

    def _open(self, path: Path, sync: Literal["normal", "full"]) -> SqliteFile:
        try:
            return SqliteFile(path, log_bytes=2 * _CHECKPOINT_BYTES, sync=sync)
        except OtherVersion:
            if self._record.found is None or self._record.found.form != FORMAT:
                raise
            raise ValueError("what it says of its form is damaged") from None

    def _load(self, max_events: int, max_age: float, max_bytes: int, key_age: float) -> None:
        self._max_bytes = max_bytes
        self._over_bytes = False
        self._max_events = max_events
        self._max_age = max_age
        self._behind: list[EventGroup] = []
        self._behind_events = 0
        self._behind_bytes = 0
        self._log_bytes = self._log_bytes_seen = 0
        self.head = max(self._file.scalar("SELECT max(last) FROM packs"), int(self._file.meta("head") or 0))
        self._compare_with_record()
        self.epoch = self._file.epoch
        self.unchecked = int(self._file.meta("unchecked") or 0)
        self.indexed = min(self.head, self._file.scalar("SELECT max(last) FROM segments"))
        self.floor = max(int(self._file.meta("floor") or 0), self.head - max_events)
        self._swept = int(self._file.meta("floor") or 0)
        self._ages = self._ages_in_file()
        self._keys = PublishedKeys(self._file, self._ages, key_age)
        self._file.delete("routes WHERE segment > ?", self.indexed)  # of a segment that a death cut short

    def _compare_with_record(self) -> None:
        """A store that has less than was recorded, or something else, has lost events: it is another one from now on."""
        file, found = self._file, self._record.found
        head = max(self.head, found.head if found else 0, self._file.scalar("SELECT max(first) FROM packs"))
        if found is None:
            is_whole = file.is_new or file.is_upgraded
        else:
            is_whole = found.epoch == file.epoch and 0 <= self.head - found.head <= _SLACK_EVENTS
        if not is_whole and not file.is_new:
            file.begin_epoch()
            _log.error("engine.history_lost", epoch=file.epoch)
        if not is_whole or file.is_new:
            self.head = head  # no number twice, in whatever epoch
        self._record.write(file.epoch, self.head)

    def close(self) -> None:
        """Write down that all ended well, and close the file."""
        try:
            self._file.wait_for_locks()
            self._file.set(boot="", head=self.head, floor=self.floor)
        finally:
            self._file.close()
            self._record.close()

    def _ages_in_file(self) -> Ages:
        file = self._file
        # A damaged time does not count: the rest of the store is still good.
        numbers = "typeof(at) IN ('real', 'integer') AND at BETWEEN 0 AND ?"
        packs = f"SELECT at FROM packs WHERE {numbers} ORDER BY first DESC LIMIT 1"  # noqa: S608 - no value in it
        keys = f"SELECT max(at) FROM published WHERE {numbers}"  # noqa: S608 - no value in it
        newest = file.execute(packs, (_LATEST_TIME,)).fetchone()
        latest = max(
            newest[0] if newest else 0.0,
            file.execute(keys, (_LATEST_TIME,)).fetchone()[0] or 0.0,
            _time_of(file.meta("clock_ahead_to")),
        )
        return Ages(
            latest,
            _time_of(file.meta("clock_set_back_at")),
            lambda ahead_to, at: file.set(clock_ahead_to=ahead_to if at else 0.0, clock_set_back_at=at),
        )

    # -- appending ---------------------------------------------------------------------------

    def reused(self, appends: Sequence[EventGroup], now: float) -> dict[int, KeyReused]:
        """Those of *appends* that use an idempotency key for something else than before, by their places.

        The others may be appended, together and at the same time.
        """
        self._ages.note(now)
        return self._keys.reused(appends, now)

    def append(self, events: EventGroup, now: float) -> EventGroup:
        """Number *events* and keep them, all or none; one commit.

        An event whose idempotency key was seen gets the number of the first one instead.

        Returns:
            Those that are new, in order.

        Raises:
            sqlite3.Error: None of them is kept.
        """
        self._ages.note(now)
        if not events.has_idempotency_keys:
            fresh = events
            fresh.assign_ids(self.epoch, self.head + 1)
            size = self._insert(fresh, now)
        else:
            try:
                with self._file.transaction():
                    fresh = self._assign_once(events, now)
                    size = self._insert(fresh, now)
            finally:
                self._keys.end_append()
        self.head += len(fresh)
        self._record.write(self.epoch, self.head)
        self.floor = max(self.floor, self.head - self._max_events)
        if fresh:
            self._behind.append(fresh)
        self._behind_events += len(fresh)
        self._behind_bytes += size_of(fresh)
        self._log_bytes += _COMMIT_BYTES + size
        return fresh

    def _insert(self, events: EventGroup, now: float) -> int:
        """Write *events* down, numbered; the bytes of their packs."""
        rows = [(*row, checksum_of(*row)) for row in packs_of(events, now)]
        if len(rows) == 1:  # one statement is all or none by itself
            self._file.execute(_INSERT, rows[0])
            return len(rows[0][3])
        if self._file.in_transaction:
            self._file.executemany(_INSERT, rows)
        else:
            with self._file.transaction():
                self._file.executemany(_INSERT, rows)
        return sum([len(body) for *_, body, _ in rows])

    def _assign_once(self, events: EventGroup, now: float) -> EventList:
        """Number *events*; returns those whose idempotency key was not used before. Others get the first id."""
        head, prefix = self.head, format_id(self.epoch, 0)[:-1]
        fresh = EventList()
        for event in events:
            if event.key is not None:
                known = self._keys.get(event.key, now)
                if known is not None:
                    event.seq, event.id = known.seq, f"{prefix}{known.seq}"
                    continue
                self._log_bytes += _KEY_BYTES
                self._keys.add(event.key, Published(head + 1, event.fingerprint), now)
            head += 1
            event.seq, event.id = head, f"{prefix}{head}"
            fresh.append(event)
        return fresh

    def probe(self) -> None:
        """Write something, to see whether writing works again.

        Raises:
            sqlite3.Error: It does not.
        """
        # As large as an event with its overhead may be: a nearly full disk takes a small row yet.
        self._file.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(131072))")

    # -- chores: work that can wait, in slices short enough for a commit to wait for ---------------

    @property
    def chores_due(self) -> bool:
        """Whether enough has gathered for a chore to be worth its while; age alone is not looked at."""
        return self._routes_due or self._log_bytes >= _CHECKPOINT_BYTES

    @property
    def _routes_due(self) -> bool:
        # A segment goes as a whole: it must be small beside what the history may take.
        return (
            self._behind_events >= min(ROUTES_BEHIND_EVENTS, self._max_bytes // 4096)
            or self._behind_bytes >= ROUTES_BEHIND_BYTES
        )

    def chores(self, now: float) -> Iterator[None]:
        """Whatever is due, a slice for each step. Safe to drop at any step, and to be killed in."""
        self._ages.note(now)
        if self._routes_due:
            yield from self._write_routes()
        yield from self._raise_floor(now)
        self._make_room()
        yield  # readers must know of the floor before anything below it goes
        if self._over_bytes or self.floor - self._swept >= _SWEEP_EVENTS:
            yield from self._sweep()
        yield from self._keys.forget_old(now, _SLICE_ROWS)
        idle = self._log_bytes == self._log_bytes_seen
        if self._log_bytes >= _CHECKPOINT_BYTES or (self._log_bytes and idle):
            self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._log_bytes = 0
        self._log_bytes_seen = self._log_bytes

    def _write_routes(self) -> Iterator[None]:
        due, due_events, due_bytes = self._behind[:], self._behind_events, self._behind_bytes
        first, last = due[0][0].seq, due[-1][-1].seq
        by_key: defaultdict[str, list[int]] = defaultdict(list)
        for events in due:
            events.add_to_index(by_key)
        rows = iter(sorted(by_key.items()))
        checksum = start_of_routes(first, last)
        while some := list(islice(rows, ROUTES_AT_ONCE)):
            routes = to_json(dict(some))
            checksum = crc32(routes, checksum)
            # One statement for all: a thread that steps row by row fights the loop for the interpreter
            # at each. Rows of a slice before a crash are there already, of a shorter segment.
            self._file.execute(
                "INSERT OR REPLACE INTO routes SELECT ?, key, value FROM json_each(?)",
                (first, routes.decode()),
            )
            yield
        with self._file.transaction():
            self._file.execute("INSERT OR REPLACE INTO segments VALUES (?, ?, ?)", (first, last, checksum))
        self.indexed = last
        del self._behind[: len(due)]
        self._behind_events -= due_events
        self._behind_bytes = max(0, self._behind_bytes - due_bytes)

    def _raise_floor(self, now: float) -> Iterator[None]:
        # By walking from the oldest: an index of times would be two pages more to write for each commit.
        oldest = "SELECT last, at FROM packs WHERE last > ? ORDER BY first LIMIT ?"
        rows = 1  # most often not even the oldest is too old
        while True:
            packs = self._file.execute(oldest, (self.floor, rows)).fetchall()
            too_old = list(takewhile(lambda pack: self._is_too_old(pack[1], now), packs))
            if too_old:
                self.floor = too_old[-1][0]
            if len(too_old) < rows:
                return
            rows = _SLICE_ROWS
            yield

    def _is_too_old(self, at: object, now: float) -> bool:
        """Whether a pack is to go. What is no time is damage: that pack can't be read, and must not keep later ones."""
        return not isinstance(at, float) or self._ages.age(at, now) > self._max_age

    def _make_room(self) -> None:
        """Where the file takes too much, the oldest events go."""
        excess = self._file.used_bytes - self._max_bytes
        self._over_bytes = excess > 0
        oldest = "SELECT last, length(body) FROM packs WHERE last > ? ORDER BY first LIMIT ?"
        for last, size in (
            self._file.execute(oldest, (self.floor, _SLICE_ROWS)).fetchall() if excess > 0 else ()
        ):
            self.floor = max(self.floor, last)
            excess -= size + _PACK_ROW_BYTES
            if excess <= 0:
                break

    def _sweep(self) -> Iterator[None]:
        floor = self.floor
        self._file.set(head=self.head, floor=floor)
        gone = "SELECT first FROM packs WHERE first <= ? AND last <= ? ORDER BY first LIMIT ?"
        some = max(1, _SLICE_ROWS // PACK_EVENTS)
        while self._file.delete(f"packs WHERE first IN ({gone})", floor, floor, some):
            yield
        for (segment,) in self._file.execute("SELECT first FROM segments WHERE last <= ?", (floor,)).fetchall():  # fmt: skip
            its = "SELECT key FROM routes WHERE segment = ? LIMIT ?"
            while self._file.delete(
                f"routes WHERE segment = ? AND key IN ({its})", segment, segment, _SLICE_ROWS
            ):
                yield
            self._file.delete("segments WHERE first = ?", segment)
        self._swept = floor

    # -- what a start finds ------------------------------------------------------------------------

    def newest(self, max_events: int, max_bytes: int) -> EventList:
        """The newest events in order, as many as both bounds allow, and all that have no routes yet.

        They end at what can't be read: what is behind that, and has no routes, readers look for in the packs.
        """
        events = EventList()
        size = 0
        next_ = self.head
        rows = "SELECT first, last, at, body, checksum FROM packs ORDER BY first DESC"
        try:
            for row in self._file.execute(rows):
                first, last, *_, checksum = row
                full = len(events) >= max_events or size >= max_bytes
                if last <= self.floor or (full and (last <= self.indexed or len(events) > _MOST_BEHIND)):
                    break
                if last != next_ or (checksum is None and last > self.unchecked):
                    raise ValueError("events are missing")
                pack = unpack_row(self.epoch, *row)
                events += reversed(pack)
                size += size_of(pack)
                next_ = first - 1
        except (sqlite3.Error, ValueError, TypeError) as error:
            if not is_damage(error):
                raise
            _log.error("engine.damaged", what="events", first=self.floor + 1, last=next_)
        if next_ > self.floor:
            self.indexed = max(self.indexed, next_)
        events.reverse()
        behind = EventList([event for event in events if event.seq > self.indexed])
        self._behind = [behind] if behind else []
        self._behind_events, self._behind_bytes = len(behind), size_of(behind)
        return events


def _time_of(text: str) -> float:
    """The time in *text*; 0 if there is none, or it is damaged."""
    try:
        at = float(text or 0.0)
    except ValueError:
        return 0.0
    return at if 0 <= at <= _LATEST_TIME else 0.0

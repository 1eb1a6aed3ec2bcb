"""Reading the store: what one stream may see of the events on disk, and no more.

Blocking, one thread at a time, beside the writer (SQLite's write-ahead log lets it). Whatever is damaged is met here:
routes that are not as they were written are passed over and the packs read instead; packs that are not are told by
their numbers. Knows the store's tables; docs/design/0002-history.md tells why they are so.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import structlog
from pydantic_core import from_json, to_json

from sse_push.events.engines.base import Unreadable
from sse_push.events.engines.embedded.damage import is_damage
from sse_push.events.engines.packs import unpack_row
from sse_push.events.event import Event
from sse_push.events.group import EventGroup

ROUTES_AT_ONCE = 1000  # rows of routes that are written, and checked, together: part of the form of the file
_KNOWN_SEGMENTS = 10_000  # whose routes were checked; past it they are checked again

_log = structlog.get_logger()


class Lost(NamedTuple):
    """Events that can't be read, from one number to another."""

    first: int
    last: int


class HistoryReader:
    """The reading side: what one stream may see, and no more, from older events on disk.

    Args:
        unchecked: Up to this number an earlier version wrote, without checksums.
        sound: Segments whose routes were checked, for all readers of a file.
    """

    def __init__(
        self,
        path: Path,
        epoch: str,
        unchecked: int = 0,
        sound: dict[tuple[int, int, int | None], bool] | None = None,
    ) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        self._epoch = epoch
        self._unchecked = unchecked
        self._sound = {} if sound is None else sound
        self._pack: tuple[int, dict[int, Event]] = 0, {}

    def close(self) -> None:
        self._db.close()

    def read(
        self, keys: Sequence[str], after: int, upto: int, now: float, max_events: int, max_bytes: int
    ) -> tuple[list[Event], int]:
        """Events for *keys* numbered above *after* and up to *upto*, which have their routes.

        Returns:
            The events in order, and the number up to which they are all there are.

        Raises:
            Unreadable: Some at the beginning are damaged.
        """
        self._pack = 0, {}  # never older than the floor that the caller knows
        events: list[Event] = []
        lost_to = 0
        for count, its in enumerate(self._found(keys, after, upto), 1):
            if isinstance(its, Lost):
                if events:
                    return events, its.first - 1
                lost_to = its.last
                continue
            if lost_to:
                break
            if its.expires is None or its.expires > now:
                events.append(its)
                max_bytes -= len(its.frame())
            if max_bytes <= 0 or count >= max_events:
                return events, its.seq
        if lost_to:
            raise Unreadable(lost_to)
        return events, upto

    def _found(self, keys: Sequence[str], after: int, upto: int) -> Iterator[Event | Lost]:
        """What is for *keys*, in order, segment by segment; what is in none that is sound is looked for in all packs."""
        next_ = after + 1
        for first, last, checksum in self._segments(after, upto):
            if last < next_ or not self._is_sound(first, last, checksum):
                continue
            if first > next_:
                yield from self._scan(keys, next_, first - 1)
            next_ = max(next_, first)
            yield from self._by_routes(keys, first, next_, min(last, upto))
            next_ = last + 1
        if next_ <= upto:
            yield from self._scan(keys, next_, upto)

    def _segments(self, after: int, upto: int) -> list[tuple[int, int, int | None]]:
        query = "SELECT first, last, checksum FROM segments WHERE last > ? AND first <= ? ORDER BY first"
        try:
            return self._db.execute(query, (after, upto)).fetchall()
        except sqlite3.Error as error:
            _pass_over(error)
            return []

    def _is_sound(self, first: int, last: int, checksum: int | None) -> bool:
        """Whether the routes of a segment are as they were written: a look at all of them, once."""
        segment = first, last, checksum
        if segment not in self._sound:
            try:
                self._sound[segment] = (
                    checksum == self._checksum(first, last)
                    if checksum is not None
                    else last <= self._unchecked
                )
            except (sqlite3.Error, ValueError, TypeError) as error:
                _pass_over(error)
                self._sound[segment] = False
            if not self._sound[segment]:
                _log.error("engine.damaged", what="routes", first=first, last=last)
        is_sound = self._sound[segment]
        if len(self._sound) > _KNOWN_SEGMENTS:
            self._sound.clear()
        return is_sound

    def _checksum(self, first: int, last: int) -> int:
        checksum = start_of_routes(first, last)
        rows = self._db.execute("SELECT key, seqs FROM routes WHERE segment = ? ORDER BY key", (first,))
        while some := rows.fetchmany(ROUTES_AT_ONCE):
            numbers = from_json(f"[{','.join([seqs for _, seqs in some])}]")
            checksum = crc32(to_json(dict(zip([key for key, _ in some], numbers, strict=True))), checksum)
        return checksum

    def _by_routes(self, keys: Sequence[str], segment: int, first: int, last: int) -> Iterator[Event | Lost]:
        try:
            seqs = self._seqs(keys, segment)
        except (sqlite3.Error, ValueError, TypeError) as error:
            _pass_over(error)
            yield from self._scan(keys, first, last)
            return
        for seq in seqs:
            if first <= seq <= last:
                event = self._event(seq)
                yield Lost(seq, seq) if event is None else event

    def _seqs(self, keys: Sequence[str], segment: int) -> list[int]:
        found: set[int] = set()
        for key in keys:
            query = "SELECT seqs FROM routes WHERE segment = ? AND key = ?"
            for (seqs,) in self._db.execute(query, (segment, key)):
                found.update(from_json(seqs))
        return sorted(found)

    def _event(self, seq: int) -> Event | None:
        """The event numbered *seq*; ``None`` if it can't be read."""
        if seq not in self._pack[1]:
            query = "SELECT first, last, at, body, checksum FROM packs WHERE first <= ? ORDER BY first DESC LIMIT 1"
            try:
                row = self._db.execute(query, (seq,)).fetchone()
                if row is not None and self._pack[0] != row[0]:
                    self._pack = row[0], {}  # if it is damaged, no other of its events is asked for again
                    self._pack = row[0], {event.seq: event for event in self._unpacked(row)}
            except (sqlite3.Error, ValueError, TypeError) as error:
                _pass_over(error)
        return self._pack[1].get(seq)

    def _unpacked(self, row: tuple[int, int, float, bytes, int | None]) -> EventGroup:
        if row[4] is None and row[1] > self._unchecked:
            raise ValueError("a pack without a checksum")
        try:
            return unpack_row(self._epoch, *row)
        except ValueError:
            _log.error("engine.damaged", what="events", first=row[0], last=row[1])
            raise

    def _scan(self, keys: Collection[str], first: int, last: int) -> Iterator[Event | Lost]:
        """What is for *keys*, looked for among all events from *first* to *last*."""
        keys = {*keys}
        query = (
            "SELECT first, last, at, body, checksum FROM packs WHERE first <= ?2 AND first >="
            " ifnull((SELECT max(first) FROM packs WHERE first <= ?1), ?1) ORDER BY first"
        )
        next_ = first
        try:
            for row in self._db.execute(query, (first, last)):
                if row[0] > next_:
                    yield Lost(next_, row[0] - 1)
                    next_ = row[0]
                try:
                    events = self._unpacked(row)
                except (ValueError, TypeError):
                    continue  # lost up to the next pack
                for event in events:
                    if next_ <= event.seq <= last and not keys.isdisjoint(event.keys):
                        yield event
                next_ = max(next_, row[1] + 1)
        except (sqlite3.Error, ValueError, TypeError) as error:
            _pass_over(error)
        if next_ <= last:
            yield Lost(next_, last)


def start_of_routes(first: int, last: int) -> int:
    """What the checksum of a segment's routes begins with."""
    return crc32(b"%d-%d" % (first, last))


def _pass_over(error: Exception) -> None:
    """Go on, if *error* is of a damaged file; one that can't be read just now is told to whoever asked.

    Raises:
        sqlite3.Error: It is no damage.
    """
    if not is_damage(error):
        raise error

"""The idempotency keys of the embedded engine's history: the event of each, and what it was used for.

Knows its table; does not know how events are kept. Blocking.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from sse_push.events.engines.embedded.ages import Ages
from sse_push.events.engines.embedded.sqlite_file import SqliteFile
from sse_push.events.errors import KeyReused
from sse_push.events.event import Event
from sse_push.events.group import EventGroup


class Published(NamedTuple):
    """The event of a key."""

    seq: int
    fingerprint: str | None  # None for a key that an earlier version kept


class PublishedKeys:
    """The keys in *file* that are younger than *max_age* seconds."""

    def __init__(self, file: SqliteFile, ages: Ages, max_age: float) -> None:
        self._file = file
        self._ages = ages
        self._max_age = max_age
        self._unchecked = int(file.meta("unchecked") or 0)  # up to this number an earlier version wrote
        self._looked_up: dict[str, Published | None] = {}  # by the append that is being done

    def get(self, key: str, now: float) -> Published | None:
        """The event of *key*; ``None`` if it is not known."""
        if key in self._looked_up:
            return self._looked_up[key]
        row = self._file.execute(
            "SELECT seq, fingerprint, at, checksum FROM published WHERE key = ?", (key,)
        ).fetchone()
        known = row is not None and self._is_sound(key, *row) and self._ages.age(row[2], now) < self._max_age
        self._looked_up[key] = found = Published(*row[:2]) if known else None
        return found

    def add(self, key: str, published: Published, now: float) -> None:
        """Remember *published* as the event of *key*."""
        self._looked_up[key] = published
        row = key, published.seq, now, published.fingerprint
        self._file.execute("INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?)", (*row, _checksum(*row)))

    def _is_sound(self, key: str, seq: int, fingerprint: str | None, at: float, checksum: int | None) -> bool:
        """Whether a row is as it was written: a key that became another would swallow what is published with that."""
        if checksum is None:
            return seq <= self._unchecked
        return checksum == _checksum(key, seq, at, fingerprint)

    def end_append(self) -> None:
        """An append is done, or has failed: what was looked up for it may not be so any more."""
        self._looked_up.clear()

    def reused(self, appends: Iterable[EventGroup], now: float) -> dict[int, KeyReused]:
        """Those of *appends* that use a key for something else than before, by their places.

        What one of the others uses a key for counts as before for those behind it.
        """
        found: dict[int, KeyReused] = {}
        asked: dict[str, str | None] = {}
        for place, events in enumerate(appends):
            if not events.has_idempotency_keys:
                continue
            its = asked.copy()
            faults = [
                KeyReused(index) for index, event in enumerate(events) if self._differs(event, its, now)
            ]
            if faults:
                faults[0].others = [*faults[1:]]
                found[place] = faults[0]
            else:
                asked = its
        return found

    def _differs(self, event: Event, asked: dict[str, str | None], now: float) -> bool:
        """Whether *event*'s key was used for something else; notes in *asked* what it is used for."""
        if event.key is None:
            return False
        if event.key not in asked:
            known = self.get(event.key, now)
            asked[event.key] = event.fingerprint if known is None else known.fingerprint
        before = asked[event.key]
        return before is not None and event.fingerprint is not None and before != event.fingerprint

    def forget_old(self, now: float, rows: int) -> Iterator[None]:
        """Remove what is too old, *rows* at each step."""
        old = "SELECT key FROM published WHERE at <= ? LIMIT ?"
        while self._file.delete(f"published WHERE key IN ({old})", now - self._max_age, rows):
            yield
        ahead = "SELECT key FROM published WHERE at > ? LIMIT ?"
        while self._ages.ahead_for(now) >= self._max_age and self._file.delete(
            f"published WHERE key IN ({ahead})", now, rows
        ):
            yield


def _checksum(key: str, seq: int, at: float, fingerprint: str | None) -> int:
    return crc32(repr((key, seq, at, fingerprint)).encode(errors="backslashreplace"))

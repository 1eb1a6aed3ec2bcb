"""Reading the store: what one stream may see of the events on disk, and no more.

Blocking, one thread at a time, beside the writer (SQLite's write-ahead log lets it). Knows the store's
tables; docs/design/0002-history.md tells why they are so.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from pydantic_core import from_json

from events.engines.packs import unpack
from events.event import Event


class Reader:
    """The reading side: what one stream may see, and no more, from older events on disk."""

    def __init__(self, path: Path, epoch: str) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        self._epoch = epoch

    def close(self) -> None:
        self._db.close()

    def read(
        self, keys: Sequence[str], after: int, upto: int, now: float, max_events: int, max_bytes: int
    ) -> tuple[list[Event], int]:
        """Events for *keys* numbered above *after* and up to *upto*, which have their routes.

        Returns:
            The events in order, and the number up to which they are all there are.
        """
        seqs = list(islice(self._seqs(keys, after, upto), max_events))
        events: list[Event] = []
        pack: dict[int, Event] = {}
        for seq in seqs:
            if max_bytes <= 0:
                return events, events[-1].seq
            if seq not in pack:
                pack = self._pack_of(seq)
            event = pack.get(seq)  # a sweep may have taken it; the engine's floor tells the stream
            if event is not None and (event.expires is None or event.expires > now):
                events.append(event)
                max_bytes -= len(event.frame())
        return events, seqs[-1] if len(seqs) == max_events else upto

    def _seqs(self, keys: Sequence[str], after: int, upto: int) -> Iterator[int]:
        """The numbers for *keys*, in order: a look at each segment of the time, and at nobody else's."""
        query = (
            "SELECT segments.first, seqs FROM segments JOIN routes ON segment = segments.first"
            " WHERE last > ? AND segments.first <= ? AND key = ? ORDER BY segments.first"
        )
        its = [self._db.execute(query, (after, upto, key)) for key in keys]
        for _, rows in groupby(merge(*its, key=itemgetter(0)), itemgetter(0)):
            found = [seq for _, seqs in rows for seq in from_json(seqs)]
            yield from sorted(seq for seq in found if after < seq <= upto)

    def _pack_of(self, seq: int) -> dict[int, Event]:
        row = self._db.execute(
            "SELECT first, body FROM packs WHERE first <= ? ORDER BY first DESC LIMIT 1", (seq,)
        ).fetchone()
        return {event.seq: event for event in unpack(self._epoch, *row)} if row else {}

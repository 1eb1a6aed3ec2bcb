"""How far the store was, beside the store: a file of one line that does not share the fate of its write-ahead log.

A store that has less than was recorded has lost events that were acknowledged. Knows no tables. Blocking: a write to
the system's page cache, some µs, after each commit.
"""

import os
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import structlog

_LINE_BYTES = 64  # always as many: a write never needs room on the disk, and is whole or not there

_log = structlog.get_logger()


class Recorded(NamedTuple):
    """A store's epoch, the number of the newest event that it has kept, and the form in which it was written."""

    epoch: str
    head: int
    form: str


class HeadRecord:
    """The record at *path*, made if it is not there.

    Args:
        form: The form of the store from now on.

    Attributes:
        found: What it said.
    """

    def __init__(self, path: Path, form: str) -> None:
        self._form = form
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._failed = False
        self.found = _read(os.pread(self._file, 2 * _LINE_BYTES, 0))

    def write(self, epoch: str, head: int) -> None:
        """The store has kept all up to *head*. A failure is logged, once: the events are kept all the same."""
        text = b"%b %d %b" % (epoch.encode(), head, self._form.encode())
        line = (b"%08x %b" % (crc32(text), text)).ljust(_LINE_BYTES - 1) + b"\n"
        try:
            os.pwrite(self._file, line, 0)
        except OSError as error:
            if not self._failed:
                _log.error("engine.record_failed", error=str(error))
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        os.close(self._file)


def _read(line: bytes) -> Recorded | None:
    """What a line says; ``None`` if it is damaged or there is none."""
    checksum, _, text = line.rstrip(b" \n").partition(b" ")
    epoch, head, form, *more = [*text.split(b" "), b"", b"", b""]
    if len(line) != _LINE_BYTES or checksum != b"%08x" % crc32(text) or not head.isdigit() or any(more):
        return None
    return Recorded(epoch.decode(errors="replace"), int(head), form.decode(errors="replace"))

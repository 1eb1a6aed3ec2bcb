"""The mark that every measured event carries, so that a loss, a repeat or a stranger's event shows.

A mark says who the event is for (``-1`` is everybody), who published it, its number among those of this
publisher to this audience, and when it was due. Knows bytes only.
"""

import re
from dataclasses import dataclass

EVERYBODY = -1
_MARK = re.compile(rb'\{"i":(-?\d+),"p":(\d+),"n":(\d+),"t":(\d+),"pad":"x*"\}')


def mark(target: int, publisher: int, number: int, due_ns: int, size: int) -> bytes:
    """A JSON object of *size* bytes (or what the numbers take) that holds the mark."""
    head = b'{"i":%d,"p":%d,"n":%d,"t":%d,"pad":"' % (target, publisher, number, due_ns)
    return head + b"x" * (size - len(head) - 2) + b'"}'


@dataclass(frozen=True, slots=True)
class Marks:
    """What a piece of a stream holds.

    Attributes:
        count: Its whole marks.
        runs: ``(target, publisher, first, last)`` of each unbroken run of numbers.
        due: When each was due, in nanoseconds.
        rest: A mark that is cut off at the end, to be put before the next piece.
    """

    count: int
    runs: tuple[tuple[int, int, int, int], ...]
    due: tuple[int, ...]
    rest: bytes


def read_marks(data: bytes) -> Marks:
    """Find the marks of *data*, whatever frames and chunks are around them."""
    runs: list[tuple[int, int, int, int]] = []
    place: dict[tuple[int, int], int] = {}
    due: list[int] = []
    end = 0
    for found in _MARK.finditer(data):
        target, publisher, number, due_ns = map(int, found.groups())
        due.append(due_ns)
        end = found.end()
        at = place.get((target, publisher))
        if at is not None and runs[at][3] + 1 == number:
            runs[at] = (target, publisher, runs[at][2], number)
        else:
            place[target, publisher] = len(runs)
            runs.append((target, publisher, number, number))
    cut = data.find(b"{", end)
    return Marks(len(due), tuple(runs), tuple(due), data[cut:] if cut >= 0 else b"")

"""Many sends with one system call: Linux' io_uring, as far as sends to sockets that don't block need it.

Every send is over, done or refused, when ``send`` returns: nothing is in flight between two calls, so no buffer has to
outlive one. Knows the kernel's interface (io_uring_setup(2), io_uring_enter(2)); does not know what is sent, nor what to
do with what could not be (docs/design/0013-one-call-for-many-writes.md).
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import repeat
from operator import add

ENTRIES = 512  # sends of one call: 5 ms or so at the most, and 50 KiB shared with the kernel
_SETUP, _ENTER = 425, 426  # system calls; the same on all of Linux' architectures that are younger than 2019
_OP_SEND = 26
_GETEVENTS = 1  # wait for what was submitted
_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
_SQES_AT = 0x10000000
_SQE_BYTES, _CQE_BYTES = 64, 16
_WRAP = 2**32  # the ring's counters are of 32 bits
_HEADER = bytes.__basicsize__ - 1  # of a bytes object, before its bytes

_syscall = ctypes.CFUNCTYPE(*[ctypes.c_long] * 8, use_errno=True)


class Ring:
    """A ring of ``ENTRIES`` sends.

    Attributes:
        broken: Why it is of no use any more; empty while it is.

    Raises:
        OSError: There is none to be had here: another system, an older kernel, or it is forbidden.
    """

    broken = ""

    def __init__(self) -> None:
        if sys.platform != "linux" or sys.implementation.name != "cpython" or struct.calcsize("P") != 8:
            raise OSError(errno.ENOSYS, "io_uring wants 64-bit CPython on Linux")
        self._call = _syscall(("syscall", ctypes.CDLL(None)))
        parameters = (ctypes.c_uint32 * 30)()
        self._fd = self._call(_SETUP, ENTRIES, ctypes.addressof(parameters), 0, 0, 0, 0)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        try:
            self._map(list(parameters))
            self._try_out()
        except BaseException:
            os.close(self._fd)
            raise

    def _map(self, parameters: list[int]) -> None:
        sq_entries, cq_entries = parameters[:2]
        _, tail, _, _, _, _, entries = parameters[10:17]  # where these stand, in bytes
        self._sq_tail, order = tail // 4, entries // 4
        cq_head, cq_tail, _, _, _, cqes = parameters[20:26]
        self._cq_head, self._cq_tail = cq_head // 4, cq_tail // 4
        size = max(entries + 4 * sq_entries, cqes + _CQE_BYTES * cq_entries)
        rings = memoryview(mmap.mmap(self._fd, size, mmap.MAP_SHARED))
        sqes = mmap.mmap(self._fd, _SQE_BYTES * sq_entries, mmap.MAP_SHARED, offset=_SQES_AT)
        self._words = rings[: size // 4 * 4].cast("I")
        self._size = sq_entries
        for slot in range(sq_entries):
            self._words[order + slot] = slot
            # What is the same for all sends of a slot: opcode, flags, its number to tell its result by.
            struct.pack_into(
                "<BBHiQQIIQ24x", sqes, slot * _SQE_BYTES, _OP_SEND, 0, 0, -1, 0, 0, 0, _FLAGS, slot
            )
        self._fds = memoryview(sqes).cast("i")[1::16]
        self._addresses = memoryview(sqes).cast("Q")[2::8]
        self._lengths = memoryview(sqes).cast("I")[6::16]
        done = rings[cqes : cqes + _CQE_BYTES * cq_entries]
        self._slots, self._results = done.cast("Q")[0::2], done.cast("i")[2::4]

    def _try_out(self) -> None:
        """See that bytes arrive as they are: what is relied on here is CPython's and the kernel's, not documented whole."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            fds = array("i", [ours.fileno(), -1, ours.fileno()])
            if self.send(fds, [b"io", b"-", b"_uring"]) != [(1, 0)] or theirs.recv(16) != b"io_uring":
                raise OSError(errno.ENOSYS, "io_uring sends otherwise than it should")

    def send(self, fds: "array[int]", data: Sequence[bytes]) -> list[tuple[int, int]]:
        """Send to each of *fds* what *data* has for it, ``ENTRIES`` at the most, in order.

        Returns:
            Of each that was not sent whole, for whatever reason: its index, and how many bytes were.
        """
        lengths = array("I", map(len, data))
        addresses = array("Q", map(add, map(id, data), repeat(_HEADER)))
        tail = self._words[self._sq_tail]
        start = tail % self._size
        room = self._size - start
        for first, part in ((start, slice(None, room)), (0, slice(room, None))):
            its = slice(first, first + len(fds[part]))
            self._fds[its] = memoryview(fds[part])
            self._addresses[its] = memoryview(addresses[part])
            self._lengths[its] = memoryview(lengths[part])
        self._words[self._sq_tail] = (tail + len(fds)) % _WRAP
        self._submit(len(fds))
        return self._short(start, lengths.tolist())

    def close(self) -> None:
        """Give it back. Twice is once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _submit(self, count: int) -> None:
        """Returns when all are over; those that the kernel would not take have no result."""
        submitted = 0
        while submitted < count or self._ready() < count:
            took = self._call(_ENTER, self._fd, count - submitted, count, _GETEVENTS, 0, 0)
            error = ctypes.get_errno()
            if took < 0 and error == errno.EINTR:
                continue
            if took < 0 or (took == 0 and submitted < count):
                self.broken = os.strerror(error)
                return
            submitted += took

    def _ready(self) -> int:
        return (self._words[self._cq_tail] - self._words[self._cq_head]) % _WRAP

    def _short(self, start: int, lengths: list[int]) -> list[tuple[int, int]]:
        head, count = self._words[self._cq_head], self._ready()
        first = head % len(self._results)
        rest = max(0, first + count - len(self._results))
        results = self._results[first : first + count].tolist() + self._results[:rest].tolist()
        slots = self._slots[first : first + count], self._slots[:rest]
        self._words[self._cq_head] = (head + count) % _WRAP
        if results == lengths:  # nearly always
            return []
        sent = [0] * len(lengths)
        for slot, result in zip([*slots[0], *slots[1]], results, strict=True):
            sent[(slot - start) % self._size] = max(0, result)
        return [(index, its) for index, its in enumerate(sent) if its < lengths[index]]

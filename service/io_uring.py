"""Many sends with one system call: the part of Linux' io_uring that non-blocking sends need (io_uring(7)).

Every send has completed, or failed, when ``send`` returns: nothing is in flight between two calls, so no buffer has to
outlive one. The structures are those of <linux/io_uring.h>. Does not know what is sent, nor what to do with what was
not sent (docs/design/0013-one-call-for-many-writes.md).
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
from ctypes import c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from itertools import repeat
from operator import add
from typing import Literal

ENTRIES = 512  # sends of one call: about 5 ms, and 50 KiB shared with the kernel
_SYS_IO_URING_SETUP, _SYS_IO_URING_ENTER = 425, 426  # the same on all architectures since Linux 5.1
_IORING_OP_SEND = 26
_IORING_ENTER_GETEVENTS = 1  # wait until the submitted sends have completed
_IORING_OFF_SQES = 0x10000000
_MSG_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
_COUNTERS_WRAP = 2**32  # heads and tails are 32-bit counters
_BYTES_HEADER = bytes.__basicsize__ - 1  # CPython: a bytes object's data begins here, at its id() plus this

_syscall = ctypes.CFUNCTYPE(*[ctypes.c_long] * 8, use_errno=True)


def _fields(type_: type, *names: str) -> list[tuple[str, type]]:
    return [(name, type_) for name in names]


class _SqOffsets(ctypes.Structure):
    """``struct io_sqring_offsets``: where the parts of the submission ring are, in bytes."""

    _fields_ = (
        *_fields(c_uint32, "head", "tail", "ring_mask", "ring_entries", "flags", "dropped", "array", "resv1"),
        ("user_addr", c_uint64),
    )


class _CqOffsets(ctypes.Structure):
    """``struct io_cqring_offsets``: where the parts of the completion ring are, in bytes."""

    _fields_ = (
        *_fields(c_uint32, "head", "tail", "ring_mask", "ring_entries", "overflow", "cqes", "flags", "resv1"),
        ("user_addr", c_uint64),
    )


class _Params(ctypes.Structure):
    """``struct io_uring_params``, filled in by io_uring_setup(2)."""

    _fields_ = (
        *_fields(c_uint32, "sq_entries", "cq_entries", "flags", "sq_thread_cpu", "sq_thread_idle"),
        *_fields(c_uint32, "features", "wq_fd", "resv_0", "resv_1", "resv_2"),
        ("sq_off", _SqOffsets),
        ("cq_off", _CqOffsets),
    )


class _Sqe(ctypes.Structure):
    """``struct io_uring_sqe``: one submission."""

    _fields_ = (
        *_fields(c_uint8, "opcode", "flags"),
        ("ioprio", c_uint16),
        ("fd", c_int32),
        *_fields(c_uint64, "off", "addr"),
        *_fields(c_uint32, "len", "msg_flags"),
        ("user_data", c_uint64),
        *_fields(c_uint16, "buf_index", "personality"),
        ("splice_fd_in", c_int32),
        *_fields(c_uint64, "addr3", "pad"),
    )


class _Cqe(ctypes.Structure):
    """``struct io_uring_cqe``: one completion."""

    _fields_ = (("user_data", c_uint64), ("res", c_int32), ("flags", c_uint32))


class IoUring:
    """A ring of ``ENTRIES`` sends.

    Attributes:
        broken: Why it can't be used any more; empty while it can.

    Raises:
        OSError: io_uring is not available: another system, an older kernel, or it is forbidden.
    """

    broken = ""

    def __init__(self) -> None:
        if sys.platform != "linux" or sys.implementation.name != "cpython" or struct.calcsize("P") != 8:
            raise OSError(errno.ENOSYS, "io_uring needs 64-bit CPython on Linux")
        self._call = _syscall(("syscall", ctypes.CDLL(None)))
        params = _Params()
        self._fd = self._call(_SYS_IO_URING_SETUP, ENTRIES, ctypes.addressof(params), 0, 0, 0, 0)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        try:
            self._map(params)
            self._self_test()
        except BaseException:
            os.close(self._fd)
            raise

    def _map(self, params: _Params) -> None:
        """Map the rings and the submissions, and prepare every submission."""
        sq, cq = params.sq_off, params.cq_off
        cqe_bytes = ctypes.sizeof(_Cqe)
        size = max(sq.array + 4 * params.sq_entries, cq.cqes + cqe_bytes * params.cq_entries)
        rings = memoryview(mmap.mmap(self._fd, size, mmap.MAP_SHARED))
        self._counters = rings[: size // 4 * 4].cast("I")
        self._sq_tail, self._cq_head, self._cq_tail = sq.tail // 4, cq.head // 4, cq.tail // 4
        self._size = params.sq_entries
        sqes_bytes = ctypes.sizeof(_Sqe) * self._size
        sqes = mmap.mmap(self._fd, sqes_bytes, mmap.MAP_SHARED, offset=_IORING_OFF_SQES)
        for slot in range(self._size):
            self._counters[sq.array // 4 + slot] = slot
            _Sqe.from_buffer(sqes, slot * ctypes.sizeof(_Sqe)).__init__(  # type: ignore[misc]
                opcode=_IORING_OP_SEND, fd=-1, msg_flags=_MSG_FLAGS, user_data=slot
            )
        self._fds = _column(memoryview(sqes), _Sqe, "fd", "i")
        self._addresses = _column(memoryview(sqes), _Sqe, "addr", "Q")
        self._lengths = _column(memoryview(sqes), _Sqe, "len", "I")
        cqes = rings[cq.cqes : cq.cqes + cqe_bytes * params.cq_entries]
        self._slots = _column(cqes, _Cqe, "user_data", "Q")
        self._results = _column(cqes, _Cqe, "res", "i")

    def _self_test(self) -> None:
        """Check what this module relies on.

        CPython keeps the data of ``bytes`` at a fixed distance from its id; the kernel completes every send before
        io_uring_enter(2) returns, in order, and reports a bad descriptor as such.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            fds = array("i", [ours.fileno(), -1, ours.fileno()])
            if self.send(fds, [b"io", b"-", b"_uring"]) != [(1, 0)] or theirs.recv(16) != b"io_uring":
                raise OSError(errno.ENOSYS, "io_uring does not send as expected")

    def send(self, fds: "array[int]", data: Sequence[bytes]) -> list[tuple[int, int]]:
        """Send to each of *fds* its part of *data*, in order; ``ENTRIES`` at most.

        Returns:
            For each that was not sent completely, for any reason: its index, and how many bytes were sent.
        """
        lengths = array("I", map(len, data))
        addresses = array("Q", map(add, map(id, data), repeat(_BYTES_HEADER)))
        tail = self._counters[self._sq_tail]
        start = tail % self._size
        until_end = self._size - start
        for first, part in ((start, slice(None, until_end)), (0, slice(until_end, None))):
            slots = slice(first, first + len(fds[part]))
            self._fds[slots] = memoryview(fds[part])
            self._addresses[slots] = memoryview(addresses[part])
            self._lengths[slots] = memoryview(lengths[part])
        self._counters[self._sq_tail] = (tail + len(fds)) % _COUNTERS_WRAP
        self._submit(len(fds))
        return self._incomplete(start, lengths.tolist())

    def close(self) -> None:
        """Release the ring. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _submit(self, count: int) -> None:
        """Return when all have completed. Those that the kernel does not accept have no completion."""
        submitted = 0
        while submitted < count or self._completed() < count:
            accepted = self._call(
                _SYS_IO_URING_ENTER, self._fd, count - submitted, count, _IORING_ENTER_GETEVENTS, 0, 0
            )
            error = ctypes.get_errno()
            if accepted < 0 and error == errno.EINTR:
                continue
            if accepted < 0 or (accepted == 0 and submitted < count):
                self.broken = os.strerror(error)
                return
            submitted += accepted

    def _completed(self) -> int:
        return int((self._counters[self._cq_tail] - self._counters[self._cq_head]) % _COUNTERS_WRAP)

    def _incomplete(self, start: int, lengths: list[int]) -> list[tuple[int, int]]:
        """Consume the completions."""
        head, count = self._counters[self._cq_head], self._completed()
        first = head % len(self._results)
        wrapped = max(0, first + count - len(self._results))
        results = self._results[first : first + count].tolist() + self._results[:wrapped].tolist()
        slots = self._slots[first : first + count], self._slots[:wrapped]
        self._counters[self._cq_head] = (head + count) % _COUNTERS_WRAP
        if results == lengths:  # nearly always
            return []
        sent = [0] * len(lengths)
        for slot, result in zip([*slots[0], *slots[1]], results, strict=True):
            sent[(slot - start) % self._size] = max(0, result)
        return [(index, length) for index, length in enumerate(sent) if length < lengths[index]]


def _column(
    memory: memoryview, struct_type: type[ctypes.Structure], field: str, code: Literal["i", "I", "Q"]
) -> memoryview:
    """The *field* of every structure in *memory*, as a strided view of items of type *code*."""
    width = struct.calcsize(code)
    return memory.cast(code)[
        getattr(struct_type, field).offset // width :: ctypes.sizeof(struct_type) // width
    ]

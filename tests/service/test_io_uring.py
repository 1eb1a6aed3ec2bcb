"""One call for many sends, on real sockets: what arrived is what was sent, and what could not be is told."""

import os
import socket
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.service import io_uring
from sse_push.service.io_uring import ENTRIES, IoUring

try:
    IoUring().close()
except OSError as error:
    pytest.skip(f"no io_uring here: {error}", allow_module_level=True)


@pytest.fixture
def its() -> Iterator[IoUring]:
    made = IoUring()
    yield made
    made.close()
    made.close()


class Pairs:
    """Connected sockets: the ring sends to ``ours``, ``theirs`` are read."""

    def __init__(self, count: int, *, buffer: int = 64 * 1024) -> None:
        self.pairs = [socket.socketpair() for _ in range(count)]
        for ours, theirs in self.pairs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            ours.setblocking(False)
            theirs.setblocking(False)

    @property
    def fds(self) -> "array[int]":
        return array("i", [ours.fileno() for ours, _ in self.pairs])

    def read(self, index: int) -> bytes:
        found = b""
        try:
            while some := self.pairs[index][1].recv(1 << 20):
                found += some
        except BlockingIOError:
            pass
        return found

    def close(self) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    made = Pairs(20)
    yield made
    made.close()


def test_each_socket_gets_its_own(its: IoUring, pairs: Pairs) -> None:
    for round_ in range(3 * ENTRIES // 20 + 2):  # around the ring, and over its end
        data = [b"%d of %d" % (index, round_) for index in range(20)]
        assert its.send(pairs.fds, data) == []
        assert [pairs.read(index) for index in range(20)] == data


@given(counts=st.lists(st.integers(0, ENTRIES), max_size=6))
def test_any_number_of_sends_keeps_the_order_of_each_socket(counts: list[int]) -> None:
    its, few = IoUring(), Pairs(3)
    try:
        for round_, count in enumerate(counts):
            sent = [b"", b"", b""]
            data = [b"<%d:%d>" % (round_, at) for at in range(count)]
            for at, some in enumerate(data):
                sent[at % 3] += some
            assert its.send(array("i", [few.fds[at % 3] for at in range(count)]), data) == []
            assert [few.read(index) for index in range(3)] == sent
    finally:
        its.close()
        few.close()


def test_what_does_not_fit_is_told_with_what_did(its: IoUring) -> None:
    small = Pairs(4, buffer=4096)
    data = [b"a", b"b" * 1_000_000, b"c", b"d" * 1_000_000]
    short = dict(its.send(small.fds, data))
    assert {*short} == {1, 3}
    for index, sent in short.items():
        assert 0 < sent < 1_000_000
        assert small.read(index) == data[index][:sent]
    its.send(small.fds, data)
    assert [*dict(its.send(small.fds, [b"x"] * 4)).items()] == [(1, 0), (3, 0)], "full"
    small.close()


def test_socket_that_is_gone_is_told_and_hurts_no_other(its: IoUring, pairs: Pairs) -> None:
    pairs.pairs[3][1].close()  # EPIPE, and no signal
    fds = pairs.fds
    fds[7] = -1
    assert its.send(fds, [b"x"] * 20) == [(3, 0), (7, 0)]
    assert [index for index in range(20) if index != 3 and pairs.read(index) == b"x"] == [
        index for index in range(20) if index not in (3, 7)
    ]
    assert its.broken == ""


def test_ring_that_the_kernel_refuses_is_broken_and_has_sent_nothing(its: IoUring, pairs: Pairs) -> None:
    os.close(its._fd)
    assert its.send(pairs.fds, [b"x"] * 20) == [(index, 0) for index in range(20)]
    assert "descriptor" in its.broken
    assert pairs.read(0) == b""
    its._fd = -1


def test_what_is_sent_needs_not_outlive_the_call(its: IoUring, pairs: Pairs) -> None:
    """Nothing is in flight afterwards: the next bytes at the same place must not be what arrives."""
    for _ in range(200):
        assert its.send(pairs.fds, [bytes([65 + index]) * 4000 for index in range(20)]) == []
        junk = [bytes(4000) for _ in range(40)]
        assert [pairs.read(index) for index in range(20)] == [bytes([65 + i]) * 4000 for i in range(20)]
        assert junk


def refusal() -> str:
    """Why there is no ring, having looked that none of its files stays open."""
    before = {*Path("/proc/self/fd").iterdir()}
    reason = ""
    try:
        IoUring().close()
    except OSError as error:
        reason = str(error)
    assert {*Path("/proc/self/fd").iterdir()} == before
    return reason


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_there_is_none_on_another_system(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert "Linux" in refusal()


def test_ring_that_is_forbidden_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel without it, or a system call filter, answers like this.
    monkeypatch.setattr(io_uring, "_SYS_IO_URING_SETUP", -1)
    assert "not implemented" in refusal()


def test_ring_that_does_not_send_what_it_should_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # A Python with another layout of bytes.
    monkeypatch.setattr(io_uring, "_BYTES_HEADER", io_uring._BYTES_HEADER + 1)
    assert "as expected" in refusal()


def test_ring_that_is_closed_leaves_no_file_open() -> None:
    assert refusal() == ""

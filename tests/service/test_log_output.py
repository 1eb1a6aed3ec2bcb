"""Where log lines go: whatever becomes of those who read them, nobody waits, and what is dropped is counted."""

import contextlib
import fcntl
import os
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_push.service import log_output
from sse_push.service.log_output import MAX_QUEUED_BYTES, MAX_QUEUED_LINES, LogOutput, descriptor_of

WITHIN_S = 10.0
LINE = b"x" * 99


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


class Dropped:
    """Waits for the first report."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._came = threading.Event()

    def __call__(self, lines: int) -> None:
        self.counts.append(lines)
        self._came.set()

    def wait(self) -> list[int]:
        assert self._came.wait(WITHIN_S)
        return self.counts


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        assert part
        data += part
    return data


@pytest.mark.parametrize("threaded", [False, True])
def test_lines_are_written_whole_and_in_order(pipe: tuple[int, int], threaded: bool) -> None:
    output = LogOutput(pipe[1])
    if threaded:
        output.start()
    for number in range(500):
        output.write(b"%d" % number)
    output.close()
    os.close(pipe[1])
    assert os.read(pipe[0], 65536).split() == [b"%d" % number for number in range(500)]
    assert output.dropped == 0


def test_lines_after_the_close_are_written_at_once(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    output.start()
    output.close()
    output.write(b"late")
    assert os.read(pipe[0], 100) == b"late\n"


def test_reader_that_stops_costs_lines_and_no_time(pipe: tuple[int, int]) -> None:
    dropped = Dropped()
    output = LogOutput(pipe[1], dropped)
    output.start()
    sent = 50_000
    for _ in range(sent):
        output.write(LINE)
    assert sent - output.dropped <= 2 * max(MAX_QUEUED_LINES, MAX_QUEUED_BYTES // 100) + 65536 // 100 + 1
    lost = output.dropped
    assert lost > 0
    assert set(_read(pipe[0], (sent - lost) * 100).split()) == {LINE}
    assert dropped.wait() == [lost]
    output.close()


def test_close_waits_no_longer_than_its_time_for_a_reader(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_output, "CLOSE_S", 0.01)
    output = LogOutput(pipe[1])
    output.start()
    for _ in range(2000):
        output.write(LINE)
    output.close()
    output.write(b"not even that one waits")
    _read(pipe[0], 200_000)  # the thread ends


def test_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    output = LogOutput(pipe[1])
    output.start()
    for _ in range(3000):
        output.write(LINE)
    assert _read(pipe[0], 300_000).count(b"\n") == 3000
    output.close()
    assert output.dropped == 0


@pytest.mark.parametrize("threaded", [False, True])
def test_lines_for_a_reader_that_has_gone_are_counted(pipe: tuple[int, int], threaded: bool) -> None:
    os.close(pipe[0])
    output = LogOutput(pipe[1])
    if threaded:
        output.start()
    for _ in range(10):
        output.write(LINE)
    output.close()
    assert output.dropped == 10


@pytest.mark.parametrize("threaded", [False, True])
def test_lines_that_find_the_disk_full_are_counted(threaded: bool) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        output = LogOutput(full.fileno())
        if threaded:
            output.start()
        output.write(LINE)
        output.close()
    assert output.dropped == 1


def test_lines_without_a_descriptor_are_counted() -> None:
    output = LogOutput(None)
    output.write(LINE)
    assert output.dropped == 1


def test_next_reader_of_a_fifo_learns_how_many_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    counts: list[int] = []
    output = LogOutput(writer, counts.append)
    output.write(b"one")
    assert os.read(first, 100) == b"one\n"
    os.close(first)
    output.write(b"two")
    output.write(b"three")
    second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    output.write(b"four")
    assert (os.read(second, 100), counts) == (b"four\n", [2])
    for descriptor in (writer, second):
        os.close(descriptor)


def test_line_that_was_cut_does_not_run_into_the_next(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    fcntl.fcntl(pipe[1], 1031, 4096)  # F_SETPIPE_SZ: one page
    output = LogOutput(pipe[1])
    output.write(b"y" * 6000)
    assert output.dropped == 1
    assert _read(pipe[0], 4096) == b"y" * 4096
    output.write(b"next")
    assert os.read(pipe[0], 100) == b"\nnext\n"


def test_terminal_that_is_stopped_is_not_waited_for() -> None:
    master, slave = os.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    with os.fdopen(slave, "w") as terminal:
        descriptor = descriptor_of(terminal)
        assert descriptor is not None
        output = LogOutput(descriptor)
        output.write(LINE)
        assert output.dropped == 1
        os.close(descriptor)
    os.close(master)


def test_descriptor_of_a_pipe_leaves_that_of_others_as_it_is(pipe: tuple[int, int]) -> None:
    with os.fdopen(pipe[1], "w") as stream:
        descriptor = descriptor_of(stream)
        assert descriptor is not None
        assert not os.get_blocking(descriptor)
        assert os.get_blocking(pipe[1])
        os.close(descriptor)


def test_stream_that_is_closed_or_no_file_has_no_descriptor(capsys: pytest.CaptureFixture[str]) -> None:
    assert descriptor_of(None) is None
    assert descriptor_of(sys.stdout) is None

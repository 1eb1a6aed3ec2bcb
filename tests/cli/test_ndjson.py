"""The lines of stdin, however they come: each that is not blank is owed one answer."""

import os

import pytest

from sse_push.cli.ndjson import Lines


async def _read(pieces: list[bytes]) -> tuple[list[bytes], int]:
    """What goes out, and how many lines were counted. Each of *pieces* comes once what came before is out."""
    reading, writing = os.pipe()
    left = list(pieces)
    with os.fdopen(reading), os.fdopen(writing, "wb", buffering=0) as pipe:
        lines = Lines(reading)
        out = []
        async for piece in lines:
            out.append(piece)
            if left:
                pipe.write(left.pop(0))
            else:
                pipe.close()
        return out, lines.count


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        ([], 0),
        ([b"{}\n"], 1),
        ([b"{}"], 1),
        ([b"{}\n{}\n{}"], 3),
        ([b"{", b"}", b"\n"], 1),
        ([b"{}", b"\n{}"], 2),
        ([b"{}\n", b"{}\n"], 2),
        ([b"\n\n  \n\r\n"], 0),
        ([b"  ", b"  ", b"{}\n  "], 1),
    ],
)
async def test_lines_are_counted_however_they_are_cut(pieces: list[bytes], count: int) -> None:
    out, counted = await _read(pieces)
    assert b"".join(out) == b"\n" + b"".join(pieces)
    assert counted == count


async def test_lines_say_something_before_stdin_does() -> None:
    # Else the head of the request would wait for stdin, and the service would not wait for it.
    out, _ = await _read([b"{}\n"])
    assert out == [b"\n", b"{}\n"]

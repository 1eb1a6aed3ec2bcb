"""Where the body of a request ends, however the network cuts it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.handlers.http.framing import ChunkedBody, MalformedBody, SizedBody


def _chunks_of(data: bytes) -> bytes:
    """The data of *data*, which is in chunks of the plainest form."""
    parts = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        assert size == b"%x" % length
        parts.append(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        data = rest[length + 2 :]
        if not length:
            break
    assert not data
    return b"".join(parts)


def _take(body: SizedBody | ChunkedBody, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    points = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts, rest = [], b""
    for start, end in pairwise(points):
        if body.is_complete:
            rest += data[start:end]
            continue
        part, behind = body.take(data[start:end])
        parts.append(part)
        rest += behind
    return b"".join(parts), rest


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=20), st.lists(st.integers(0, 60), max_size=5))
def test_sized_body_ends_after_its_bytes(data: bytes, behind: bytes, cuts: list[int]) -> None:
    body = SizedBody(len(data))

    assert _take(body, data + behind, cuts) == (data, behind)
    assert body.is_complete


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=20), st.sampled_from([b"", b";a=b", b" ;x", b";"])),
        max_size=4,
    ),
    st.sampled_from([b"", b"Trailer: 1\r\n"]),
    st.binary(max_size=10),
    st.lists(st.integers(0, 150), max_size=6),
)
def test_chunked_body_ends_after_its_last_chunk(
    chunks: list[tuple[bytes, bytes]], trailer: bytes, behind: bytes, cuts: list[int]
) -> None:
    data = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part, extension in chunks)
    body = ChunkedBody()

    taken, rest = _take(body, data + b"0\r\n" + trailer + b"\r\n" + behind, cuts)

    assert (_chunks_of(taken), rest) == (b"".join(part for part, _ in chunks), behind)
    assert body.is_complete


@pytest.mark.parametrize(
    "data",
    [b"x\r\n", b"\r\n", b"-1\r\n", b"1\nx", b"1\r\nxy\r\n", b"1\r\nx\n", b"1" * 16 + b"\r\n", b"1;" + b"x" * 9000, b"1;\x00\r\n", b"0\r\nTrailer\n", b"0x1\r\n"],
)  # fmt: skip
def test_chunk_that_is_malformed_is_an_error(data: bytes) -> None:
    with pytest.raises(MalformedBody):
        ChunkedBody().take(data)


def test_trailers_have_an_end() -> None:
    with pytest.raises(MalformedBody):
        ChunkedBody().take(b"0\r\n" + b"X: y\r\n" * 101)

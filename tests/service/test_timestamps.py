"""Timestamps as docs/protocol.md writes them."""

import pytest

from sse_push.service.timestamps import timestamp


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (1_768_732_200, "2026-01-18T10:30:00.000Z"),
        (1_768_732_200.5, "2026-01-18T10:30:00.500Z"),
        (1_768_732_200.9999, "2026-01-18T10:30:00.999Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_timestamp_is_iso_8601_in_utc_with_milliseconds(now: float, text: str) -> None:
    assert timestamp(now) == text

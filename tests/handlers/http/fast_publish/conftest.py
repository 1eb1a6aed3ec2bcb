"""What went which way."""

from typing import Any

import pytest

from sse_push.handlers.http import fast_publish
from sse_push.handlers.lean import LeanParser


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that went the lean way."""
    bodies: list[bytes] = []
    start = fast_publish.FastPublish.start

    def starting(self: Any, body: bytes) -> None:
        bodies.append(body)
        start(self, body)

    monkeypatch.setattr(fast_publish.FastPublish, "start", starting)
    return bodies


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was given to parse."""
    pieces: list[bytes] = []
    count = LeanParser._count

    def counting(self: Any, data: bytes) -> None:
        pieces.append(data)
        count(self, data)

    monkeypatch.setattr(LeanParser, "_count", counting)
    return pieces

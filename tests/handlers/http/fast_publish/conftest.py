"""What went which way."""

from typing import Any

import pytest

from sse_push.handlers.http import fast_publish, front


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that went the fast path."""
    bodies: list[bytes] = []
    start = fast_publish.FastPublish.start

    def starting(self: Any, body: bytes) -> None:
        bodies.append(body)
        start(self, body)

    monkeypatch.setattr(fast_publish.FastPublish, "start", starting)
    return bodies


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that were read."""
    heads: list[bytes] = []
    read = front.read_head

    def reading(data: bytes) -> Any:
        heads.append(data)
        return read(data)

    monkeypatch.setattr(front, "read_head", reading)
    return heads

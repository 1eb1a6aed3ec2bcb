"""A stage for presence, on which what failed is tried again at once."""

from collections.abc import AsyncIterator

import pytest

from sse_push.service.presence import notifier
from tests.service.presence.harness import PresenceHarness


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PresenceHarness]:
    monkeypatch.setattr(notifier, "AGAIN_S", 0.01)
    stage = PresenceHarness()
    yield stage
    await stage.presence.close()
    await stage.emitter.close()

"""A stage for presence, on which what failed is tried again at once."""

from collections.abc import AsyncIterator

import pytest

from sse_push.service.presence import clerk
from tests.service.presence.stage import Stage


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(clerk, "AGAIN_S", 0.01)
    stage = Stage()
    yield stage
    await stage.presence.close()
    await stage.emitter.close()

"""A router, and the encoding of plain frames."""

import pytest

from sse_push.events.router import EncodingGroup, Router
from tests.events.router.listening import encoding_of


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def encoding(router: Router) -> EncodingGroup:
    """Plain frames, as they are."""
    return encoding_of(router)

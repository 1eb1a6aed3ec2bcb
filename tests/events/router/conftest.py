"""A router, and the lane of plain frames."""

import pytest

from sse_push.events.router import Lane, Router
from tests.events.router.listening import lane_of


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def lane(router: Router) -> Lane:
    """Plain frames, as they are."""
    return lane_of(router)

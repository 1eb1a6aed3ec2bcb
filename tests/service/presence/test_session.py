"""Sessions of presence streams; tests/handlers/presence/ opens them by HTTP."""

from tests.service.presence.harness import PresenceHarness


async def test_session_that_was_never_opened_leaves_nothing(harness: PresenceHarness) -> None:
    session = await harness.subscribe(1)
    assert session is not None
    session.closed()
    assert len(harness.tracker) == 0
    assert await harness.subscribe(77) is None

"""What all tests of ``events`` share: hypothesis without a stopwatch, and assertions that explain themselves."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "tests.events.engines.contract",
    "tests.events.engines.story",
    "tests.events.engines.places",
    "tests.events.event.taking",
    "tests.events.reference",
    "tests.events.replay.reading",
)

# The machine may be busy: how long an example takes says nothing about the code.
settings.register_profile("sse-push", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sse-push")

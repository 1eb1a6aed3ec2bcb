import pytest

# What they assert is told as in a test.
pytest.register_assert_rewrite(
    "tests.frames",
    "tests.handlers.ndjson.publisher",
    "tests.handlers.presence.watching",
    "tests.in_process",
    "tests.listening",
    "tests.process",
)

import pytest

# What they assert is told as in a test.
pytest.register_assert_rewrite("tests.frames", "tests.in_process", "tests.listening", "tests.process")

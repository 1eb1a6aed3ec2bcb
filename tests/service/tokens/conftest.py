"""Tokens as they are read by shared secret."""

import pytest

from sse_push.service.tokens import Tokens
from tests.conftest import SettingsFactory


@pytest.fixture
def tokens(settings_for: SettingsFactory) -> Tokens:
    return Tokens(settings_for(), None)

"""The registry of one node: the contract suite, and that it is the embedded engine's."""

import pytest

from sse_push.service.presence.registry import open_presence_registry
from sse_push.service.presence.registry.local import LocalRegistry
from tests.service.presence.registry.contract import RegistryContract


@pytest.fixture
def registry() -> LocalRegistry:
    return LocalRegistry()


class TestLocalRegistry(RegistryContract):
    pass


def test_embedded_engine_has_the_local_registry() -> None:
    assert isinstance(open_presence_registry("embedded:", "node", timeout=45), LocalRegistry)

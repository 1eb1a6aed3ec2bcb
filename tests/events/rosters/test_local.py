"""The roster of one node: the contract suite, and that it is the embedded engine's."""

import pytest

from sse_push.events.rosters import open_roster
from sse_push.events.rosters.local import LocalRoster
from tests.events.rosters.contract import RosterContract


@pytest.fixture
def roster() -> LocalRoster:
    return LocalRoster()


class TestLocalRoster(RosterContract):
    pass


def test_embedded_engine_has_the_local_roster() -> None:
    assert isinstance(open_roster("embedded:", "node", timeout=45), LocalRoster)

"""How many files may be open: few are warned of, none left is told and counted, and both end."""

import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from sse_push.service.descriptors import DescriptorWatch, raise_limit, sockets_allowed, warn_where_few
from tests.conftest import SettingsFactory


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _allow(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_soft_limit_is_raised_to_the_hard_one() -> None:
    _allow(300)
    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


@pytest.mark.parametrize(("limit", "sockets"), [(400, 236), (200, 100), (1200, 1005)])
def test_sockets_are_those_that_descriptors_allow(
    settings_for: SettingsFactory, limit: int, sockets: int
) -> None:
    _allow(limit)
    assert sockets_allowed(settings_for(max_connections=5)) == sockets


@pytest.mark.parametrize(("limit", "warned"), [(1168, True), (1169, False)])
def test_few_descriptors_are_warned_of(
    settings_for: SettingsFactory, logged: list[dict[str, Any]], limit: int, warned: bool
) -> None:
    _allow(limit)
    warn_where_few(settings_for(max_connections=5))
    assert [line["event"] for line in logged] == ["descriptors.few"] * warned


def test_want_of_descriptors_is_told_once_and_counted_until_it_ends(logged: list[dict[str, Any]]) -> None:
    watch = DescriptorWatch()
    watch.look()
    spare = os.dup(0)
    os.close(spare)
    _allow(spare)
    watch.look()
    watch.look()
    _allow(spare + 100)
    watch.look()
    assert [line["event"] for line in logged] == ["descriptors.exhausted", "descriptors.available"]
    assert watch.exhausted == 2

"""Tokens of publishers, remembered once verified: for how long, how many, and no others."""

import pytest

from sse_push.service import tokens as module
from sse_push.service.tokens import Tokens
from tests.conftest import Clock, SettingsFactory, mint
from tests.service.tokens.forgery import is_refused


async def test_token_is_recalled_for_a_minute(settings_for: SettingsFactory) -> None:
    clock = Clock()
    tokens = Tokens(settings_for(), None, clock)
    token = mint("p", "service")
    assert tokens.recall(token) is None

    caller = await tokens.verify(token)

    assert tokens.recall(token) is caller
    clock.advance(module.CACHE_S - 1)
    assert tokens.recall(token) is caller
    clock.advance(2)
    assert tokens.recall(token) is None


async def test_token_is_recalled_no_longer_than_it_lasts(settings_for: SettingsFactory) -> None:
    clock = Clock()
    tokens = Tokens(settings_for(), None, clock)
    token = mint("p", "service", lifetime=10)
    await tokens.verify(token)

    clock.advance(11)

    assert tokens.recall(token) is None


async def test_token_of_a_user_is_verified_each_time(tokens: Tokens) -> None:
    """Users ask once for a stream; publishers ask all the time."""
    token = mint("42", "user")
    await tokens.verify(token)

    assert tokens.recall(token) is None


async def test_token_that_is_refused_is_not_remembered(tokens: Tokens) -> None:
    await is_refused(tokens, "a.b.c")

    assert tokens.recall("a.b.c") is None


async def test_remembered_tokens_are_bounded(
    settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHE_TOKENS", 10)
    tokens = Tokens(settings_for(), None)

    for number in range(50):
        await tokens.verify(mint(number, "service"))
        assert len(tokens._known) <= 10

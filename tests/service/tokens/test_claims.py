"""JWTs that are well signed: which claims make a caller, which are refused, how long they last."""

import time
from typing import Any

import pytest

from service.identity import Caller
from service.tokens import Tokens, mint_token
from tests.conftest import SettingsFactory, mint
from tests.service.tokens.forgery import is_refused, signed_token


async def test_claims_make_the_caller(tokens: Tokens) -> None:
    exp = int(time.time()) + 60
    token = mint("42", "user", "admin", name="Ann", email="a@b.c", rooms=["x", "y"], exp=exp)

    caller = await tokens.verify(token)

    assert caller == Caller("42", frozenset(["user", "admin"]), "Ann", "a@b.c", frozenset(["x", "y"]))
    assert caller.expires == exp


async def test_claims_that_are_optional_may_be_missing(tokens: Tokens) -> None:
    caller = await tokens.verify(mint("42", roles=None))

    assert caller == Caller("42")
    assert caller.rooms is None


@pytest.mark.parametrize(
    ("sub", "user_id"), [("42", "42"), (42, "42"), (0, "0"), ("ü", "ü"), ("x" * 128, "x" * 128)]
)
async def test_sub_may_be_text_or_a_number(tokens: Tokens, sub: Any, user_id: str) -> None:
    assert (await tokens.verify(mint(sub))).user_id == user_id


@pytest.mark.parametrize("sub", [None, "", "x" * 129, "a\nb", "a\x1fb", True, 1.5, ["42"], {"id": 42}])
async def test_sub_that_is_no_user_id_is_refused(tokens: Tokens, sub: Any) -> None:
    await is_refused(tokens, mint(sub))


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": "admin"},
        {"roles": {"admin": True}},
        {"roles": [1]},
        {"roles": [["admin"]]},
        {"roles": [None]},
        {"roles": 1},
        {"rooms": "general"},
        {"rooms": [1]},
        {"rooms": {"general": 1}},
        {"rooms": 0},
    ],
)
async def test_roles_and_rooms_are_lists_of_texts(tokens: Tokens, claims: dict[str, Any]) -> None:
    await is_refused(tokens, mint("42", **claims))


async def test_exp_is_required(tokens: Tokens) -> None:
    await is_refused(tokens, mint("42", exp=None))


@pytest.mark.parametrize("exp", ["never", [], {}, True, 0, -1])
async def test_exp_that_is_no_time_to_come_is_refused(tokens: Tokens, exp: Any) -> None:
    await is_refused(tokens, mint("42", exp=exp))


@pytest.mark.parametrize("exp", ["1e999", "NaN", "1" + "0" * 400])
async def test_exp_that_is_no_number_of_seconds_is_refused(tokens: Tokens, exp: str) -> None:
    await is_refused(tokens, signed_token('{"sub":"42","exp":%s}' % exp))


async def test_token_that_expired_is_refused_and_says_so(tokens: Tokens) -> None:
    assert "expired" in await is_refused(tokens, mint("42", lifetime=-10))


@pytest.mark.parametrize("claims", [{"nbf": 4_000_000_000}, {"iat": 4_000_000_000}])
async def test_token_of_the_future_is_refused(tokens: Tokens, claims: dict[str, Any]) -> None:
    await is_refused(tokens, mint("42", **claims))


@pytest.mark.parametrize(
    "payload", ["[]", "1", "null", '"text"', "{", "", "[" * 4000, '{"sub":"42","exp":4000000000,"exp":1}']
)
async def test_payload_that_is_no_claims_is_refused(tokens: Tokens, payload: str) -> None:
    await is_refused(tokens, signed_token(payload))


@pytest.mark.parametrize(
    ("settings", "claims", "good"),
    [
        ({"jwt_issuer": "me"}, {"iss": "me"}, True),
        ({"jwt_issuer": "me"}, {"iss": "you"}, False),
        ({"jwt_issuer": "me"}, {}, False),
        ({"jwt_audience": "us"}, {"aud": "us"}, True),
        ({"jwt_audience": "us"}, {"aud": ["them", "us"]}, True),
        ({"jwt_audience": "us"}, {"aud": "them"}, False),
        ({"jwt_audience": "us"}, {"aud": []}, False),
        ({"jwt_audience": "us"}, {}, False),
        ({}, {"iss": "anyone", "aud": "anybody"}, True),
    ],
)
async def test_issuer_and_audience_are_checked_where_set(
    settings_for: SettingsFactory, settings: dict[str, str], claims: dict[str, Any], good: bool
) -> None:
    tokens = Tokens(settings_for(**settings), None)

    if good:
        assert (await tokens.verify(mint("42", **claims))).user_id == "42"
    else:
        await is_refused(tokens, mint("42", **claims))


async def test_issuer_that_is_a_list_is_refused(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(jwt_issuer="me"), None)

    await is_refused(tokens, signed_token('{"sub":"42","exp":4000000000,"iss":["me"]}'))


async def test_minted_jwt_is_good(settings_for: SettingsFactory) -> None:
    settings = settings_for(jwt_issuer="me", jwt_audience="us")
    token = mint_token(settings, {"sub": "42", "roles": ["admin"]}, 60)

    caller = await Tokens(settings, None).verify(token)

    assert caller.is_admin
    assert 0 < (caller.expires or 0) - time.time() <= 60

"""JWTs that are well signed: which claims make a caller, which are refused, how long they last."""

import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from sse_push.service.identity import Caller
from sse_push.service.tokens import Tokens, mint_token
from tests.conftest import Clock, SettingsFactory, Start, mint, until
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


# -- times, and the issuer's clock ------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "good"), [(9, True), (11, False)])
async def test_issuers_clock_may_be_ahead_by_ten_seconds(
    settings_for: SettingsFactory, claim: str, ahead: int, good: bool
) -> None:
    clock = Clock(1_800_000_000)
    tokens = Tokens(settings_for(), None, clock)
    token = mint("42", exp=1_800_000_100, **{claim: 1_800_000_000 + ahead})

    if good:
        assert (await tokens.verify(token)).user_id == "42"
    else:
        assert claim in await is_refused(tokens, token)


async def test_leeway_is_a_setting_and_none_of_exp(settings_for: SettingsFactory) -> None:
    clock = Clock(1_800_000_000)
    strict = Tokens(settings_for(jwt_leeway_s=0), None, clock)
    await is_refused(strict, mint("42", exp=1_800_000_100, nbf=1_800_000_001))

    await is_refused(Tokens(settings_for(jwt_leeway_s=60), None, clock), mint("42", exp=1_800_000_000))


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    [
        '"4000000000"',
        '"' + "1" * 400 + '"',
        "1" + "0" * 400,
        "1e400",
        "-1e400",
        "NaN",
        "true",
        "[1]",
        "{}",
        '""',
    ],
)
async def test_date_that_is_no_number_is_refused(tokens: Tokens, claim: str, value: str) -> None:
    await is_refused(tokens, signed_token('{"sub":"42","exp":4000000000,"%s":%s}' % (claim, value)))


@pytest.mark.parametrize(
    "claims",
    [
        '"sub":"\\ud800"',
        '"sub":"a\\u0000"',
        f'"sub":{"9" * 200}',
        f'"sub":{"9" * 5000}',
        '"sub":"42","roles":["\\ud800"]',
        '"sub":"42","name":{"a":1}',
        '"sub":"42","email":"\\udfff","name":"\\ud800"',
        '"sub":"42","rooms":["\\u0000"]',
        '"sub":"42","rooms":[["general"]]',
        '"sub":42e0',
        f'"sub":"42","roles":{"[" * 1500}{"]" * 1500}',
    ],
)
async def test_stream_by_odd_claims_opens_or_is_refused_and_leaks_no_slot(start: Start, claims: str) -> None:
    service = await start()
    token = signed_token('{"exp":4000000000,%s}' % claims)

    async with service.client.get(f"/v1/app/sse?token={token}") as response:
        assert response.status in (200, 401)

    await until(lambda: not len(service.node.connections))


@pytest.mark.parametrize(
    "exp", ["1e308", "1" + "0" * 300, "4000000000.5", '"' + "1" * 400 + '"', "1" + "0" * 400]
)
async def test_stream_by_an_odd_exp_opens_or_is_refused_and_leaks_no_slot(start: Start, exp: str) -> None:
    service = await start()
    token = signed_token('{"sub":"42","exp":%s}' % exp)

    async with service.client.get(f"/v1/app/sse?token={token}") as response:
        assert response.status == (401 if len(exp) > 400 else 200)

    await until(lambda: not len(service.node.connections))


# -- names that are the service's own ---------------------------------------------------------------


@pytest.mark.parametrize("sub", ["ai:1", "ai:", "AI:1", "aI:x"])
async def test_sub_that_would_be_an_ai_member_is_refused(tokens: Tokens, sub: str) -> None:
    await is_refused(tokens, mint(sub, "service"))


@pytest.mark.parametrize("sub", ["ai", "aid:1", "x:ai:1", "ai1"])
async def test_sub_that_only_looks_like_an_ai_member_is_good(tokens: Tokens, sub: str) -> None:
    assert (await tokens.verify(mint(sub))).user_id == sub


# -- several secrets ---------------------------------------------------------------------------------

OLD = "the-secret-of-last-year-of-more-than-32-bytes"
NEW = "the-secret-of-this-year-of-more-than-32-bytes"


async def test_first_secret_signs_and_all_verify(settings_for: SettingsFactory) -> None:
    settings = settings_for(jwt_secret=f"{NEW}, {OLD}")
    tokens = Tokens(settings, None)
    for secret in (NEW, OLD):
        assert (await tokens.verify(mint("42", secret=secret))).user_id == "42"
    await is_refused(tokens, mint("42"))
    await is_refused(tokens, mint("42", secret=f"{NEW}, {OLD}"))

    only_new = Tokens(settings_for(jwt_secret=NEW), None)
    for token in (tokens.issue({"sub": "1"}, 60, 0), mint_token(settings, {"sub": "1"}, 60)):
        assert (await only_new.verify(token)).user_id == "1"


async def test_expired_token_of_the_second_secret_says_so(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(jwt_secret=f"{NEW},{OLD}"), None)

    assert "expired" in await is_refused(tokens, mint("42", secret=OLD, lifetime=-1))


async def test_secret_whose_parts_are_no_secrets_is_one(settings_for: SettingsFactory) -> None:
    secret = "a passphrase of words, with a comma"
    tokens = Tokens(settings_for(jwt_secret=secret), None)

    assert (await tokens.verify(mint("42", secret=secret))).user_id == "42"


async def test_secret_that_holds_a_comma_is_written_in_a_json_list(settings_for: SettingsFactory) -> None:
    secret = f"{NEW},{OLD}"
    tokens = Tokens(settings_for(jwt_secret=json.dumps([secret])), None)

    assert (await tokens.verify(mint("42", secret=secret))).user_id == "42"
    await is_refused(tokens, mint("42", secret=NEW))


@pytest.mark.parametrize(
    "secrets",
    [f"{NEW},", f",{NEW}", f"{NEW},short", '["short"]', json.dumps([NEW, ""]), ",".join([NEW] * 5), "x" * 31],
)
def test_secret_that_is_short_is_refused_and_not_shown(settings_for: SettingsFactory, secrets: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_for(jwt_secret=secrets)

    assert NEW not in str(caught.value.errors(include_input=False, include_url=False))


async def test_single_secret_is_taken_as_it_is(settings_for: SettingsFactory) -> None:
    secret = f" [{NEW} "

    assert settings_for(jwt_secret=secret).jwt_secrets == (secret,)

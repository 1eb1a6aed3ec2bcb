"""Tokens: JWTs by shared secret, demo tokens, and every way to pass off one that is none."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from events.errors import Unauthenticated
from service import tokens as module
from service.identity import Caller
from service.jwks import KeySet
from service.tokens import Tokens, demo_caller, demo_token, mint_token
from tests.conftest import SECRET, Clock, SettingsFactory, mint

EXAMPLE = "dGVzdDEyMzp0ZXN0dXNlcjp0ZXN0QGV4YW1wbGUuY29tOnVzZXIsYWRtaW4="


@pytest.fixture
def tokens(settings_for: SettingsFactory) -> Tokens:
    return Tokens(settings_for(), None)


async def _is_refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(token)
    return str(caught.value)


# -- HS256 ----------------------------------------------------------------------------------------


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
    await _is_refused(tokens, mint(sub))


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
    await _is_refused(tokens, mint("42", **claims))


async def test_exp_is_required(tokens: Tokens) -> None:
    await _is_refused(tokens, mint("42", exp=None))


@pytest.mark.parametrize("exp", ["never", [], {}, True, 0, -1])
async def test_exp_that_is_no_time_to_come_is_refused(tokens: Tokens, exp: Any) -> None:
    await _is_refused(tokens, mint("42", exp=exp))


@pytest.mark.parametrize("exp", ["1e999", "NaN", "1" + "0" * 400])
async def test_exp_that_is_no_number_of_seconds_is_refused(tokens: Tokens, exp: str) -> None:
    await _is_refused(tokens, _signed('{"sub":"42","exp":%s}' % exp))


async def test_token_that_expired_is_refused_and_says_so(tokens: Tokens) -> None:
    assert "expired" in await _is_refused(tokens, mint("42", lifetime=-10))


@pytest.mark.parametrize("claims", [{"nbf": 4_000_000_000}, {"iat": 4_000_000_000}])
async def test_token_of_the_future_is_refused(tokens: Tokens, claims: dict[str, Any]) -> None:
    await _is_refused(tokens, mint("42", **claims))


async def test_signature_of_another_secret_is_refused(tokens: Tokens) -> None:
    await _is_refused(tokens, mint("42", secret="another secret of more than 32 bytes!"))


async def test_payload_that_was_changed_is_refused(tokens: Tokens) -> None:
    head, _, signature = mint("42").split(".")
    _, payload, _ = mint("43", "admin").split(".")

    await _is_refused(tokens, f"{head}.{payload}.{signature}")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS512", "HS384", "RS256", "", None, 1])
@pytest.mark.parametrize("signed", [False, True])
async def test_algorithm_is_not_the_tokens_choice(tokens: Tokens, alg: Any, signed: bool) -> None:
    """RFC 8725, section 3.1: none, or another than the configuration's."""
    payload = {"sub": "42", "roles": ["admin"], "exp": int(time.time()) + 60}
    head = {"typ": "JWT"} if alg is None else {"typ": "JWT", "alg": alg}

    await _is_refused(tokens, _signed(json.dumps(payload), head, signed=signed))


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
@pytest.mark.parametrize("form", ["PEM", "DER"])
async def test_public_key_is_no_shared_secret(settings_for: SettingsFactory, alg: str, form: str) -> None:
    """RFC 8725, section 2.1: a token signed with the public key as if it were a secret."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        getattr(serialization.Encoding, form), serialization.PublicFormat.SubjectPublicKeyInfo
    )
    entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    keys = KeySet("http://unused", ("RS256", "ES256", "EdDSA"))
    keys._keys = keys._read({"keys": [{**entry, "kid": "k"}]})
    tokens = Tokens(settings_for(jwks_url="http://unused"), keys)
    payload = {"sub": "42", "roles": ["admin"], "exp": int(time.time()) + 60}
    forged = _signed(json.dumps(payload), {"typ": "JWT", "alg": alg, "kid": "k"}, secret=public)
    good = jwt.encode(payload, key, algorithm="RS256", headers={"kid": "k"})

    assert (await tokens.verify(good)).is_admin
    await _is_refused(tokens, forged)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "x" * 20_000, "é.é.é", "\x00", mint("42") + ".x", mint("42")[:-1] + "!",
        "." + mint("42"), mint("42").replace(".", "", 1), " " + mint("42"), mint("42") + " ",
        "e30.e30.", f"Bearer {mint('42')}", EXAMPLE,
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    await _is_refused(tokens, token)


@pytest.mark.parametrize(
    "payload", ["[]", "1", "null", '"text"', "{", "", "[" * 4000, '{"sub":"42","exp":4000000000,"exp":1}']
)
async def test_payload_that_is_no_claims_is_refused(tokens: Tokens, payload: str) -> None:
    await _is_refused(tokens, _signed(payload))


async def test_refusal_does_not_quote_the_token(tokens: Tokens) -> None:
    assert "very-secret" not in await _is_refused(tokens, "very-secret.very-secret.very-secret")


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
        await _is_refused(tokens, mint("42", **claims))


async def test_issuer_that_is_a_list_is_refused(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(jwt_issuer="me"), None)

    await _is_refused(tokens, _signed('{"sub":"42","exp":4000000000,"iss":["me"]}'))


# -- remembered -----------------------------------------------------------------------------------


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
    await _is_refused(tokens, "a.b.c")

    assert tokens.recall("a.b.c") is None


async def test_remembered_tokens_are_bounded(
    settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHE_TOKENS", 10)
    tokens = Tokens(settings_for(), None)

    for number in range(50):
        await tokens.verify(mint(number, "service"))
        assert len(tokens._known) <= 10


# -- demo -----------------------------------------------------------------------------------------


def _demo(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_bad_demo_token_says_what_a_good_one_is() -> None:
    with pytest.raises(Unauthenticated, match=r"not valid: a demo token is base64 of id:username"):
        demo_caller("eyJhbGciOiJIUzI1NiJ9.e30.x")


def test_demo_token_of_the_contract() -> None:
    assert demo_caller(EXAMPLE) == Caller(
        "test123", frozenset(["user", "admin"]), "testuser", "test@example.com"
    )


@pytest.mark.parametrize(
    "token",
    [
        EXAMPLE.rstrip("="),  # as some clients write it
        base64.urlsafe_b64encode(b"test123:testuser:test@example.com:user,admin").decode(),
    ],
)
def test_demo_token_may_lack_its_padding_or_be_url_safe(token: str) -> None:
    assert demo_caller(token).user_id == "test123"


def test_demo_token_of_other_scripts() -> None:
    text = "7:Änne ÿ>?:a@b.c:user"

    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert demo_caller(encode(text.encode()).decode()).name == "Änne ÿ>?"


def test_demo_token_may_have_no_role() -> None:
    assert demo_caller(_demo("1:a:b:")).roles == frozenset()


@pytest.mark.parametrize(
    "token",
    [
        "", "=", "====", "!!!!", "a", "é", "\x00", " " + EXAMPLE, EXAMPLE + "\n", EXAMPLE[:10] + "\n" + EXAMPLE[10:],
        "AA=A", _demo(""), _demo("1"), _demo("1:a"), _demo("1:a:b"), _demo("1:a:b:user:more"), _demo(":a:b:user"),
        _demo("1\n:a:b:user"), _demo("x" * 129 + ":a:b:user"), _demo("1:a:b:root"), _demo("1:a:b:user,root"),
        _demo("1:a:b:USER"), _demo("1:a:b:user, admin"), base64.b64encode(b"1:a:b:\xff").decode(),
        base64.b64encode(b"\xff:a:b:user").decode(), "-_+/", "1:a:b:user",
    ],
)  # fmt: skip
def test_demo_token_of_another_form_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        demo_caller(token)


def test_demo_token_that_was_minted_is_read() -> None:
    caller = demo_caller(demo_token("42", ("user", "service"), "Ann", "a@b.c"))

    assert caller == Caller("42", frozenset(["user", "service"]), "Ann", "a@b.c")
    assert caller.expires is None


async def test_demo_token_is_refused_outside_demo_mode(tokens: Tokens) -> None:
    await _is_refused(tokens, EXAMPLE)


async def test_jwt_works_beside_demo_tokens_where_a_secret_is_set(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(auth_mode="demo", jwt_secret=SECRET), None)

    assert (await tokens.verify(mint("42"))).user_id == "42"
    assert (await tokens.verify(EXAMPLE)).user_id == "test123"
    await _is_refused(tokens, mint("42", secret="another secret of more than 32 bytes!"))


async def test_jwt_means_nothing_in_demo_mode_without_a_secret(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(auth_mode="demo"), None)

    await _is_refused(tokens, mint("42"))
    await _is_refused(tokens, _signed('{"sub":"42","exp":4000000000}', secret=b""))


async def test_minted_jwt_is_good(settings_for: SettingsFactory) -> None:
    settings = settings_for(jwt_issuer="me", jwt_audience="us")
    token = mint_token(settings, {"sub": "42", "roles": ["admin"]}, 60)

    caller = await Tokens(settings, None).verify(token)

    assert caller.is_admin
    assert 0 < (caller.expires or 0) - time.time() <= 60


def _signed(
    payload: str, head: dict[str, Any] | None = None, *, secret: bytes = SECRET.encode(), signed: bool = True
) -> str:
    """A token of any head and payload, signed with HS256 whatever its head says."""
    parts = [json.dumps(head or {"alg": "HS256", "typ": "JWT"}).encode(), payload.encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.new(secret, text, hashlib.sha256).digest() if signed else b""
    return b".".join([text, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()

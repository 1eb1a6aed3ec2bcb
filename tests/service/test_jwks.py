"""Keys from a JWKS document, fetched from a real server of ours."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from events.errors import Unauthenticated
from service import jwks
from service.jwks import REFRESH_AT_MOST_EVERY_S, KeySet
from service.tokens import Tokens
from tests.conftest import Clock, SettingsFactory, Start

ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
ANOTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _entry(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    algorithm: Any = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    [made] = [made for kind, made in algorithm.items() if isinstance(key, kind)]
    entry = {
        name: value for name, value in json.loads(made.to_jwk(key.public_key())).items() if name != "key_ops"
    }
    return {**entry, **({} if kid is None else {"kid": kid}), **more}


def _token(key: Any, algorithm: str, kid: str | None, **claims: Any) -> str:
    payload = {"sub": "42", "roles": ["user"], "exp": int(time.time()) + 60, **claims}
    return jwt.encode(payload, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


class Issuer:
    """Serves a JWKS document and counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = [_entry(RSA, "rsa"), _entry(EC, "ec"), _entry(ED, "ed")]
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        app = web.Application()
        app.router.add_get("/jwks.json", self._answer)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/jwks.json"))

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status, content_type="application/json")


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    await issuer.server.start_server()
    yield issuer
    await issuer.server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock, settings_for: SettingsFactory) -> Tokens:
    return Tokens(settings_for(jwks_url=issuer.url), KeySet(issuer.url, ALGORITHMS, clock))


async def _is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.verify(token)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")]
)
async def test_token_of_each_kind_of_key_is_good(tokens: Tokens, key: Any, algorithm: str, kid: str) -> None:
    assert (await tokens.verify(_token(key, algorithm, kid))).user_id == "42"


async def test_service_takes_tokens_by_its_jwks(start: Start, issuer: Issuer) -> None:
    service = await start(jwks_url=issuer.url)

    await service.open("/v1/app/sse/42", token=_token(EC, "ES256", "ec"))
    assert (await service.get("/v1/app/sse", token=_token(ANOTHER, "RS256", "rsa"))).status == 401


async def test_document_is_fetched_once(tokens: Tokens, issuer: Issuer) -> None:
    for number in range(5):
        await tokens.verify(_token(RSA, "RS256", "rsa", n=number))

    assert issuer.asked == 1


async def test_document_is_not_fetched_before_a_token_needs_it(tokens: Tokens, issuer: Issuer) -> None:
    await _is_refused(tokens, "nonsense")

    assert issuer.asked == 0


async def test_unknown_key_has_it_fetched_anew_at_most_every_10_s(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    issuer.keys.append(_entry(ANOTHER, "new"))

    clock.advance(REFRESH_AT_MOST_EVERY_S - 1)
    for number in range(5):
        await _is_refused(tokens, _token(ANOTHER, "RS256", "new", n=number))
    assert issuer.asked == 1

    clock.advance(1)
    assert (await tokens.verify(_token(ANOTHER, "RS256", "new"))).user_id == "42"
    assert issuer.asked == 2
    assert REFRESH_AT_MOST_EVERY_S == 10


async def test_many_unknown_keys_at_once_are_one_fetch(tokens: Tokens, issuer: Issuer) -> None:
    asked = [tokens.verify(_token(ANOTHER, "RS256", f"made up {number}")) for number in range(20)]
    results = await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(result, Unauthenticated) for result in results)
    assert issuer.asked == 1


async def test_key_that_was_taken_out_serves_no_more(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    issuer.keys = [_entry(EC, "ec")]
    clock.advance(11)
    await _is_refused(tokens, _token(ANOTHER, "RS256", "unknown"))

    await _is_refused(tokens, _token(RSA, "RS256", "rsa", n=1))


async def test_server_that_is_down_refuses_and_then_recovers(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    issuer.status = 500
    await _is_refused(tokens, _token(RSA, "RS256", "rsa"))
    issuer.status = 200
    clock.advance(11)

    assert (await tokens.verify(_token(RSA, "RS256", "rsa"))).user_id == "42"


async def test_server_that_is_gone_refuses(settings_for: SettingsFactory, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/jwks.json"

    await _is_refused(
        Tokens(settings_for(jwks_url=url), KeySet(url, ALGORITHMS)), _token(RSA, "RS256", "rsa")
    )


async def test_known_keys_stay_good_while_the_server_is_down(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    await issuer.server.close()
    clock.advance(11)
    await _is_refused(tokens, _token(ANOTHER, "RS256", "unknown"))

    assert (await tokens.verify(_token(RSA, "RS256", "rsa", n=1))).user_id == "42"


GOOD_ENTRY = _entry(RSA, "rsa")
HOSTILE: dict[str, bytes] = {
    "huge": json.dumps({"keys": [GOOD_ENTRY], "more": "x" * jwks.MAX_DOCUMENT_BYTES}).encode(),
    "nothing": b"",
    "no json": b"<html>",
    "not utf-8": b'{"keys": "\xff"}',
    "a list": b"[]",
    "no keys": b"{}",
    "keys are null": b'{"keys": null}',
    "keys are a number": b'{"keys": 1}',
    "a key is text": b'{"keys": ["x"]}',
    "a key is null": b'{"keys": [null]}',
    "a key is a list": b'{"keys": [[]]}',
    "a kid is a list": json.dumps({"keys": [{**GOOD_ENTRY, "kid": []}]}).encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_document_of_another_form_refuses_and_keeps_what_is_known(
    tokens: Tokens, issuer: Issuer, clock: Clock, body: bytes
) -> None:
    issuer.body = body
    await _is_refused(tokens, _token(RSA, "RS256", "rsa"))
    issuer.body = None
    clock.advance(11)
    await tokens.verify(_token(RSA, "RS256", "rsa"))

    issuer.body = body
    clock.advance(11)
    await _is_refused(tokens, _token(ANOTHER, "RS256", "unknown"))

    assert (await tokens.verify(_token(EC, "ES256", "ec"))).user_id == "42"


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "RSA", "kid": "rsa", "n": 1, "e": 2},
        {"kty": "RSA", "kid": "rsa", "n": "!!"},
        {},
    ],
)
async def test_key_of_another_form_serves_nobody(
    tokens: Tokens, issuer: Issuer, entry: dict[str, Any]
) -> None:
    issuer.keys = [entry, _entry(EC, "ec")]

    await _is_refused(tokens, _token(RSA, "RS256", "rsa"))
    assert (await tokens.verify(_token(EC, "ES256", "ec"))).user_id == "42"


async def test_document_with_a_key_of_another_kind_still_serves(tokens: Tokens, issuer: Issuer) -> None:
    issuer.keys = [{"kty": "future", "kid": "f"}, {}, _entry(P384, "p384"), _entry(RSA, "rsa")]

    assert (await tokens.verify(_token(RSA, "RS256", "rsa"))).user_id == "42"
    await _is_refused(tokens, _token(P384, "ES384", "p384"))


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        ({"use": "sig"}, True),
        ({"use": "enc"}, False),
        ({"alg": "RS256"}, True),
        ({"alg": "RS512"}, False),
        ({"alg": "RS256", "use": "sig"}, True),
    ],
)
async def test_key_serves_what_it_is_for(
    tokens: Tokens, issuer: Issuer, entry: dict[str, str], good: bool
) -> None:
    issuer.keys = [_entry(RSA, "rsa", **entry)]
    token = _token(RSA, "RS256", "rsa")

    if good:
        await tokens.verify(token)
    else:
        await _is_refused(tokens, token)


@pytest.mark.parametrize(
    ("algorithm", "kid"), [("RS256", "ec"), ("ES256", "rsa"), ("RS512", "rsa"), ("PS256", "rsa")]
)
async def test_token_of_another_algorithm_than_its_key_is_refused(
    tokens: Tokens, algorithm: str, kid: str
) -> None:
    await _is_refused(tokens, _token(EC if algorithm == "ES256" else RSA, algorithm, kid))


async def test_algorithms_are_those_of_the_settings(issuer: Issuer, settings_for: SettingsFactory) -> None:
    settings = settings_for(jwks_url=issuer.url, jwt_algorithms="ES256")
    tokens = Tokens(settings, KeySet(issuer.url, settings.algorithms))

    await tokens.verify(_token(EC, "ES256", "ec"))
    await _is_refused(tokens, _token(RSA, "RS256", "rsa"))


async def test_shared_key_in_the_document_is_not_used(tokens: Tokens, issuer: Issuer) -> None:
    issuer.keys = [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "oct"}]

    await _is_refused(tokens, _token("secret-secret-secret-secret-secret", "HS256", "oct"))


async def test_token_without_a_key_id_takes_the_only_key_there_is(tokens: Tokens, issuer: Issuer) -> None:
    issuer.keys = [_entry(RSA, "rsa")]

    assert (await tokens.verify(_token(RSA, "RS256", None))).user_id == "42"


async def test_token_without_a_key_id_is_refused_where_there_are_more(tokens: Tokens) -> None:
    await _is_refused(tokens, _token(RSA, "RS256", None))

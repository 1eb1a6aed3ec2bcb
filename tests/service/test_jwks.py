"""Keys from a JWKS document, fetched from a real server of ours."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sse_push.events.errors import KeysUnavailable, Unauthenticated
from sse_push.service import jwks
from sse_push.service.jwks import KeySet
from sse_push.service.tokens import Tokens
from tests.conftest import Clock, SettingsFactory, Start, until

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


@pytest.fixture(autouse=True)
def _no_spacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches for unknown keys need not wait for each other, but where a test says so."""
    monkeypatch.setattr(jwks, "MIN_SPACING_S", 0.0)


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


async def _is_not_known(tokens: Tokens, token: str) -> None:
    with pytest.raises(KeysUnavailable):
        await tokens.verify(token)


async def test_key_that_is_new_is_good_at_once_whatever_key_ids_others_make_up(
    tokens: Tokens, issuer: Issuer
) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    for number in range(5):
        await _is_refused(tokens, _token(ANOTHER, "RS256", f"made up {number}"))
        issuer.keys.append(_entry(ANOTHER, f"new {number}"))

        assert (await tokens.verify(_token(ANOTHER, "RS256", f"new {number}"))).user_id == "42"


async def test_key_id_that_was_not_there_is_asked_for_again_after_10_s(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    for _ in range(5):
        await _is_refused(tokens, _token(ANOTHER, "RS256", "late"))
    assert issuer.asked == 2  # the first document, and one look for the key
    issuer.keys.append(_entry(ANOTHER, "late"))
    await _is_refused(tokens, _token(ANOTHER, "RS256", "late"))

    clock.advance(jwks.UNKNOWN_KEY_S)

    assert (await tokens.verify(_token(ANOTHER, "RS256", "late"))).user_id == "42"
    assert issuer.asked == 3


async def test_many_unknown_keys_at_once_are_one_fetch(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    asked = [tokens.verify(_token(ANOTHER, "RS256", f"made up {number}")) for number in range(20)]
    results = await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(result, Unauthenticated) for result in results)
    assert issuer.asked == 2


async def test_fetches_for_made_up_keys_are_spaced_more_and_more(
    tokens: Tokens, issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        clock.advance(seconds)

    monkeypatch.setattr(jwks, "MIN_SPACING_S", 1.0)
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    monkeypatch.setattr(jwks.asyncio, "sleep", sleep)
    for number in range(6):
        await _is_refused(tokens, _token(ANOTHER, "RS256", f"made up {number}"))
    issuer.keys.append(_entry(ANOTHER, "new"))
    await tokens.verify(_token(ANOTHER, "RS256", "new"))
    await _is_refused(tokens, _token(ANOTHER, "RS256", "made up again"))

    assert slept == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 1.0]


async def test_remembered_unknown_keys_are_bounded(
    tokens: Tokens, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_UNKNOWN_KEYS", 3)
    for number in range(6):
        await _is_refused(tokens, _token(ANOTHER, "RS256", f"made up {number}"))
    asked = issuer.asked

    await _is_refused(tokens, _token(ANOTHER, "RS256", "made up 5"))
    assert issuer.asked == asked
    await _is_refused(tokens, _token(ANOTHER, "RS256", "made up 0"))
    assert issuer.asked == asked + 1


async def test_key_id_of_any_length_is_refused_without_a_fetch(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))

    await _is_refused(tokens, _token(ANOTHER, "RS256", "x" * 1000))

    assert issuer.asked == 1


async def test_key_that_was_taken_out_serves_no_more(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    issuer.keys = [_entry(EC, "ec")]
    await _is_refused(tokens, _token(ANOTHER, "RS256", "unknown"))

    await _is_refused(tokens, _token(RSA, "RS256", "rsa", n=1))


async def test_token_is_not_refused_while_the_document_cannot_be_fetched(
    start: Start, issuer: Issuer
) -> None:
    """A 401 would end an EventSource for good, and have its page log in again."""
    issuer.status = 500
    service = await start(jwks_url=issuer.url)
    for path in ("/v1/app/sse", "/system/status", "/v1/stream?topics=app"):
        answer = await service.get(path, token=_token(RSA, "RS256", "rsa"))
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
    issuer.status = 200
    await until(lambda: service.node.keys._fetched)

    await service.open("/v1/app/sse", token=_token(RSA, "RS256", "rsa"))


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c",
        _token("secret " * 8, "HS256", "rsa"),
        _token(RSA, "RS512", "rsa"),
        _token(RSA, "RS256", "rsa", exp=1),
        _token(RSA, "RS256", "rsa", sub=""),
    ],
)
async def test_token_that_cannot_be_good_is_refused_while_the_document_cannot_be_fetched(
    tokens: Tokens, issuer: Issuer, token: str
) -> None:
    issuer.status = 500

    await _is_refused(tokens, token)


async def test_document_is_fetched_at_the_start(start: Start, issuer: Issuer) -> None:
    await start(jwks_url=issuer.url)

    await until(lambda: issuer.asked)


async def test_server_that_is_down_is_asked_again_and_again(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_RETRY_S", 0.01)
    issuer.status = 500
    keys = KeySet(issuer.url, ALGORITHMS)
    keys.start()
    await until(lambda: issuer.asked >= 3)
    issuer.status = 200

    await until(lambda: keys._fetched)
    await keys.close()


async def test_server_that_is_gone_is_not_the_tokens_fault(
    settings_for: SettingsFactory, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/jwks.json"

    await _is_not_known(
        Tokens(settings_for(jwks_url=url), KeySet(url, ALGORITHMS)), _token(RSA, "RS256", "rsa")
    )


async def test_known_keys_stay_good_for_a_day_while_the_server_is_down(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(_token(RSA, "RS256", "rsa"))
    await issuer.server.close()
    await _is_not_known(tokens, _token(ANOTHER, "RS256", "unknown"))

    clock.advance(jwks.KEEP_S - 1)
    assert (await tokens.verify(_token(RSA, "RS256", "rsa", n=1))).user_id == "42"
    clock.advance(2)
    await _is_not_known(tokens, _token(RSA, "RS256", "rsa", n=1))


async def test_key_that_left_the_document_is_trusted_until_the_next_refresh(
    start: Start, issuer: Issuer
) -> None:
    service = await start(jwks_url=issuer.url, jwks_refresh_s=1)
    token = _token(RSA, "RS256", "rsa", roles=["service"])
    event = {"userId": "1", "data": 1}
    assert (await service.post("/v1/events", token=token, json=event)).status == 200
    assert service.node.tokens.recall(token)
    stream = await service.open("/v1/app/sse", token=token)
    other = await service.open("/v1/app/sse", token=_token(EC, "ES256", "ec"))

    issuer.keys = [_entry(EC, "ec")]
    await until(lambda: service.node.tokens.recall(token) is None)
    assert (await stream.event()).event == "sse.expired"
    await until(lambda: len(service.node.connections) == 1)
    other.close()

    assert (await service.post("/v1/events", token=token, json=event)).status == 401


@pytest.mark.parametrize(
    "place", ["http://user:s3cret@{}/jwks.json?key=s3cret", "http://user:s3cret@127.0.0.1:9/?key=s3cret"]
)
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_credentials_of_the_url_are_in_no_log_line_and_no_answer(
    start: Start, issuer: Issuer, logged: list[dict[str, Any]], place: str, status: int
) -> None:
    issuer.status, issuer.body = status, b"<html>"
    service = await start(jwks_url=place.format(f"127.0.0.1:{issuer.server.port}"))
    token = _token(RSA, "RS256", "rsa", roles=["admin"])
    answers = [await service.get(path, token=token) for path in ("/v1/app/sse", "/sse/status")]

    await until(lambda: any(line["event"] == "jwks.failed" for line in logged))
    assert [answer.status for answer in answers] == [503, 503]
    assert "s3cret" not in str(logged) + str(answers) + repr(service.node.settings)


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
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_document_of_another_form_refuses_and_keeps_what_is_known(
    tokens: Tokens, issuer: Issuer, body: bytes
) -> None:
    issuer.body = body
    await _is_not_known(tokens, _token(RSA, "RS256", "rsa"))
    issuer.body = None
    await tokens.verify(_token(RSA, "RS256", "rsa"))

    issuer.body = body
    await _is_not_known(tokens, _token(ANOTHER, "RS256", "unknown"))

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


@pytest.mark.parametrize(("kid", "named"), [("rsa", None), (None, None), ("", ""), ("rsa", "rsa")])
async def test_token_is_good_for_as_long_as_its_key_is_in_the_document(
    start: Start, issuer: Issuer, kid: str | None, named: str | None
) -> None:
    issuer.keys = [_entry(RSA, kid)]
    service = await start(jwks_url=issuer.url, jwks_refresh_s=1)
    tokens, token = service.node.tokens, _token(RSA, "RS256", named, roles=["service"])
    caller = await tokens.verify(token)
    stream = await service.open("/v1/app/sse", token=token)

    await tokens.check_again(caller)
    issuer.keys = [_entry(ANOTHER, "another")]

    assert (await stream.event()).event == "sse.expired"
    assert tokens.recall(token) is None
    with pytest.raises(Unauthenticated):
        await tokens.check_again(caller)


async def test_tokens_that_wait_for_a_fetch_are_bounded(
    tokens: Tokens, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_WAITING_TOKENS", 0)

    with pytest.raises(KeysUnavailable):
        await tokens.verify(_token(RSA, "RS256", "rsa"))
    gc.collect()  # a fetch that was made and not awaited would warn

    assert issuer.asked == 0


@pytest.mark.parametrize("kid", [None, "same"])
async def test_newer_key_without_another_id_is_seen(
    tokens: Tokens, issuer: Issuer, clock: Clock, kid: str | None
) -> None:
    issuer.keys = [_entry(RSA, kid)]
    await tokens.verify(_token(RSA, "RS256", kid))
    issuer.keys = [_entry(ANOTHER, kid)]

    assert (await tokens.verify(_token(ANOTHER, "RS256", kid))).user_id == "42"
    await _is_refused(tokens, _token(RSA, "RS256", kid, n=1))


async def test_wrong_signatures_for_a_known_key_fetch_once_in_ten_seconds(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    for number in range(5):
        await _is_refused(tokens, _token(ANOTHER, "RS256", "rsa", n=number))
    assert issuer.asked == 2
    assert (await tokens.verify(_token(RSA, "RS256", "rsa"))).user_id == "42"

    clock.advance(jwks.UNKNOWN_KEY_S)
    await _is_refused(tokens, _token(ANOTHER, "RS256", "rsa"))
    assert issuer.asked == 3


async def test_token_without_a_key_id_is_refused_where_there_are_more(tokens: Tokens) -> None:
    await _is_refused(tokens, _token(RSA, "RS256", None))

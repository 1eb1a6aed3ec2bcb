"""The fast check of HS256 tokens accepts nothing that PyJWT refuses, and gives the same payload."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.service.hs256 import MAX_HEADERS, Hs256

SECRETS = (b"a" * 32, b"b" * 32)
HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "42", "exp": 4_000_000_000, "iss": "issuer", "aud": "push"}
OPTIONS: Any = {
    "require": ["exp", "sub"],
    **dict.fromkeys(["verify_exp", "verify_iat", "verify_nbf", "verify_sub", "verify_jti"], False),
}


def segment(data: object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(claims: object = CLAIMS, header: object = HEADER, secret: bytes = SECRETS[0]) -> str:
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), secret))}"


def by_pyjwt(text: str, *, audience: bool = True) -> dict[str, Any] | None:
    checks: dict[str, Any] = {"issuer": "issuer", "audience": "push" if audience else None}
    for secret in SECRETS:
        try:
            options = {**OPTIONS, "verify_aud": audience}
            return jwt.decode(text, secret, algorithms=["HS256"], options=options, **checks)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return None


@pytest.fixture
def hs256() -> Hs256:
    fast = Hs256(SECRETS, "issuer", "push")
    fast.remember(token(), HEADER)
    return fast


@pytest.mark.parametrize("secret", SECRETS)
def test_token_of_each_secret_is_accepted(hs256: Hs256, secret: bytes) -> None:
    assert hs256.verify(token(secret=secret)) == {"header": HEADER, "payload": CLAIMS}


def test_header_that_was_not_seen_is_left_to_pyjwt(hs256: Hs256) -> None:
    assert hs256.verify(token(header={**HEADER, "kid": "other"})) is None


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS512"}, {**HEADER, "b64": False}])
def test_header_of_another_form_is_never_remembered(header: dict[str, Any]) -> None:
    fast = Hs256(SECRETS, None, None)
    fast.remember(token(header=header), header)
    assert fast.verify(token(header=header)) is None


@pytest.mark.parametrize(
    "change",
    [{"iss": "another"}, {"aud": "another"}, {"sub": None}, {"exp": None}, {"aud": ["push"]}, {"iss": ["issuer"]}],
)  # fmt: skip
def test_claims_that_are_not_plainly_right_are_left_to_pyjwt(hs256: Hs256, change: dict[str, Any]) -> None:
    assert hs256.verify(token({**CLAIMS, **change})) is None


def test_signature_of_another_secret_is_not_accepted(hs256: Hs256) -> None:
    assert hs256.verify(token(secret=b"c" * 32)) is None


def test_headers_are_remembered_within_a_bound() -> None:
    fast = Hs256(SECRETS, None, None)
    for number in range(3 * MAX_HEADERS):
        header = {**HEADER, "kid": str(number)}
        fast.remember(token(header=header), header)
        assert fast.verify(token(header=header)) is not None
    assert len(fast._headers) <= MAX_HEADERS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "exp", "iss", "aud", "x"]), json_values | st.sampled_from([*CLAIMS.values()])
    )
)
def test_random_claims_are_accepted_only_as_by_pyjwt(claims: dict[str, Any]) -> None:
    fast = Hs256(SECRETS, "issuer", "push")
    fast.remember(token(), HEADER)
    verified = fast.verify(text := token(claims))
    if verified is not None:
        assert repr(verified["payload"]) == repr(by_pyjwt(text))


@given(st.data())
def test_damaged_tokens_are_accepted_only_as_by_pyjwt(data: st.DataObject) -> None:
    fast = Hs256(SECRETS, "issuer", "push")
    fast.remember(token(), HEADER)
    text = [*token()]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(st.text("abzAZ09-_=.+/ é\n\x00", max_size=2))
    damaged = "".join(text)
    verified = fast.verify(damaged)
    if verified is not None:
        assert verified["payload"] == by_pyjwt(damaged)

"""Every way to pass off as a JWT what is none."""

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sse_push.service.jwk_document import read_document
from sse_push.service.jwks import KeySet
from sse_push.service.tokens import Tokens
from tests.conftest import SettingsFactory, mint
from tests.service.tokens.forgery import EXAMPLE, is_refused, signed_token


async def test_signature_of_another_secret_is_refused(tokens: Tokens) -> None:
    await is_refused(tokens, mint("42", secret="another secret of more than 32 bytes!"))


async def test_payload_that_was_changed_is_refused(tokens: Tokens) -> None:
    head, _, signature = mint("42").split(".")
    _, payload, _ = mint("43", "admin").split(".")

    await is_refused(tokens, f"{head}.{payload}.{signature}")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS512", "HS384", "RS256", "", None, 1])
@pytest.mark.parametrize("signed", [False, True])
async def test_algorithm_is_not_the_tokens_choice(tokens: Tokens, alg: Any, signed: bool) -> None:
    """RFC 8725, section 3.1: none, or another than the configuration's."""
    payload = {"sub": "42", "roles": ["admin"], "exp": int(time.time()) + 60}
    head = {"typ": "JWT"} if alg is None else {"typ": "JWT", "alg": alg}

    await is_refused(tokens, signed_token(json.dumps(payload), head, signed=signed))


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
    keys._take(read_document({"keys": [{**entry, "kid": "k"}]}, ("RS256",)))
    keys._fetched = time.monotonic()
    tokens = Tokens(settings_for(jwks_url="http://unused"), keys)
    payload = {"sub": "42", "roles": ["admin"], "exp": int(time.time()) + 60}
    forged = signed_token(json.dumps(payload), {"typ": "JWT", "alg": alg, "kid": "k"}, secret=public)
    good = jwt.encode(payload, key, algorithm="RS256", headers={"kid": "k"})

    assert (await tokens.verify(good)).is_admin
    await is_refused(tokens, forged)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "x" * 20_000, "é.é.é", "\x00", mint("42") + ".x", mint("42")[:-1] + "!",
        "." + mint("42"), mint("42").replace(".", "", 1), " " + mint("42"), mint("42") + " ",
        "e30.e30.", f"Bearer {mint('42')}", EXAMPLE,
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    await is_refused(tokens, token)


async def test_refusal_does_not_quote_the_token(tokens: Tokens) -> None:
    assert "very-secret" not in await is_refused(tokens, "very-secret.very-secret.very-secret")

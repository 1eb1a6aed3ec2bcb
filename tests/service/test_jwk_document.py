"""Which keys of a JWKS document verify tokens."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sse_push.service.jwk_document import MAX_KEY_ID_CHARS, MIN_RSA_BITS, read_document

ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
K256 = ec.generate_private_key(ec.SECP256K1())
ED = ed25519.Ed25519PrivateKey.generate()


def _rsa(key: Any = RSA, **more: Any) -> dict[str, Any]:
    made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key))
    return {"kid": "k", **{name: value for name, value in made.items() if name != "key_ops"}, **more}


def _ec(key: Any = EC, **more: Any) -> dict[str, Any]:
    return {"kid": "k", **json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), **more}


def _ed(**more: Any) -> dict[str, Any]:
    return {"kid": "k", **json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(ED.public_key())), **more}


@pytest.mark.parametrize(
    ("entry", "algorithm"),
    [
        (_rsa(RSA.public_key()), "RS256"),
        (_rsa(RSA.public_key(), key_ops=["verify"], use="sig", alg="RS256"), "RS256"),
        (_ec(), "ES256"),
        (_ed(), "EdDSA"),
        (_ed(alg="EdDSA"), "EdDSA"),
    ],
)
def test_public_key_for_signatures_is_usable(entry: dict[str, Any], algorithm: str) -> None:
    keys = read_document({"keys": [entry]}, ALGORITHMS)

    assert [*keys.usable] == [("k", algorithm)]
    assert not keys.refused


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (_rsa(SHORT.public_key()), "1024 bits"),
        (_rsa(RSA), "private"),
        ({**_rsa(RSA.public_key()), "d": "AQAB"}, "private"),
        ({"kid": "k", "kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}, "secret"),
        (_rsa(RSA.public_key(), use="enc"), "not for signatures"),
        (_rsa(RSA.public_key(), key_ops=["encrypt"]), "not for signatures"),
        (_rsa(RSA.public_key(), key_ops=5), "not for signatures"),
        (_rsa(RSA.public_key(), use=["sig"]), "not for signatures"),
        (_rsa(RSA.public_key(), alg=["RS256"]), "broken"),
        (_rsa(RSA.public_key(), alg="RS512"), "algorithm"),
        (_rsa(RSA.public_key(), alg="HS256"), "broken"),
        (_rsa(RSA.public_key(), alg="none"), "broken|kind|algorithm"),
        (_rsa(RSA.public_key(), alg="ES256"), "broken|kind or curve"),
        (_rsa(RSA.public_key(), kid=7), "kid"),
        (_rsa(RSA.public_key(), kid=["k"]), "kid"),
        (_rsa(RSA.public_key(), kid="x" * (MAX_KEY_ID_CHARS + 1)), "kid"),
        (_ec(P384), "algorithm"),
        (_ec(P384, alg="ES256"), "broken|kind or curve"),
        (_ec(K256, alg="ES256"), "broken|kind or curve"),
        (_ec(crv="P-384"), "broken"),
        (_ec(y="AAAA"), "broken"),
        (_ed(crv="X25519"), "broken"),
        (_ed(crv="Ed448"), "broken"),
        ({"kid": "k", "kty": "future"}, "broken"),
        ({}, "broken"),
    ],
)
def test_other_key_is_refused_and_the_next_still_used(entry: dict[str, Any], reason: str) -> None:
    keys = read_document({"keys": [entry, _ec(kid="good")]}, ALGORITHMS)

    assert [*keys.usable] == [("good", "ES256")]
    [(_, why)] = keys.refused
    assert any(part in why for part in reason.split("|"))


def test_keys_of_two_kinds_may_share_an_id_and_two_of_one_may_not() -> None:
    keys = read_document({"keys": [_ec(), _rsa(RSA.public_key()), _ec()]}, ALGORITHMS)

    assert [*keys.usable] == [("k", "ES256"), ("k", "RS256")]
    assert len(keys.refused) == 1


def test_reason_quotes_nothing_of_the_key() -> None:
    keys = read_document({"keys": [{"kty": "RSA", "n": "s3cret", "e": "s3cret"}]}, ALGORITHMS)

    assert "s3cret" not in str(keys.refused)


@pytest.mark.parametrize(
    "document", [[], {}, None, 1, {"keys": None}, {"keys": {}}, {"keys": [1]}, {"keys": [[]]}]
)
def test_what_is_no_document_is_an_error(document: Any) -> None:
    with pytest.raises(ValueError, match="no JWKS document"):
        read_document(document, ALGORITHMS)


def test_shortest_rsa_key_is_that_of_the_standard() -> None:
    assert MIN_RSA_BITS == 2048

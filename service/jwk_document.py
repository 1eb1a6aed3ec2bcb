"""A JWKS document: which of its keys may verify tokens, and why the others may not. Pure; fetches nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_RSA_BITS = 2048  # bits of a modulus (RFC 7518, section 3.3): shorter ones can be factored
MAX_KEY_ID_CHARS = 256  # characters of a `kid`: a thumbprint or a URL-like name
_PRIVATE = frozenset(["d", "p", "q", "dp", "dq", "qi", "oth", "k"])


@dataclass(frozen=True)
class Keys:
    """What one document gives.

    Attributes:
        usable: Public keys, by ``kid`` (``None`` for one without) and algorithm.
        refused: ``(kid, reason)`` of each key that can't be used.
    """

    usable: Mapping[tuple[str | None, str], Any]
    refused: Collection[tuple[str, str]]


def read_document(document: Any, algorithms: Collection[str]) -> Keys:
    """The keys of *document* that serve one of *algorithms*.

    Raises:
        ValueError: It is no JWKS document.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it is no JWKS document: an object with a list of objects, `keys`, is wanted")
    usable: dict[tuple[str | None, str], Any] = {}
    refused = []
    for entry in entries:
        try:
            key_id, algorithm, key = _read_key(entry, algorithms)
            if (key_id, algorithm) in usable:
                raise ValueError("another key of the same algorithm has this kid")
            usable[key_id, algorithm] = key
        except ValueError as error:
            refused.append((str(entry.get("kid"))[:MAX_KEY_ID_CHARS], str(error)))
    return Keys(usable, refused)


def _read_key(entry: Mapping[str, Any], algorithms: Collection[str]) -> tuple[str | None, str, Any]:
    """One key: its id, its algorithm, and the key itself.

    Raises:
        ValueError: It can't be used; the text says why, and quotes nothing of it.
    """
    key_id = entry.get("kid")
    if not (key_id is None or (isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID_CHARS)):
        raise ValueError(f"its kid is no text of up to {MAX_KEY_ID_CHARS} characters")
    if not _PRIVATE.isdisjoint(entry):
        raise ValueError("it is a secret or private key: whoever reads the document can sign")
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("it is not for signatures")
    try:
        jwk = jwt.PyJWK(dict(entry))
    except Exception as error:  # PyJWT raises many kinds; the other keys must still serve
        raise ValueError("it is of no known kind, or broken") from error
    if jwk.algorithm_name not in algorithms:
        raise ValueError("its algorithm is not one of SSE_PUSH_JWT_ALGORITHMS")
    if not _fits(jwk.algorithm_name, jwk.key):
        raise ValueError("it is of another kind or curve than its algorithm wants")
    if isinstance(jwk.key, RSAPublicKey) and jwk.key.key_size < MIN_RSA_BITS:
        raise ValueError(f"it has {jwk.key.key_size} bits, fewer than the {MIN_RSA_BITS} that RSA wants")
    return key_id, jwk.algorithm_name, jwk.key


def _fits(algorithm: str, key: Any) -> bool:
    """Whether *key* is a public key of the kind and curve that *algorithm* uses (RFC 7518, RFC 8037)."""
    if algorithm == "ES256":
        return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    kinds: dict[str, Any] = {"RS256": RSAPublicKey, "EdDSA": (Ed25519PublicKey, Ed448PublicKey)}
    return isinstance(key, kinds[algorithm])

"""From a token to a caller: JWTs by shared secret or JWKS document, demo tokens; and minting for development.

Knows nothing of where in a request a token stands.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from events.errors import Unauthenticated
from events.topics import as_name, is_name
from service.identity import Caller, Role
from service.jwks import KeySet
from service.settings import Settings

_INVALID = "the token is not valid"
_NO_DEMO = f"{_INVALID}: a demo token is base64 of id:username:email:role,role"
_EXPIRED = "the token has expired"
MAX_TOKEN_CHARS = 8190  # what one header line may hold
CACHE_TOKENS = 1000  # publishers' verified tokens remembered: a busy one's is not verified each time
CACHE_S = (
    60.0  # seconds for which one is believed unseen: a key taken out of the JWKS document works no longer
)
_DEMO_ROLES = frozenset(Role)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


class _PreparedHmac(HMACAlgorithm):
    """PyJWT looks at each use whether a secret is a public key after all; ours is looked at once, at the start."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else super().prepare_key(key)


class Tokens:
    """Tells who a token is for, by the rules of the settings.

    The algorithm is the configuration's choice, never the token's.
    """

    def __init__(
        self, settings: Settings, keys: KeySet | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._demo = settings.demo
        self._jwt = jwt.PyJWT()
        jws = self._jwt._jws  # noqa: SLF001 - the public way would change it for the whole process
        jws.unregister_algorithm("HS256")
        jws.register_algorithm("HS256", _PreparedHmac(HMACAlgorithm.SHA256))
        self._secret = b""
        if secret := settings.jwt_secret.get_secret_value():
            self.use_secret(secret)
        self._keys = keys
        self._clock = clock
        self._algorithms = list(settings.algorithms)
        self._checks: dict[str, Any] = {
            "issuer": settings.jwt_issuer or None,
            "audience": settings.jwt_audience or None,
            # "sub" may be a number (contract section 5), which PyJWT's own check refuses.
            "options": {
                "require": ["exp", "sub"],
                "verify_aud": bool(settings.jwt_audience),
                "verify_sub": False,
            },
        }
        self._given = _given_claims(settings)
        self._known: dict[str, tuple[Caller, float]] = {}

    @property
    def can_issue(self) -> bool:
        """Whether there is a secret to sign with; where keys come by JWKS, their owner alone signs."""
        return bool(self._secret)

    def use_secret(self, secret: str) -> None:
        """Sign and verify with *secret*."""
        self._secret = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)

    def issue(self, claims: Mapping[str, Any], lifetime: int) -> str:
        """A token that :meth:`verify` takes.

        Args:
            claims: ``sub``, ``roles`` and whatever else.
            lifetime: Seconds until it expires.
        """
        payload = {**self._given, **_dates(self._clock(), lifetime), **claims}
        return jwt.encode(payload, self._secret, algorithm="HS256")

    def recall(self, token: str) -> Caller | None:
        """The caller of a publisher's token verified in the last minute and still valid."""
        known = self._known.get(token)
        if known is None:
            return None
        caller, until = known
        if until > self._clock():
            return caller
        del self._known[token]
        return None

    async def verify(self, token: str) -> Caller:
        """Who *token* is for.

        Raises:
            Unauthenticated: It is not valid.
        """
        caller = self.recall(token)
        if caller is None:
            caller = await self._verify(token)
            if caller.is_publisher:  # a user's is seen once for each stream: not worth its memory
                self._remember(token, caller)
        return caller

    async def _verify(self, token: str) -> Caller:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(_INVALID)
        if token.count(".") == 2 and (self._secret or self._keys):
            return _caller(await self._claims(token))
        if self._demo:
            return demo_caller(token)
        raise Unauthenticated(_INVALID)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            key: Any = await self._keys.key_for(token) if self._keys else self._secret
            return self._jwt.decode(token, key, algorithms=self._algorithms, **self._checks)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(_EXPIRED) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated(_INVALID) from None

    def _remember(self, token: str, caller: Caller) -> None:
        until = self._clock() + CACHE_S
        if len(self._known) >= CACHE_TOKENS:
            self._known.clear()
        self._known[token] = (caller, min(until, caller.expires or until))


def _caller(claims: Mapping[str, Any]) -> Caller:
    user_id = as_name(claims["sub"])
    roles = claims.get("roles", [])
    rooms = claims.get("rooms")
    if user_id is None or not _is_texts(roles) or not (rooms is None or _is_texts(rooms)):
        raise Unauthenticated(_INVALID)
    return Caller(
        user_id,
        frozenset(roles),
        name=_text(claims.get("name")),
        email=_text(claims.get("email")),
        rooms=None if rooms is None else frozenset(rooms),
        expires=_seconds(claims["exp"]),
    )


def _text(claim: object) -> str:
    return str(claim or "").encode(errors="replace").decode()


def _seconds(exp: Any) -> float:
    try:
        return float(exp)
    except OverflowError:  # a whole number past any date
        raise Unauthenticated(_INVALID) from None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def demo_caller(token: str) -> Caller:
    """Who a demo token is for: base64 of ``id:username:email:role,role``.

    Raises:
        Unauthenticated: It is not of that form.
    """
    try:
        if not _BASE64.fullmatch(token):
            raise Unauthenticated(_NO_DEMO)
        padded = token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)
        text = base64.b64decode(padded, altchars=b"-_" if set("-_") & set(token) else None).decode()
        user_id, name, email, roles_text = text.split(":")
    except (binascii.Error, ValueError):
        raise Unauthenticated(_NO_DEMO) from None
    roles = frozenset(filter(None, roles_text.split(",")))
    if not is_name(user_id) or not roles <= _DEMO_ROLES:
        raise Unauthenticated(_NO_DEMO)
    return Caller(user_id, roles, name=name, email=email)


def demo_token(user_id: str, roles: tuple[str, ...], name: str = "", email: str = "") -> str:
    """A demo token, which :func:`demo_caller` reads."""
    text = f"{user_id}:{name or user_id}:{email or user_id + '@example.com'}:{','.join(roles)}"
    return base64.b64encode(text.encode()).decode()


def mint_token(settings: Settings, claims: Mapping[str, Any], lifetime: float) -> str:
    """A JWT signed with the settings' shared secret, for development.

    Args:
        claims: ``sub``, ``roles`` and whatever else.
        lifetime: Seconds until it expires.
    """
    payload = {**_given_claims(settings), **_dates(time.time(), lifetime), **claims}
    return jwt.encode(payload, settings.jwt_secret.get_secret_value(), algorithm="HS256")


def _given_claims(settings: Settings) -> dict[str, str]:
    """What every token of these settings must say."""
    known = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    return {name: value for name, value in known.items() if value}


def _dates(now: float, lifetime: float) -> dict[str, int]:
    return {"iat": int(now), "exp": int(now) + int(lifetime)}

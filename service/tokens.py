"""From a token to a caller: JWTs by shared secret or JWKS document, demo tokens; and minting for development.

Knows nothing of where in a request a token stands.
"""

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from sse_push.events.errors import KeysUnavailable, Unauthenticated
from sse_push.service.account_checks import CHECK_S
from sse_push.service.claims import EXPIRED, INVALID, caller_from_claims
from sse_push.service.hs256 import Hs256
from sse_push.service.identity import Caller, Role, as_user_id
from sse_push.service.jwks import KeySet
from sse_push.service.settings import Settings

_NO_DEMO = f"{INVALID}: a demo token is base64 of id:username:email:role,role"
MAX_TOKEN_CHARS = 8190  # what one header line may hold
CACHE_TOKENS = 1000  # publishers' verified tokens remembered: a busy one's is not verified each time
CACHE_S = (
    60.0  # seconds for which one is believed unseen; one whose key left the document is forgotten at once
)
LOGIN = "login"  # header parameter of a token that a login gave: the generation of its account's tokens
_DEMO_ROLES = frozenset(Role)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)
_STANDARD = str.maketrans(
    "-_", "+/"
)  # base64url as base64: Python 3.15 warns of a mixture that b64decode has to guess


class _PreparedHmac(HMACAlgorithm):
    """PyJWT looks at each use whether a secret is a public key after all; ours is looked at once, at the start."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else super().prepare_key(key)


class Tokens:
    """Tells who a token is for, by the rules of the settings.

    The algorithm is the configuration's choice, never the token's.

    Args:
        check_account: Raises where the account of a token that a login gave is not as the token says.
    """

    def __init__(
        self,
        settings: Settings,
        keys: KeySet | None,
        clock: Callable[[], float] = time.time,
        check_account: Callable[[Caller], Awaitable[None]] | None = None,
    ) -> None:
        self._demo = settings.demo
        self._jwt = jwt.PyJWT()
        jws = self._jwt._jws  # noqa: SLF001 - the public way would change it for the whole process
        jws.unregister_algorithm("HS256")
        jws.register_algorithm("HS256", _PreparedHmac(HMACAlgorithm.SHA256))
        self._secrets: tuple[bytes, ...] = ()
        self._issuer, self._audience = settings.jwt_issuer or None, settings.jwt_audience or None
        self.use_secrets(*settings.jwt_secrets)
        self._keys = keys
        if keys is not None:
            keys.on_removed(self._forget_removed)
        self._check_account = check_account
        self._clock = clock
        self._leeway = settings.jwt_leeway_s
        self._algorithms = list(settings.algorithms)
        self._checks: dict[str, Any] = {
            "issuer": self._issuer,
            "audience": self._audience,
            # Types and times are service/claims.py's affair.
            "options": {
                "require": ["exp", "sub"],
                "verify_aud": bool(settings.jwt_audience),
                **dict.fromkeys(
                    ("verify_exp", "verify_iat", "verify_nbf", "verify_sub", "verify_jti"), False
                ),
            },
        }
        self._given = _given_claims(settings)
        self._known: dict[str, tuple[Caller, float]] = {}

    @property
    def can_issue(self) -> bool:
        """Whether there is a secret to sign with; where keys come by JWKS, their owner alone signs."""
        return bool(self._secrets)

    def use_secrets(self, *secrets: str) -> None:
        """Sign with the first of *secrets*, and verify with each."""
        prepare = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key
        self._secrets = tuple([prepare(secret) for secret in secrets])
        self._hs256 = Hs256(self._secrets, self._issuer, self._audience)

    def issue(self, claims: Mapping[str, Any], lifetime: int, generation: int) -> str:
        """A token that :meth:`verify` takes, for an account of this service.

        Args:
            claims: ``sub``, ``roles`` and whatever else.
            lifetime: Seconds until it expires.
            generation: Of the account's tokens.
        """
        payload = {**self._given, **_dates(self._clock(), lifetime), **claims}
        return jwt.encode(payload, self._secrets[0], algorithm="HS256", headers={LOGIN: generation})

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
            KeysUnavailable, DatabaseUnavailable: It may be, but that can't be told now.
        """
        caller = self.recall(token)
        if caller is None:
            caller = await self._verify(token)
            if caller.generation is not None and self._check_account is not None:
                await self._check_account(caller)
            if caller.is_publisher:  # a user's is seen once for each stream: not worth its memory
                self._remember(token, caller)
        return caller

    async def check_again(self, caller: Caller) -> None:
        """See that *caller*'s token is still good: for a request that goes on and on.

        Raises:
            Unauthenticated: It is not.
            DatabaseUnavailable: That can't be told now.
        """
        if caller.expires is not None and caller.expires <= self._clock():
            raise Unauthenticated(EXPIRED)
        if caller.key_id is not None and self._keys is not None and not self._keys.has(caller.key_id):
            raise Unauthenticated(INVALID)
        if caller.generation is not None and self._check_account is not None:
            await self._check_account(caller)

    async def _verify(self, token: str) -> Caller:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(INVALID)
        if token.count(".") == 2 and (self._secrets or self._keys):
            return await self._jwt_caller(token)
        if self._demo:
            return demo_caller(token)
        raise Unauthenticated(INVALID)

    async def _jwt_caller(self, token: str) -> Caller:
        try:
            if self._keys is None:
                verified = self._hs256.verify(token) or self._by_secret(token)
                generation = _generation(verified["header"])
                return self._caller(verified["payload"], generation=generation)
            key_id, verified = await self._by_document(self._keys, token)
            return self._caller(verified["payload"], key_id=key_id)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated(INVALID) from None

    def _by_secret(self, token: str) -> Mapping[str, Any]:
        verified = self._decode(token, self._secrets)
        self._hs256.remember(token, verified["header"])
        return verified

    def _decode(self, token: str, keys: Sequence[Any]) -> Mapping[str, Any]:
        """Header and payload of *token*, which one of *keys* has signed."""
        for key in keys[:-1]:
            with suppress(jwt.InvalidSignatureError):
                return self._jwt.decode_complete(token, key, algorithms=self._algorithms, **self._checks)
        return self._jwt.decode_complete(token, keys[-1], algorithms=self._algorithms, **self._checks)

    def _caller(self, claims: Mapping[str, Any], **header: Any) -> Caller:
        return caller_from_claims(claims, self._clock(), self._leeway, **header)

    async def _by_document(self, keys: KeySet, token: str) -> tuple[str, Mapping[str, Any]]:
        """The id of the key that has signed *token*, and the token's header and payload."""
        try:
            key_id, key = await keys.key_for(token)
            try:
                return key_id, self._decode(token, (key,))
            except jwt.InvalidSignatureError:
                key_id, newer = await keys.key_for(token, besides=key)
                return key_id, self._decode(token, (newer,))
        except KeysUnavailable:
            # One that can't be good by its claims is refused all the same: waiting would not mend it.
            self._caller(jwt.decode(token, options={"verify_signature": False}))
            raise

    def _forget_removed(self, key_ids: Collection[str]) -> None:
        """Keys with *key_ids* left the document: what they have signed is not known any more."""
        gone = [token for token, (caller, _) in self._known.items() if caller.key_id in key_ids]
        for token in gone:
            del self._known[token]

    def forget_account(self, user_id: str) -> None:
        """Tokens that a login gave to *user_id* have to be verified again."""
        of_account = [token for token, (caller, _) in self._known.items() if caller.user_id == user_id]
        for token in of_account:
            del self._known[token]

    def _remember(self, token: str, caller: Caller) -> None:
        until = self._clock() + (CACHE_S if caller.generation is None else CHECK_S)
        if len(self._known) >= CACHE_TOKENS:
            self._known.clear()
        self._known[token] = (caller, min(until, caller.expires or until))


def _generation(header: Mapping[str, Any]) -> int | None:
    """The generation that a token names to which a login gave it; ``None`` for another issuer's.

    Raises:
        Unauthenticated: It is none.
    """
    generation = header.get(LOGIN)
    if generation is not None and type(generation) is not int:
        raise Unauthenticated(INVALID)
    return generation


def demo_caller(token: str) -> Caller:
    """Who a demo token is for: base64 of ``id:username:email:role,role``.

    Raises:
        Unauthenticated: It is not of that form.
    """
    try:
        if not _BASE64.fullmatch(token):
            raise Unauthenticated(_NO_DEMO)
        padded = token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)
        text = base64.b64decode(padded.translate(_STANDARD)).decode()
        user_id, name, email, roles_text = text.split(":")
    except (binascii.Error, ValueError):
        raise Unauthenticated(_NO_DEMO) from None
    roles = frozenset(filter(None, roles_text.split(",")))
    if as_user_id(user_id) is None or not roles <= _DEMO_ROLES:
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
    return jwt.encode(payload, settings.jwt_secrets[0], algorithm="HS256")


def _given_claims(settings: Settings) -> dict[str, str]:
    """What every token of these settings must say."""
    known = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    return {name: value for name, value in known.items() if value}


def _dates(now: float, lifetime: float) -> dict[str, int]:
    return {"iat": int(now), "exp": int(now) + int(lifetime)}

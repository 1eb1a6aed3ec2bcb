"""From the claims of a verified JWT to a caller: their types, and the times between which they hold.

Does not know how a token is signed.
"""

import math
from collections.abc import Mapping
from typing import Any

from sse_push.events.errors import Unauthenticated
from sse_push.service.identity import Caller, as_user_id

INVALID = "the token is not valid"
EXPIRED = "the token has expired"


def caller_from_claims(
    claims: Mapping[str, Any],
    now: float,
    leeway: float,
    *,
    key_id: str | None = None,
    generation: int | None = None,
) -> Caller:
    """Who the token is for.

    Args:
        now: Seconds since the Unix epoch.
        key_id, generation: What its header says (:class:`sse_push.service.identity.Caller`).
        leeway: Seconds by which the issuer's clock may be ahead of ours. `exp` gets none: a stream ends by it.

    Raises:
        Unauthenticated: A claim is missing, of another type, or not good now.
    """
    expires = _seconds(claims.get("exp"))
    if expires <= now:
        raise Unauthenticated(EXPIRED)
    for name in ("iat", "nbf"):
        if name in claims and _seconds(claims[name]) > now + leeway:
            raise Unauthenticated(f"{INVALID} yet: {name} is in the future")
    user_id = as_user_id(claims.get("sub"))
    roles = claims.get("roles", [])
    rooms = claims.get("rooms")
    if user_id is None or not _is_texts(roles) or not (rooms is None or _is_texts(rooms)):
        raise Unauthenticated(INVALID)
    return Caller(
        user_id,
        frozenset(roles),
        name=_text(claims.get("name")),
        email=_text(claims.get("email")),
        rooms=None if rooms is None else frozenset(rooms),
        expires=expires,
        key_id=key_id,
        generation=generation,
    )


def _seconds(date: Any) -> float:
    """A date as RFC 7519 writes it, a number of seconds.

    Raises:
        Unauthenticated: It is no number, or past any date.
    """
    try:
        seconds = float(date) if isinstance(date, int | float) and not isinstance(date, bool) else math.nan
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Unauthenticated(INVALID)
    return seconds


def _text(claim: object) -> str:
    return claim.encode(errors="replace").decode() if isinstance(claim, str) else ""


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)

"""Tokens of the services that tests start in this process."""

import time
from typing import Any

import jwt

SECRET = "a-secret-for-tests-of-more-than-32-bytes"


def mint(user: Any = "42", *roles: str, secret: str = SECRET, lifetime: float = 3600, **claims: Any) -> str:
    """A JWT; a claim that is given replaces the usual one, and ``None`` leaves it out."""
    payload = {"sub": user, "roles": list(roles or ("user",)), "exp": int(time.time() + lifetime), **claims}
    given = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(given, secret, algorithm="HS256")

"""Tokens that nobody should mint, a demo token that anybody may, and how a refusal is seen."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from sse_push.events.errors import Unauthenticated
from sse_push.service.tokens import Tokens
from tests.conftest import SECRET

EXAMPLE = "dGVzdDEyMzp0ZXN0dXNlcjp0ZXN0QGV4YW1wbGUuY29tOnVzZXIsYWRtaW4="


async def is_refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(token)
    return str(caught.value)


def signed_token(
    payload: str, head: dict[str, Any] | None = None, *, secret: bytes = SECRET.encode(), signed: bool = True
) -> str:
    """A token of any head and payload, signed with HS256 whatever its head says."""
    parts = [json.dumps(head or {"alg": "HS256", "typ": "JWT"}).encode(), payload.encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.new(secret, text, hashlib.sha256).digest() if signed else b""
    return b".".join([text, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()

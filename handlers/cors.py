"""Which pages of other origins may call: an allow-list, with credentials (Fetch standard, CORS protocol)."""

import re
from functools import lru_cache

from sse_push.service.origins import OPAQUE, is_listed
from sse_push.service.settings import Settings

REQUEST_HEADERS = "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID"
EXPOSED = "Retry-After, X-Request-ID"
PREFLIGHT_MAX_AGE_S = 7200  # seconds; Chromium keeps no preflight longer
MAX_ASKED_HEADERS = (
    64  # names of headers that a preflight may ask for; pages of big applications ask for about ten
)
MAX_ASKED_BYTES = 4096  # of those names together
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # a token (RFC 9110, section 5.6.2)


def allows(settings: Settings, origin: str) -> bool:
    """Whether pages of *origin* may call with their visitor's credentials."""
    return origin not in OPAQUE and _is_listed(settings.cors_origins, origin)


@lru_cache(maxsize=1024)
def _is_listed(allowed: tuple[str, ...], origin: str) -> bool:
    return is_listed(origin, allowed)


def headers_for(settings: Settings, origin: str | None) -> dict[str, str]:
    """Headers of an answer to a request from *origin*."""
    if not settings.cors_origins:
        return {}
    if origin is None or not _is_listed(settings.cors_origins, origin):
        return {"Vary": "Origin"}
    headers = {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSED,
    }
    if origin not in OPAQUE:  # which anybody's page can have
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def preflight_headers(
    settings: Settings, origin: str | None, allow: str, *, asked: str = "", private_network: bool = False
) -> dict[str, str]:
    """Headers of an answer to ``OPTIONS`` for a path that has the methods *allow*.

    Args:
        asked: The ``Access-Control-Request-Headers``; a page of a listed origin may send what it likes.
        private_network: A page of the public Internet calls a private address, and the browser asks whether it may.
    """
    headers = {"Allow": allow, **headers_for(settings, origin)}
    if "Access-Control-Allow-Origin" in headers:
        headers["Access-Control-Allow-Methods"] = allow
        headers["Access-Control-Allow-Headers"] = ", ".join([REQUEST_HEADERS, *_asked_for(asked)])
        headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE_S)
        if private_network:
            headers["Access-Control-Allow-Private-Network"] = "true"
    return headers


def _asked_for(text: str) -> list[str]:
    """The names of headers in *text* beside those that are always allowed; none if that is no list of names."""
    names = [name.strip() for name in text.split(",")] if len(text) <= MAX_ASKED_BYTES else []
    if len(names) > MAX_ASKED_HEADERS or not all(_NAME.fullmatch(name) for name in names):
        return []
    always = REQUEST_HEADERS.lower().split(", ")
    return [name for name in dict.fromkeys(names) if name.lower() not in always]

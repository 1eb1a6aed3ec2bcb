"""Which pages of other origins may call: an allow-list, with credentials (Fetch standard, CORS protocol)."""

import re
from functools import lru_cache

from service.origins import origin_of, parse_origin
from service.settings import Settings

_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+", re.ASCII)  # as browsers write it: lower case, no path
REQUEST_HEADERS = "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID"
EXPOSED = "Retry-After, X-Request-ID"
PREFLIGHT_MAX_AGE_S = 7200  # seconds; Chromium keeps no preflight longer


def allows(settings: Settings, origin: str) -> bool:
    """Whether pages of *origin* may call."""
    return _allows(settings.cors_origins, origin)


@lru_cache(maxsize=1024)
def _allows(allowed: tuple[str, ...], text: str) -> bool:
    origin = origin_of(text) if _ORIGIN.fullmatch(text) else None
    return origin is not None and any(parse_origin(entry).matches(origin) for entry in allowed)


def headers_for(settings: Settings, origin: str | None) -> dict[str, str]:
    """Headers of an answer to a request from *origin*."""
    if not settings.cors_origins:
        return {}
    if origin is None or not allows(settings, origin):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }


def preflight_headers(settings: Settings, origin: str | None, allow: str) -> dict[str, str]:
    """Headers of an answer to ``OPTIONS`` for a path that has the methods *allow*."""
    headers = {"Allow": allow, **headers_for(settings, origin)}
    if "Access-Control-Allow-Origin" in headers:
        headers["Access-Control-Allow-Methods"] = allow
        headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE_S)
    return headers

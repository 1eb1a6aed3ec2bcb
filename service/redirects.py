"""Where a client may be sent: URLs of listed origins, written so that no two readers could disagree.

Whatever a browser might read otherwise than this (backslashes, credentials, missing slashes, odd hosts)
is refused, not repaired.
"""

import re
from collections.abc import Sequence

from service.origins import OriginPattern, origin_of

MAX_URL_CHARS = 2048  # what every browser and proxy takes
_BEGINNING = re.compile(r"https?://[^/?#]", re.IGNORECASE)


def why_refused(url: str, allowed: Sequence[OriginPattern]) -> str | None:
    """Why a client may not be sent to *url*, or ``None`` if it may."""
    if len(url) > MAX_URL_CHARS:
        return f"url is longer than {MAX_URL_CHARS} characters"
    if not url.isprintable() or any(sign.isspace() for sign in url):
        return "url must not hold white space or control characters"
    if "\\" in url:
        return "url must not hold backslashes"
    if not _BEGINNING.match(url):
        return "url must begin with https:// and a host"
    authority = re.split(r"[/?#]", url.split("://", 1)[1], maxsplit=1)[0]
    if "@" in authority:
        return "url must not hold credentials"
    origin = origin_of(url) if authority.isascii() else None
    if origin is None:
        return "url must name a plain host"
    if origin.scheme == "http" and not origin.is_loopback:
        return "url must be https"
    if not any(pattern.matches(origin) for pattern in allowed):
        return "url is not of an allowed origin"
    return None

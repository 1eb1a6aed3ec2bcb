"""Where a client may be sent: URLs of listed origins, written so that no two readers could disagree.

Every event of topic `client` is looked at, however it was published: a redirect in it obeys the same rules.

Whatever a browser might read otherwise than this (backslashes, credentials, missing slashes, odd hosts)
is refused, not repaired.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from sse_push.events.errors import BadEvent
from sse_push.service.origins import Origin, OriginPattern, origin_of

MAX_URL_CHARS = 2048  # what every browser and proxy takes
_BEGINNING = re.compile(r"https?://[^/?#]", re.IGNORECASE)


class _Fields(list[tuple[str, Any]]):
    """The fields of a JSON object, each as often as it occurs: readers differ in which of two they take."""


def check_redirect(data: bytes, allowed: Sequence[OriginPattern] | None) -> None:
    """See whether an event's data, as JSON, may go to clients: any that is no redirect may.

    Args:
        allowed: Origins; ``None`` for any, where this process itself publishes.

    Raises:
        BadEvent: It is a redirect that may not.
    """
    fields = _fields_of(data)
    if not any(name == "type" and str(value).strip().lower() == "redirect" for name, value in fields):
        return
    urls = [value for name, value in fields if name == "url"]
    refusal = None if urls else "a redirect needs a url"
    for url in urls:
        refusal = refusal or (why_refused(url, allowed) if isinstance(url, str) else "url must be text")
    if refusal:
        raise BadEvent(f"data is a redirect that clients must not get: {refusal}")


def _fields_of(data: bytes) -> list[tuple[str, Any]]:
    """The fields of the object that a client reads from *data*, their names in lower case; none if it is no object.

    A text goes out as it is, so its client may read JSON from it.

    Raises:
        BadEvent: It can't be read, though a client may be able to.
    """
    try:
        value = _parse(data)
        if isinstance(value, str):
            try:
                value = _parse(value)
            except ValueError:
                return []  # not JSON for anybody
    except (ValueError, RecursionError):
        raise BadEvent("data can't be read, so it is not known whether it is a redirect") from None
    return [(name.lower(), field) for name, field in value] if isinstance(value, _Fields) else []


def _parse(text: str | bytes) -> Any:
    # Numbers are left as text: one of many digits is none to Python, but is to browsers.
    return json.loads(text, object_pairs_hook=_Fields, parse_int=str, parse_float=str, parse_constant=str)


def why_refused(url: str, allowed: Sequence[OriginPattern] | None) -> str | None:
    """Why a client may not be sent to *url*, or ``None`` if it may; *allowed* is ``None`` for any origin."""
    if len(url) > MAX_URL_CHARS:
        return f"url is longer than {MAX_URL_CHARS} characters"
    origin = _plain_origin(url)
    if isinstance(origin, str):
        return origin
    if origin.scheme == "http" and not origin.is_loopback:
        return "url must be https"
    if allowed is not None and not any(pattern.matches(origin) for pattern in allowed):
        return "url is not of an allowed origin"
    return None


def _plain_origin(url: str) -> Origin | str:
    """The origin of *url*, or why it has none that all readers agree on."""
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
    return "url must name a plain host" if origin is None else origin

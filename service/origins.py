"""Origins (scheme, host, port) and the allow-lists made of them: CORS and redirects use the same form."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}
# Letters, digits, hyphens and dots (RFC 1123), or an IPv6 address in brackets. Nothing that only looks
# like a host: other writings of names and addresses are refused rather than understood.
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|\[[0-9a-f:]+\]")
# 127.0.0.0/8 in its plain writing; other writings of it don't match an entry of a list anyway.
_SITE = re.compile(r"https?://[a-z0-9.:\[\]-]+", re.ASCII)  # as browsers write it: lower case, no path
# Of an app or a browser's extension: capacitor://localhost, app://., chrome-extension://ID; * for every host of the
# scheme, since each installation of an extension for Firefox has its own.
_APP = re.compile(r"[a-z][a-z0-9+.-]*://(?:[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\*)", re.ASCII)
_NO_APPS = frozenset(["http", "https", "ws", "wss", "ftp", "file", "data", "blob", "javascript", "about"])
# What pages have that have no origin of their own: sandboxed frames of any site, local files.
OPAQUE = frozenset(["null", "file://"])
_LOOPBACK = re.compile(r"localhost|127(?:\.(?:0|[1-9][0-9]{0,2})){3}|\[::1\]")


@dataclass(frozen=True, slots=True)
class Origin:
    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return _LOOPBACK.fullmatch(self.host) is not None


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """An origin, or with ``subdomains`` every origin below its host (and not the host itself)."""

    origin: Origin
    subdomains: bool = False

    def matches(self, other: Origin) -> bool:
        mine = self.origin
        if (mine.scheme, mine.port) != (other.scheme, other.port):
            return False
        return other.host.endswith("." + mine.host) if self.subdomains else other.host == mine.host


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute http or https URL; ``None`` if it has none that is plain to see."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    host = parts.netloc.rpartition("@")[2].lower()
    host = host.rpartition(":")[0] if port is not None else host
    if scheme not in DEFAULT_PORTS or not _HOST.fullmatch(host) or port == 0:
        return None
    return Origin(scheme, host, port or DEFAULT_PORTS[scheme])


def parse_origin(text: str) -> OriginPattern:
    """Read an entry of an allow-list: ``https://example.com:8443`` or ``https://*.example.com``.

    Raises:
        ValueError: It is not of that form.
    """
    subdomains = "://*." in text
    origin = origin_of(text.replace("://*.", "://", 1))
    rest = text.split("://", 1)[-1]
    if origin is None or any(sign in rest for sign in "/?#@\\"):
        raise ValueError(f"{text!r} is no origin; write https://host, https://host:port or https://*.host")
    return OriginPattern(origin, subdomains)


def check_app_origin(text: str) -> None:
    """See that *text* may be in a list of origins that call: of sites, of apps, or ``null``.

    Raises:
        ValueError: It is of no such form.
    """
    if text not in OPAQUE and not (_APP.fullmatch(text) and text.partition("://")[0] not in _NO_APPS):
        parse_origin(text)


def is_listed(text: str, allowed: Iterable[str]) -> bool:
    """Whether the ``Origin`` that a browser or an app sent is one of *allowed*, a list that was checked."""
    site = origin_of(text) if _SITE.fullmatch(text) else None
    if site is not None:
        return any(_is_site(entry) and parse_origin(entry).matches(site) for entry in allowed)
    scheme, _, host = text.partition("://")
    return any(entry == text or (bool(host) and entry == f"{scheme}://*") for entry in allowed)


def _is_site(entry: str) -> bool:
    return entry.lower().startswith(("http://", "https://"))

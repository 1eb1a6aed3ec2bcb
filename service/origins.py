"""Origins (scheme, host, port) and the allow-lists made of them: CORS and redirects use the same form."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}
# Letters, digits, hyphens and dots (RFC 1123), or an IPv6 address in brackets. Nothing that only looks
# like a host: other writings of names and addresses are refused rather than understood.
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|\[[0-9a-f:]+\]")
# 127.0.0.0/8 in its plain writing; other writings of it don't match an entry of a list anyway.
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

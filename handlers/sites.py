"""Which sites' pages may have their visitor's browser call: checked before every request is handled.

A browser calls whatever a page asks for, and says in `Origin` whose page it is. Where tokens are secret that is harmless
but for cookies (handlers/auth.py). In demo mode anybody can write a token, so that any page could command a service on
its visitor's machine; and by a name of its own that leads there (DNS rebinding) it would be the service's own site.
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

from sse_push.events.errors import Forbidden, UnsupportedType
from sse_push.handlers import cors
from sse_push.handlers.auth import COOKIE
from sse_push.handlers.http.request import AnyRequest
from sse_push.handlers.keys import NODE
from sse_push.service.origins import origin_of
from sse_push.service.settings import Settings

_LOCALHOST = "localhost"
# A name without a dot is a container's, or a machine's beside this one: sites have none. Not a number, which is an address.
_MACHINE = re.compile(r"[a-z][a-z0-9-]*")
_ALWAYS = frozenset(["/healthz", "/readyz"])  # probes, by whatever name; they tell and change nothing
_PAGES = frozenset(["/", "/docs"])  # links of other sites may lead there
# What a page of any site may post without asking first (Fetch standard, CORS-safelisted request-header).
_SAFELISTED = frozenset(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
_JSON = frozenset(["application/json", "application/x-ndjson"])


def check_site(request: AnyRequest) -> None:
    """See that no page of another site is behind *request* that may not be.

    Raises:
        Forbidden: The page, or the name by which the service is called, is not one of demo mode's.
        UnsupportedType: A command is not JSON by its Content-Type, as one that a page may post unasked.
    """
    settings = request.app[NODE].settings
    if request.method == "POST" and request.body_exists:
        _check_type(request, settings)
    if settings.demo and request.path not in _ALWAYS and request.method != "OPTIONS":
        _check_host(request, settings)
        _check_origin(request, settings)


def _check_type(request: AnyRequest, settings: Settings) -> None:
    """See that a page which could post without asking first does not: it can set neither this header nor this type.

    What comes with a token in its header may be of any type, and so may other commands than POST: a browser asks first.
    """
    if "Authorization" in request.headers:
        return
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given in _JSON or (given.startswith("application/") and given.endswith("+json")):
        return
    if "Origin" in request.headers or (given in _SAFELISTED and (settings.demo or COOKIE in request.cookies)):
        raise UnsupportedType(
            "the body must be JSON and say so: Content-Type: application/json (for curl -H or --json)"
        )


def _check_host(request: AnyRequest, settings: Settings) -> None:
    if not is_called_by_own_name(settings, request.headers):
        raise Forbidden(
            "demo mode is not called by this host name: use localhost, an address or a name without a dot, or list it in SSE_PUSH_DEMO_HOSTS"
        )


def _check_origin(request: AnyRequest, settings: Settings) -> None:
    origin = request.headers.get("Origin")
    if origin is None:
        # A script's or a frame's request has no Origin; newer browsers say so much of it.
        foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
        if foreign and not (request.path in _PAGES and request.headers.get("Sec-Fetch-Mode") == "navigate"):
            raise Forbidden(_FOREIGN)
    elif not (
        origin in (f"http://{request.host}", f"https://{request.host}")
        or _is_own_origin(settings, origin)
        or cors.allows(settings, origin)
    ):
        raise Forbidden(_FOREIGN)


_FOREIGN = "a page of another site may not call in demo mode: list its origin in SSE_PUSH_CORS_ORIGINS"


def _is_own_origin(settings: Settings, origin: str) -> bool:
    """Whether *origin* is of this machine, or of a host that is the service's own."""
    parsed = origin_of(origin)
    if parsed is None:
        return False
    return _is_local(parsed.host) or parsed.host in settings.demo_hosts


@lru_cache(maxsize=256)
def _is_local(host: str) -> bool:
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == _LOCALHOST or name.endswith("." + _LOCALHOST)


def is_called_by_own_name(settings: Settings, headers: Mapping[str, str]) -> bool:
    """Whether the service is called by no name that a stranger could have lead here; any does outside demo mode."""
    host = headers.get("Host")
    if not (settings.demo and host):
        return True
    name = _name_in(host)
    return name is not None and (
        _is_nobodys(name)
        or name in settings.demo_hosts
        or name in settings.hosts
        or name in _listed(settings.cors_origins)
    )


@lru_cache(maxsize=256)
def _name_in(host: str) -> str | None:
    """The name or address in a ``Host`` header; ``None`` where it can't be read."""
    origin = origin_of(f"http://{host.lower()}") if "@" not in host else None
    return None if origin is None else origin.host


@lru_cache(maxsize=256)
def _is_nobodys(name: str) -> bool:
    """Whether *name* is nobody's to lead elsewhere: an address, this machine's own, or a machine's beside it."""
    return _is_address(name) or _is_local(name) or _MACHINE.fullmatch(name) is not None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=16)
def _listed(origins: tuple[str, ...]) -> frozenset[str]:
    """The hosts of listed origins; not those of patterns, which name too many."""
    parsed = [origin_of(origin) for origin in origins]
    return frozenset(origin.host for origin in parsed if origin is not None)

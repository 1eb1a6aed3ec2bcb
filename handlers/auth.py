"""Where in a request the token stands, whose request it is, and from which address it comes."""

import ipaddress
from functools import lru_cache

from aiohttp import web

from events.errors import Forbidden
from handlers.cors import allows
from handlers.keys import NODE
from service.identity import ANONYMOUS, Caller

COOKIE = "access_token"
_READING = frozenset(["GET", "HEAD", "OPTIONS"])


async def caller_of(request: web.Request) -> Caller:
    """Who is asking: by bearer token, else cookie, else ``?token=``. The first that is there decides.

    Raises:
        Unauthenticated: The token is not valid.
        Forbidden: A page of another site uses its visitor's cookie to command.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = given.strip()
    elif (cookie := request.cookies.get(COOKIE)) is not None:
        _refuse_other_sites(request)
        token = cookie
    elif (query := request.query.get("token")) is not None:
        token = query
    else:
        return ANONYMOUS
    tokens = request.app[NODE].tokens
    return tokens.recall(token) or await tokens.verify(token)


def _refuse_other_sites(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if request.method in _READING or origin is None:
        return
    own = origin in (f"http://{request.host}", f"https://{request.host}")
    if not own and not allows(request.app[NODE].settings, origin):
        raise Forbidden("a page of another site may not command with its visitor's cookie")


def address_of(request: web.Request) -> str:
    """The client's address: the nearest one that is not a trusted proxy's."""
    address = request.remote or ""
    trusted = request.app[NODE].settings.trusted_proxies
    if not trusted:
        return address
    hops = [hop.strip() for hop in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    while hops and is_trusted(address, trusted):
        hop = _plain(hops.pop())
        if hop is None:
            break
        address = hop
    return address


def _plain(hop: str) -> str | None:
    """An address as written in X-Forwarded-For, in its one form; ``None`` if it is none."""
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def is_trusted(address: str, networks: tuple[str, ...]) -> bool:
    """Whether *address* is in one of *networks*."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in ipaddress.ip_network(network) for network in networks)

"""From which address a request comes: the peer's, or what trusted proxies say of it.

They say it by ``X-Forwarded-For`` or by ``Forwarded`` (RFC 7239), each proxy behind what was there before. So both
are read from the right, and only as long as whoever wrote an entry is trusted.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from sse_push.handlers.http.request import AnyRequest
from sse_push.handlers.keys import NODE
from sse_push.service.addresses import UNIX_PEER, is_in, parse_address

UNKNOWN = "unknown"  # the client of a proxy that does not say who it is (RFC 7239, section 6.2)
_HIDDEN = re.compile(r"_[A-Za-z0-9._-]{1,64}", re.ASCII)  # a name that a proxy gives a client (section 6.3)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PAIR = re.compile(r'\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,"]*)\s*')
# Commas and semicolons within quotes separate nothing; a quote without an end runs to the end.
_TEXT = r'"(?:[^"\\]|\\.)*(?:"|\\?$)'
_ELEMENTS = re.compile(rf'(?:{_TEXT}|[^",])+')
_PAIRS = re.compile(rf'(?:{_TEXT}|[^";])+')


def address_of(request: AnyRequest) -> str:
    """The client's address: the nearest one that is not a trusted proxy's.

    A name where the trusted proxy nearest to the client gives one instead of an address; else ``unknown``.
    """
    settings = request.app[NODE].settings
    peer = request.remote or UNIX_PEER
    address = _one_form(peer)
    if not settings.trusted_proxies:
        return address
    hops = hops_of(request)
    while hops and is_in(address, settings.trusted_proxies):
        address = _plain(hops.pop())
    return address


@lru_cache(maxsize=4096)
def _one_form(peer: str) -> str:
    """The address of *peer* in its one form, the same object each time: every open stream holds one."""
    parsed = parse_address(peer)
    return peer if parsed is None else str(parsed)


def is_forwarded(request: AnyRequest) -> bool:
    """Whether a proxy has passed the request on."""
    return any(name in request.headers for name in ("Via", "X-Forwarded-For", "Forwarded"))


def hops_of(request: AnyRequest) -> list[str]:
    """The addresses that proxies have noted, the nearest last. ``X-Forwarded-For`` wins where both are there."""
    lines = request.headers.getall("X-Forwarded-For", ())
    hops = [hop for line in lines for part in line.split(",") if (hop := part.strip())]
    return hops or list(_forwarded(request.headers.getall("Forwarded", ())))


def _forwarded(lines: Iterable[str]) -> Iterable[str]:
    """``for`` of each element; ``unknown`` for one that has none or can't be read."""
    for line in lines:
        for element in _ELEMENTS.findall(line):
            if element.strip():
                yield _for_of(element)


def _for_of(element: str) -> str:
    """A client can't hide behind half a quote what its proxy adds: an element that is malformed tells nothing."""
    pairs = [_PAIR.fullmatch(pair) for pair in _PAIRS.findall(element) if pair.strip()]
    values = [pair[2] for pair in pairs if pair is not None and pair[1].lower() == "for"]
    return values[0] if len(values) == 1 and None not in pairs else UNKNOWN


def _plain(hop: str) -> str:
    """An address as a proxy writes it, in its one form."""
    quoted = _QUOTED.fullmatch(hop)
    text = re.sub(r"\\(.)", r"\1", quoted[1]).strip() if quoted else hop.strip()
    address = parse_address(text)
    if address is not None:
        return str(address)
    name = text.partition(":")[0]  # a name may have a port, too
    return name if _HIDDEN.fullmatch(name) else UNKNOWN

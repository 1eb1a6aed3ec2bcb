"""Network addresses: their one spelling, the network that one counts as, and whether it is in a list of networks."""

import ipaddress
import re
from functools import lru_cache

IPV6_PREFIX = (
    64  # bits of an IPv6 address that are one customer at the least (RFC 6177); homes often have a /56
)

UNIX_PEER = "unix:"  # whoever speaks over a Unix socket has no address; a word for them in lists of networks

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 addresses as a socket of both families shows them
_V4_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}", re.ASCII)
_BRACKETS = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address that *text* writes, with or without a port, brackets or zone; ``None`` if it writes none.

    An IPv4 address within an IPv6 one (``::ffff:192.0.2.7``) is the IPv4 address.
    """
    wrapped = _BRACKETS.fullmatch(text) or _V4_PORT.fullmatch(text)
    bare = (wrapped[1] if wrapped else text).partition("%")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _MAPPED else address


def parse_network(text: str) -> Network:
    """The network that *text* writes; one within ``::ffff:0:0/96`` is the IPv4 network.

    Raises:
        ValueError: It writes none.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        base = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((base, network.prefixlen - _MAPPED.prefixlen))
    return network


@lru_cache(maxsize=4096)
def network_of(address: str, ipv6_prefix: int = IPV6_PREFIX) -> str:
    """What *address* counts as: an IPv6 address as its network, of which one customer has all."""
    parsed = parse_address(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, ipv6_prefix), strict=False))


@lru_cache(maxsize=4096)
def is_in(address: str, networks: tuple[str, ...]) -> bool:
    """Whether *address* is in one of *networks*."""
    if address == UNIX_PEER:
        return UNIX_PEER in networks
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in _parsed(networks))


@lru_cache(maxsize=16)
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(parse_network(network) for network in networks if network != UNIX_PEER)

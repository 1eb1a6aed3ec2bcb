"""From which address a request comes, whatever its proxies write, and that nobody can choose another."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from sse_push.handlers.app import build_app
from sse_push.handlers.client_address import address_of
from tests.conftest import SettingsFactory, Start

PROXIES = "10.0.0.0/8,192.168.1.1/32,fd00::/8,::ffff:172.16.0.0/112"
CLIENT = "198.51.100.7"
IPV6 = "2001:db8::1"


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", [CLIENT], "203.0.113.9"),  # no proxy of ours: its word is not believed
        ("10.0.0.1", [CLIENT], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),  # as a socket of both families shows its peer
        ("172.16.0.9", [CLIENT], CLIENT),
        ("10.0.0.1", [f"1.1.1.1, {CLIENT}"], CLIENT),  # the client's own entry comes first
        ("10.0.0.1", ["1.1.1.1", CLIENT], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, 192.168.1.1"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}:4711, 192.168.1.1:80"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, ::ffff:192.168.1.1"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, 192.168.1.2"], "192.168.1.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [f"{CLIENT}:5678"], CLIENT),
        ("10.0.0.1", [f"[{IPV6}]:443"], IPV6),
        ("10.0.0.1", [f"[{IPV6}]"], IPV6),
        ("10.0.0.1", [f'"[{IPV6}]:443"'], IPV6),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("fd00::1", ["2001:DB8:0:0::1"], IPV6),
        ("10.0.0.1", [f"{CLIENT},"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, ,", " "], CLIENT),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "unknown"),
        ("10.0.0.1", ["_hidden"], "_hidden"),
        ("10.0.0.1", ["_hidden:4711"], "_hidden"),
        ("10.0.0.1", [f"{CLIENT}, nonsense"], "unknown"),  # anybody may have written what is before it
        ("10.0.0.1", [f"{CLIENT}, _{'x' * 65}"], "unknown"),
    ],
)
async def test_address_is_the_nearest_that_is_no_trusted_proxy(
    settings_for: SettingsFactory, peer: str, lines: list[str], address: str
) -> None:
    app = build_app(settings_for(trusted_proxies=PROXIES))

    assert address_of(_request(app, peer, "X-Forwarded-For", lines)) == address


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f'For="[{IPV6}]:4711"'], IPV6),
        ([f'by=10.0.0.1;FOR="{CLIENT}:80";proto=https;host="a,b;for=1.1.1.1"'], CLIENT),
        (["for=1.1.1.1", f"for={CLIENT};proto=https, for=10.0.0.9"], CLIENT),
        ([f"for=1.1.1.1,for={CLIENT},, "], CLIENT),
        (["for=unknown"], "unknown"),
        (["for=_gazonk"], "_gazonk"),
        (['for="_gazonk:_port"'], "_gazonk"),
        (["for=1.1.1.1, proto=https"], "unknown"),
        (['for="[2001:db8::1'], "unknown"),
        ([f'for=1.1.1.1;a=", for="[{IPV6}]"'], "unknown"),  # a client's quote around what its proxy adds
        (['for="' + '\\"' * 4000], "unknown"),
        (["nonsense"], "unknown"),
        (["for=1.1.1.1;for=2.2.2.2"], "unknown"),
        ([" "], "10.0.0.1"),
    ],
)
async def test_forwarded_is_read_as_its_standard_says(
    settings_for: SettingsFactory, lines: list[str], address: str
) -> None:
    app = build_app(settings_for(trusted_proxies=PROXIES))

    assert address_of(_request(app, "10.0.0.1", "Forwarded", lines)) == address


async def test_x_forwarded_for_wins(settings_for: SettingsFactory) -> None:
    """Most proxies write that one, and pass the other on as the client sent it."""
    app = build_app(settings_for(trusted_proxies=PROXIES))
    headers = CIMultiDict([("X-Forwarded-For", CLIENT), ("Forwarded", "for=1.1.1.1")])
    request = make_mocked_request("GET", "/", CIMultiDictProxy(headers), app=app).clone(remote="10.0.0.1")

    assert address_of(request) == CLIENT


async def test_address_is_the_peers_where_no_proxy_is_trusted(settings_for: SettingsFactory) -> None:
    app = build_app(settings_for())

    assert address_of(_request(app, "10.0.0.1", "X-Forwarded-For", [CLIENT])) == "10.0.0.1"
    assert address_of(_request(app, "::ffff:10.0.0.1", "Forwarded", [f"for={CLIENT}"])) == "10.0.0.1"


@pytest.mark.parametrize(("trusted", "address"), [("unix:,10.0.0.0/8", CLIENT), ("10.0.0.0/8", "unix:")])
async def test_proxy_on_a_unix_socket_is_believed_where_that_is_listed(
    settings_for: SettingsFactory, trusted: str, address: str
) -> None:
    app = build_app(settings_for(trusted_proxies=trusted))

    assert address_of(_request(app, "", "X-Forwarded-For", [f"1.1.1.1, {CLIENT}, 10.0.0.1"])) == address


def _request(app: web.Application, peer: str, name: str, lines: list[str]) -> web.Request:
    headers = CIMultiDict([(name, line) for line in lines])
    return make_mocked_request("GET", "/", CIMultiDictProxy(headers), app=app).clone(remote=peer)


async def test_address_that_is_spoofed_does_not_evade_the_limit(start: Start) -> None:
    service = await start(max_connections_per_address=1)
    await service.open("/custom/stream", headers={"X-Forwarded-For": "198.51.100.1"})

    answer = await service.get("/custom/stream", headers={"X-Forwarded-For": "198.51.100.2"})

    assert answer.json["limit"] == "address"


async def test_address_behind_a_trusted_proxy_has_a_limit_of_its_own(start: Start) -> None:
    service = await start(max_connections_per_address=1, trusted_proxies="127.0.0.0/8,::1/128")
    await service.open("/custom/stream", headers={"X-Forwarded-For": "198.51.100.1:1"})

    await service.open("/custom/stream", headers={"X-Forwarded-For": "198.51.100.2:1"})
    answer = await service.get("/custom/stream", headers={"X-Forwarded-For": "1.1.1.1, 198.51.100.2:2"})

    assert answer.json["limit"] == "address"


@pytest.mark.parametrize(("prefix", "together"), [(56, True), (64, False)])
async def test_ipv6_clients_count_by_the_prefix_of_the_setting(
    start: Start, prefix: int, together: bool
) -> None:
    service = await start(max_connections_per_address=1, trusted_proxies="127.0.0.0/8,::1/128", ipv6_prefix=prefix)  # fmt: skip
    first = {"X-Forwarded-For": "2001:db8:0:100::1"}
    second = {"X-Forwarded-For": "2001:db8:0:1ff::1"}
    await service.open("/custom/stream", headers=first)

    if together:
        assert (await service.get("/custom/stream", headers=second)).json["limit"] == "address"
    else:
        await service.open("/custom/stream", headers=second)

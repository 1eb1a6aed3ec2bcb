"""Addresses in all the ways they are written, and what they count as."""

import pytest

from sse_push.service.addresses import is_in, network_of, parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:5678", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:c000:207]:80", "192.0.2.7"),
    ],
)
def test_address_is_read_in_every_form(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "192.0.2", "192.0.2.7:", "192.0.2.7:x", "[::1", "::1]", "[]", "[::1]x", "1"],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("address", "prefix", "network"),
    [
        ("192.0.2.7", 64, "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", 56, "2001:db8:1::/56"),
        ("2001:db8:1:2::1", 128, "2001:db8:1:2::1/128"),
        ("fe80::1%eth0", 64, "fe80::/64"),
        ("::ffff:192.0.2.7", 56, "192.0.2.7"),
        ("", 64, ""),
        ("unknown", 64, "unknown"),
    ],
)
def test_ipv6_address_counts_as_its_network(address: str, prefix: int, network: str) -> None:
    assert network_of(address, prefix) == network


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.168.1.1", True),
        ("192.168.1.2", False),
        ("fd00::5", True),
        ("2001:db8::1", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_address_is_in_a_network_however_both_are_written(address: str, inside: bool) -> None:
    assert is_in(address, ("10.0.0.0/8", "::ffff:192.168.1.1", "fd00::/8")) is inside


def test_network_of_mapped_addresses_is_that_of_ipv4() -> None:
    assert str(parse_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
    assert str(parse_network("::/0")) == "::/0"

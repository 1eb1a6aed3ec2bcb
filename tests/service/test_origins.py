"""Origins and the patterns made of them."""

import pytest

from sse_push.service.origins import Origin, check_app_origin, origin_of, parse_origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com", Origin("https", "example.com", 443)),
        ("HTTPS://EXAMPLE.com/Path?q#f", Origin("https", "example.com", 443)),
        ("https://example.com:443", Origin("https", "example.com", 443)),
        ("http://example.com", Origin("http", "example.com", 80)),
        ("https://example.com:8443/", Origin("https", "example.com", 8443)),
        ("http://127.0.0.1:3000", Origin("http", "127.0.0.1", 3000)),
        ("http://[::1]:3000/x", Origin("http", "[::1]", 3000)),
        ("http://[::1]", Origin("http", "[::1]", 80)),
        ("https://a-b.c1.example.com", Origin("https", "a-b.c1.example.com", 443)),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com", "https:", "https://", "https:///x", "ftp://example.com",
        "javascript:alert(1)", "https://example.com:", "https://example.com:0", "https://example.com:65536",
        "https://example.com:x", "https://example.com:-1", "https://example..com", "https://.example.com",
        "https://example.com.", "https://-example.com", "https://exa_mple.com", "https://exa%6dple.com",
        "https://exämple.com", "https://[::1", "https://[::1]x", "https://[1.2.3.4]", "https://[::ffff:1.2.3.4]",
        "https://[fe80::1%25eth0]", "https://exam ple.com", "https://*.example.com",
    ],
)  # fmt: skip
def test_origin_that_is_not_plain_to_see_is_none(url: str) -> None:
    assert origin_of(url) is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("[::1]", True),
        ("localhost.evil.net", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_known_by_its_names(host: str, loopback: bool) -> None:
    assert Origin("http", host, 80).is_loopback is loopback


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        ("https://example.com", "https://example.com", True),
        ("https://example.com", "https://example.com:443/x", True),
        ("https://example.com:443", "https://example.com", True),
        ("https://EXAMPLE.com", "https://example.COM", True),
        ("https://example.com", "http://example.com", False),
        ("https://example.com", "http://example.com:443", False),
        ("https://example.com", "https://example.com:444", False),
        ("https://example.com", "https://www.example.com", False),
        ("https://example.com", "https://example.com.evil.net", False),
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.c.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "https://a.example.com.evil.net", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://localhost:3000", "http://127.0.0.1:3000", False),
    ],
)
def test_pattern_matches(pattern: str, url: str, matches: bool) -> None:
    origin = origin_of(url)

    assert origin is not None
    assert parse_origin(pattern).matches(origin) is matches


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "example.com", "https://*", "https://*.", "https://*.*.example.com", "https://a.*.example.com",
        "https://*example.com", "https://example.com/", "https://example.com/x", "https://example.com?x",
        "https://example.com#x", "https://u@example.com", "https://example.com\\x", "ftp://example.com",
        "https://example.com:x", "null",
    ],
)  # fmt: skip
def test_pattern_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        parse_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "capacitor://localhost",
        "app://.",
        "moz-extension://*",
        "tauri://localhost:1420",
        "null",
        "https://*.a.example",
    ],
)
def test_origin_of_an_app_may_be_listed(text: str) -> None:
    check_app_origin(text)


@pytest.mark.parametrize(
    "text",
    ["*", "https://*", "http://*", "file://x", "javascript://x", "capacitor://", "capacitor://a/b", "capacitor:a", "://a", "data:x", "x://*.a", ""],
)  # fmt: skip
def test_what_is_no_origin_of_an_app_may_not(text: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        check_app_origin(text)

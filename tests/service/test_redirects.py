"""Redirect URLs that cannot be tricked: a table of hostile forms, and of good ones."""

import pytest

from sse_push.service.origins import parse_origin
from sse_push.service.redirects import MAX_URL_CHARS, why_refused

ALLOWED = tuple(
    map(
        parse_origin,
        [
            "https://example.com",
            "https://*.shop.example.org",
            "https://api.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:3000",
            "http://plain.example.com",  # listed by mistake: http is for loopback alone
            "https://xn--mnchen-3ya.example",
        ],
    )
)

GOOD = [
    "https://example.com",
    "https://example.com/",
    "https://example.com/checkout?cart=1&next=https://evil.net/#top",
    "https://example.com:443/checkout",
    "https://EXAMPLE.com/Path",
    "HTTPS://example.com/",
    "https://example.com?q=1",
    "https://example.com#@evil.net",
    "https://example.com/@evil.net",
    "https://example.com/?u=a@evil.net",
    "https://example.com//evil.net",
    "https://example.com/%5C%0a%00",
    "https://example.com/münchen/日本",
    "https://a.shop.example.org/",
    "https://a.b.c.shop.example.org/x",
    "https://xn--80ak6aa92e.shop.example.org/",
    "https://api.example.com:8443/v1",
    "http://localhost:3000/app",
    "http://127.0.0.1/app",
    "http://127.0.0.1:80/app",
    "http://[::1]:3000/app",
    "https://xn--mnchen-3ya.example/",
    "https://example.com/" + "x" * (MAX_URL_CHARS - 20),
]

HOSTILE = {
    # schemes
    "javascript": "javascript:alert(1)",
    "javascript with slashes": "javascript://example.com/%0aalert(1)",
    "javascript in capitals": "JaVaScRiPt:alert(1)",
    "data": "data:text/html,<script>alert(1)</script>",
    "vbscript": "vbscript:msgbox(1)",
    "file": "file:///etc/passwd",
    "ftp": "ftp://example.com/",
    "blob": "blob:https://example.com/uuid",
    "view-source": "view-source:https://example.com/",
    "scheme with a plus": "https+x://example.com/",
    "websocket": "wss://example.com/",
    "no scheme": "example.com/checkout",
    "path alone": "/checkout",
    "empty": "",
    "protocol-relative": "//example.com/",
    "protocol-relative elsewhere": "//evil.net/",
    "three slashes, no scheme": "///evil.net/",
    # slashes
    "no slashes": "https:example.com/",
    "one slash": "https:/example.com/",
    "one slash elsewhere": "https:/evil.net/",
    "three slashes": "https:///example.com/",
    "three slashes elsewhere": "https:///evil.net/",
    "no host but a query": "https://?example.com",
    "no host but a fragment": "https://#example.com",
    "no colon": "https//example.com/",
    # backslashes
    "backslashes for slashes": "https:\\\\example.com\\",
    "backslash behind the host": "https://example.com\\@evil.net/",
    "backslash before the host": "https://evil.net\\.example.com/",
    "backslash in the path": "https://example.com/\\evil.net",
    "backslash in the query": "https://example.com/?a=\\",
    "slash and backslash": "https:/\\evil.net/",
    # credentials
    "user": "https://user@example.com/",
    "user and password": "https://user:password@example.com/",
    "empty user": "https://@example.com/",
    "empty password": "https://:@example.com/",
    "host as a user": "https://example.com@evil.net/",
    "host and port as a user": "https://example.com:443@evil.net/",
    "two at signs": "https://example.com@evil.net@example.com/",
    "encoded at sign": "https://example.com%40evil.net/",
    "fullwidth at sign": "https://example.com＠evil.net/",
    # white space and control characters
    "leading space": " https://example.com/",
    "trailing space": "https://example.com/ ",
    "tab in the scheme": "java\tscript:alert(1)",
    "tab in the host": "https://exam\tple.com/",
    "newline in the scheme": "ht\ntps://example.com/",
    "newline in the host": "https://evil.net\n.example.com/",
    "return": "https://example.com/\r\nSet-Cookie: a=b",
    "nul": "https://example.com\x00.evil.net/",
    "nul in the path": "https://example.com/\x00",
    "escape": "https://example.com/\x1b[2J",
    "delete": "https://example.com/\x7f",
    "c1 control": "https://example.com/\x85",
    "no-break space": "https://example.com/\xa0",
    "line separator": "https://example.com/\u2028",
    "zero-width space": "https://exam\u200bple.com/",
    "soft hyphen": "https://exam\xadple.com/",
    "right-to-left override": "https://example.com/\u202egpj.exe",
    "byte order mark": "\ufeffhttps://example.com/",
    "half a surrogate": "https://example.com/\ud800",
    # look-alike hosts
    "another host": "https://evil.net/",
    "suffix": "https://example.com.evil.net/",
    "prefix": "https://evilexample.com/",
    "subdomain of one listed without": "https://www.example.com/",
    "dash": "https://example.com-evil.net/",
    "other ending": "https://example.co/",
    "cyrillic letter": "https://ex\u0430mple.com/",
    "cyrillic letter in punycode": "https://xn--exmple-4nf.com/",
    "unicode of one listed in punycode": "https://münchen.example/",
    "fullwidth letters": "https://ｅｘａｍｐｌｅ.com/",
    "fullwidth dot": "https://example．com/",
    "ideographic dot": "https://example。com/",
    "fraction slash": "https://example.com⁄evil.net/",
    "fullwidth slash": "https://evil.net／.example.com/",
    "care of sign": "https://evil.net℀.example.com/",
    "encoded letter": "https://ex%61mple.com/",
    "encoded dot": "https://example%2ecom/",
    "encoded slash": "https://example.com%2fevil.net/",
    "encoded backslash": "https://example.com%5cevil.net/",
    "encoded nul": "https://example.com%00.evil.net/",
    "encoded hash": "https://evil.net%23.example.com/",
    "trailing dot": "https://example.com./",
    "leading dot": "https://.example.com/",
    "two dots": "https://example..com/",
    "underscore": "https://_.shop.example.org/",
    "semicolon": "https://example.com;evil.net/",
    "comma": "https://example.com,evil.net/",
    "bracket": "https://example.com[evil.net]/",
    "angle brackets": "https://<example.com>/",
    "dollar": "https://$.shop.example.org/",
    "template": "https://{a}.shop.example.org/",
    "star": "https://*.shop.example.org/",
    "query without a path elsewhere": "https://evil.net?example.com",
    "fragment without a path elsewhere": "https://evil.net#.example.com",
    # ports
    "another port": "https://example.com:8443/",
    "port of another scheme": "https://example.com:80/",
    "port without the one listed": "https://api.example.com/",
    "no port behind the colon": "https://example.com:/",
    "port zero": "https://example.com:0/",
    "port that is no number": "https://example.com:https/",
    "port with a sign": "https://example.com:+443/",
    "negative port": "https://example.com:-443/",
    "port out of range": "https://example.com:65979/",  # 443 + 65536
    "port in fullwidth digits": "https://example.com:４４３/",
    "port in arabic digits": "https://example.com:٤٤٣/",
    "two ports": "https://example.com:443:443/",
    # wildcards
    "wildcard's own host": "https://shop.example.org/",
    "wildcard without a dot": "https://evilshop.example.org/",
    "wildcard as a prefix": "https://a.shop.example.org.evil.net/",
    "wildcard with an empty label": "https://.shop.example.org/",
    "wildcard at another port": "https://a.shop.example.org:8443/",
    "wildcard over http": "http://a.shop.example.org/",
    # http
    "http of one listed with https": "http://example.com/",
    "http of one listed with http that is not loopback": "http://plain.example.com/",
    "https of one listed with http": "https://plain.example.com/",
    "http at https' port": "http://example.com:443/",
    "loopback at another port": "http://localhost:3001/",
    "loopback without the port": "http://localhost/",
    "loopback over https": "https://localhost:3000/",
    "loopback at another address": "http://127.0.0.2/",
    "loopback as a user": "http://localhost:3000@evil.net/",
    "loopback as a prefix": "http://localhost.evil.net:3000/",
    "loopback as a suffix": "http://evil.localhost:3000/",
    "loopback by a name service": "http://127.0.0.1.nip.io/",
    "loopback with a trailing dot": "http://localhost.:3000/",
    # addresses in other writings
    "short address": "http://127.1/",
    "decimal address": "http://2130706433/",
    "hexadecimal address": "http://0x7f000001/",
    "octal address": "http://0177.0.0.1/",
    "leading zeros": "http://127.000.000.001/",
    "address unspecified": "http://0.0.0.0/",
    "metadata service": "http://169.254.169.254/latest/meta-data/",
    "ipv6 at another port": "http://[::1]:3001/",
    "ipv6 in full": "http://[0:0:0:0:0:0:0:1]:3000/",
    "ipv6 with leading zeros": "http://[0000::0001]:3000/",
    "ipv4 in ipv6": "http://[::ffff:127.0.0.1]:3000/",
    "ipv4 in ipv6, hexadecimal": "http://[::ffff:7f00:1]:3000/",
    "ipv6 with a zone": "http://[::1%25lo]:3000/",
    "ipv6 unspecified": "http://[::]:3000/",
    "ipv6 without brackets": "http://::1:3000/",
    "ipv6 not closed": "http://[::1:3000/",
    "ipv6 of the future": "http://[v1.x]:3000/",
    "name in brackets": "https://[example.com]/",
    "name behind brackets": "http://[::1].evil.net:3000/",
    "name before brackets": "http://evil.net[::1]:3000/",
    # size
    "too long": "https://example.com/" + "x" * MAX_URL_CHARS,
    "host of 8000 letters": "https://" + "a" * 8000 + ".shop.example.org/",
}


@pytest.mark.parametrize("url", GOOD, ids=lambda url: url[:60].encode("ascii", "backslashreplace").decode())
def test_url_of_a_listed_origin_passes(url: str) -> None:
    assert why_refused(url, ALLOWED) is None


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_url_is_refused_and_says_why(url: str) -> None:
    why = why_refused(url, ALLOWED)

    assert why is not None
    assert why.startswith("url ")
    assert "\n" not in why


def test_hostile_forms_are_many() -> None:
    assert len(set(HOSTILE.values())) >= 100


@pytest.mark.parametrize("url", GOOD)
def test_empty_list_allows_none(url: str) -> None:
    assert why_refused(url, ()) is not None


@pytest.mark.parametrize(
    "sign",
    [chr(code) for code in (*range(0x21), 0x5C, 0x7F, *range(0x80, 0xA1), 0x200B, 0x2028, 0x2029, 0xFEFF)],
)
@pytest.mark.parametrize(
    "place",
    [
        "{}https://example.com/",
        "https:{}//example.com/",
        "https://exam{}ple.com/",
        "https://example.com{}/",
        "https://example.com/{}",
    ],
)
def test_no_sign_that_readers_skip_is_let_through_anywhere(place: str, sign: str) -> None:
    assert why_refused(place.format(sign), ALLOWED) is not None


def test_reason_does_not_repeat_the_url() -> None:
    for url in HOSTILE.values():
        if len(url) > 12:
            assert url not in str(why_refused(url, ALLOWED))


def test_loopback_address_that_is_listed_may_be_http() -> None:
    """All of 127.0.0.0/8 is loopback (RFC 6890)."""
    allowed = (parse_origin("http://127.0.0.2:3000"),)

    assert why_refused("http://127.0.0.2:3000/", allowed) is None

"""The URL and token for a command: from its options, else from the environment.

Reads the settings only to sign a token with their secret.
"""

import argparse
import ipaddress
import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from sse_push.service.hosts import local_url, split_hosts
from sse_push.service.identity import Role, as_user_id
from sse_push.service.settings import PREFIX, Settings, load_settings
from sse_push.service.tokens import demo_token, mint_token

# Seconds until a minted token expires. A stream that outlives its token reconnects with a new one.
LIFETIME_S = 3600


class NoTarget(Exception):
    """The service or the token is not known; the text says what to set."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every client command has."""
    parser.add_argument(
        "--url",
        help=f"URL of the service; default {PREFIX}URL, else http:// and {PREFIX}HOST and {PREFIX}PORT",
    )
    parser.add_argument(
        "--token",
        help=f"default {PREFIX}TOKEN; else one is minted: signed with {PREFIX}JWT_SECRET where that is set, a demo "
        f"token where {PREFIX}AUTH_MODE is demo or the service is on this machine",
    )


def url_of(arguments: argparse.Namespace) -> str:
    """The service's URL, without a trailing slash.

    Raises:
        NoTarget: None is set, or it is not a URL.
    """
    url = str(arguments.url or _setting("URL") or _own_url())
    if not _is_url(url):
        raise NoTarget(f"{url!r} is not a URL of a service; use http://HOST:PORT or https://HOST")
    return url.rstrip("/")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)


def _own_url() -> str:
    host = _setting("HOST") or str(Settings.model_fields["host"].default)
    port = _setting("PORT") or str(Settings.model_fields["port"].default)
    if port == "0":
        raise NoTarget(f"{PREFIX}PORT is 0 (any free port); set the URL with --url or {PREFIX}URL")
    if not (port.isascii() and port.isdigit()):
        raise NoTarget(f"{PREFIX}PORT is {port!r}, not a number")
    url = local_url(split_hosts(host), int(port))
    if url is None:
        raise NoTarget(f"{PREFIX}HOST names only Unix sockets; set the URL with --url or {PREFIX}URL")
    return url


def token_of(arguments: argparse.Namespace, url: str, user: str, roles: Sequence[Role]) -> str | None:
    """The token for the service at *url*; ``None`` if none is given and none can be made.

    Args:
        user: The user of a minted token, with *roles*.

    Raises:
        BadSettings: A secret is set, but the settings are invalid.
    """
    if (given := given_token(arguments)) is not None:
        return given
    if _setting("JWT_SECRET"):
        return mint_token(load_settings(), {"sub": user, "roles": list(roles)}, LIFETIME_S)
    if _setting("AUTH_MODE").lower() == "demo" or _is_loopback(urlsplit(url).hostname or ""):
        return demo_token_for(user, roles)
    return None


def demo_token_for(user: str, roles: Sequence[Role], name: str = "", email: str = "") -> str:
    """A demo token.

    Raises:
        NoTarget: A part has a colon, which separates the parts.
    """
    if ":" in user + name + email:
        raise NoTarget("a demo token can't hold a colon in its user, name or address")
    return demo_token(user, tuple(roles), name, email)


def user_id(text: str) -> str:
    """Parse a user id (argparse type)."""
    if as_user_id(text) is None:
        raise argparse.ArgumentTypeError(
            "a user id has 1 to 128 characters, none of them a control character, and does not begin with ai:"
        )
    return text


def given_token(arguments: argparse.Namespace) -> str | None:
    """The token from the option or the environment.

    Raises:
        NoTarget: It has characters that no token has.
    """
    given = str(arguments.token or _setting("TOKEN")).strip()
    if not (given.isascii() and given.isprintable()):
        raise NoTarget("the token holds characters that no token has")
    return given or None


def headers_of(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _setting(name: str) -> str:
    return os.environ.get(PREFIX + name, "").strip()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

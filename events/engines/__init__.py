"""The engines, chosen by URL: ``embedded:`` keeps events in the data directory and needs no server, ``redis:``
(``rediss:``, ``unix:``) keeps them for any number of nodes.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from sse_push.events.engines.base import Engine

EMBEDDED = "embedded:"
REDIS_SCHEMES = ("redis", "rediss", "unix")


def open_engine(
    url: str,
    *,
    data_dir: Path,
    max_events: int,
    max_age: float,
    max_bytes: int,
    key_age: float,
    sync: Literal["normal", "full"],
    clock: Callable[[], float],
) -> Engine:
    """The engine that *url* names, not yet started. An engine's module is imported only when it is named.

    Raises:
        ValueError: No engine has this scheme.
    """
    check_engine_url(url)
    if url == EMBEDDED:
        from sse_push.events.engines.embedded.engine import EmbeddedEngine

        return EmbeddedEngine(
            data_dir,
            max_events=max_events,
            max_age=max_age,
            max_bytes=max_bytes,
            key_age=key_age,
            sync=sync,
            clock=clock,
        )
    from sse_push.events.engines.redis.engine import RedisEngine

    return RedisEngine(
        url, max_events=max_events, max_age=max_age, max_bytes=max_bytes, key_age=key_age, clock=clock
    )


def check_engine_url(url: str) -> None:
    """See whether there is an engine for *url*.

    Raises:
        ValueError: There is none; the message never shows a password.
    """
    if url == EMBEDDED:
        return
    scheme = urlsplit(url).scheme
    if scheme not in REDIS_SCHEMES:
        raise ValueError(
            f"no engine for {scheme or url!r}: embedded:, redis:, rediss: and unix: are those there are"
        )
    if find_spec("hiredis") is None:
        raise ValueError("the Redis engine is an extra: pip install 'sse-push[redis]'")
    from sse_push.events.engines.redis.address import RedisAddress

    RedisAddress.parse(url)

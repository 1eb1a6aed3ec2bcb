"""The engines, chosen by URL: ``embedded:`` keeps events in the data directory and needs no server."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from events.engines.base import Engine


def open_engine(
    url: str,
    *,
    data_dir: Path,
    max_events: int,
    max_age: float,
    key_age: float,
    sync: Literal["normal", "full"],
    clock: Callable[[], float],
) -> Engine:
    """The engine that *url* names, not yet started. An engine's module is imported only when it is named.

    Raises:
        ValueError: No engine has this scheme.
    """
    check_engine_url(url)
    from events.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(
        data_dir, max_events=max_events, max_age=max_age, key_age=key_age, sync=sync, clock=clock
    )


def check_engine_url(url: str) -> None:
    """See whether there is an engine for *url*.

    Raises:
        ValueError: There is none.
    """
    if url != "embedded:":
        scheme = urlsplit(url).scheme
        raise ValueError(f"no engine for {scheme or url!r}: embedded: is the one there is")

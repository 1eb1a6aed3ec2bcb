"""Answers as bytes, for requests that aiohttp does not answer."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from aiohttp import web

from sse_push.handlers.errors import SERVER


def response_bytes(response: web.Response, *, keep_alive: bool) -> bytes:
    """*response* as it goes over the wire."""
    body = cast("bytes", response.body or b"")
    own = {"date", "server", "content-length", "connection"}
    lines = [f"{name}: {value}\r\n" for name, value in response.headers.items() if name.lower() not in own]
    if not keep_alive:
        lines.append("Connection: close\r\n")
    head = f"{status_line_and_date(response.status, int(time.time()))}{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@lru_cache(maxsize=8)
def status_line_and_date(status: int, second: int) -> str:
    """The first lines of an answer with *status*, given in *second* since the Unix epoch."""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(second, usegmt=True)}\r\n"
        f"Server: {SERVER}\r\n"
    )

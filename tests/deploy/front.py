"""An nginx whose times and numbers are short enough to be waited for and reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.deploy.nginx import NGINX, Nginx

THROUGH_NGINX = [
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(NGINX is None, reason="NOT TESTED: no nginx on PATH, so nothing was tried through it"),
]
PROXY_TIMEOUT_S = 1.5
PER_ADDRESS = 5  # streams, by the service
REQUESTS_PER_ADDRESS = 8  # by nginx
SHORTER = {
    "proxy_read_timeout 60s;": f"proxy_read_timeout {PROXY_TIMEOUT_S * 1000:.0f}ms;",
    "worker_shutdown_timeout 60s;": "worker_shutdown_timeout 1s;",
    "limit_conn sse_push_address 500;": f"limit_conn sse_push_address {REQUESTS_PER_ADDRESS};",
}


@asynccontextmanager
async def front(folder: Path, ports: list[int]) -> AsyncIterator[Nginx]:
    nginx = Nginx(folder, ports, SHORTER)
    try:
        await nginx.start()
        yield nginx
    finally:
        nginx.clean_up()

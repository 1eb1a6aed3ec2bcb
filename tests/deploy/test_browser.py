"""A real browser before nginx: over HTTP/2 one page has more streams than the six connections it may open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.deploy.nginx import NGINX, Nginx
from tests.e2e.browser.chromium import IN_CHROMIUM
from tests.e2e.client import Api, demo
from tests.process import ServerProcess, eventually, running

pytestmark = [
    *IN_CHROMIUM,
    pytest.mark.skipif(
        NGINX is None, reason="NOT TESTED: no nginx on PATH, so no browser was tried through it"
    ),
]

STREAMS = 12
LISTEN = """urls => Promise.all(urls.map(url => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onopen = () => resolve();
    source.onmessage = event => { window.got.push(event.data); };
    source.onerror = () => reject(new Error("refused"));
})))"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    (tmp_path / "node").mkdir()
    async with running(tmp_path / "node") as server:
        yield server


async def test_page_has_as_many_streams_as_it_likes(
    browser: Browser, node: ServerProcess, tmp_path: Path
) -> None:
    nginx = Nginx(tmp_path / "nginx", [node.port])
    try:
        await nginx.start()
        async with Api() as api:
            page = await browser.new_page(ignore_https_errors=True)
            await page.goto(f"{nginx.url}/system/status")
            await page.evaluate("window.got = []")
            await page.evaluate(LISTEN, [f"/v1/app/sse?token={demo(n)}" for n in range(STREAMS)])
            for n in range(STREAMS):
                await api.publish(node, {"userId": n, "data": f"for {n}"})
            await page.wait_for_function(f"window.got.length === {STREAMS}")
            assert sorted(await page.evaluate("window.got")) == sorted(f"for {n}" for n in range(STREAMS))
            await page.close()
        await eventually(lambda: len(protocols(nginx)) == STREAMS, "nginx has logged each stream at its end")
    finally:
        nginx.clean_up()
    assert set(protocols(nginx)) == {"HTTP/2.0"}
    assert "token" not in nginx.output


def protocols(nginx: Nginx) -> list[str]:
    return [line["protocol"] for line in nginx.answered if line["path"] == "/v1/app/sse"]

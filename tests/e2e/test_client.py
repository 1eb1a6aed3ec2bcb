"""The web client in a real browser, against the real service: one connection for all tabs, and nothing lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.test_browser import ARGS, CHROMIUM
from tests.process import HOST, ROOT, ServerProcess, eventually

BUILT = ROOT / "web" / "client" / "dist"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="NOT TESTED: no Chromium on PATH, so the client was tried in none"
    ),
    pytest.mark.skipif(
        not (BUILT / "index.js").exists(),
        reason="NOT TESTED: the web client is not built (make web-build, with Node)",
    ),
]

PAGE = """<!doctype html><title>a page with a stream</title>
<script type="module">
import { openAny } from "/client/index.js";
window.watch = (url, more = {}) => {
    const seen = { texts: [], ids: [], events: [], states: [], gaps: [], errors: [] };
    const stream = openAny({ url, ...more,
        onEvent: event => { seen.texts.push(event.text); seen.ids.push(event.id); seen.events.push(event.event); },
        onGap: gap => seen.gaps.push(gap),
        onState: status => {
            seen.states.push(status.state);
            if (status.error) seen.errors.push([status.error.status, status.error.problem?.limit ?? null]);
        },
    });
    return Object.assign(seen, { stream });
};
window.ready = true;
</script>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[str]:
    """The origin of an application that uses the client: its page, and the client as it was built."""
    app = web.Application()
    app.router.add_get("/", _page)
    app.router.add_static("/client", BUILT)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    yield f"http://{HOST}:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of its own: its tabs know each other, and nobody else's."""
    context = await browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


class Tabs:
    """Tabs of one browser, on the page of *origin*."""

    def __init__(self, context: BrowserContext, origin: str, server: ServerProcess) -> None:
        self._context = context
        self._origin = origin
        self._server = server
        self.complaints: list[str] = []

    async def open(self, topics: str = "app", user: object = 42) -> Page:
        """A new tab that watches *topics*; returns when it is connected."""
        page = await self.blank()
        await self.watch(page, topics, user)
        await page.wait_for_function("seen.stream.status.state === 'open'")
        return page

    async def blank(self) -> Page:
        page = await self._context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(self._origin)
        await page.wait_for_function("window.ready")
        return page

    async def watch(self, page: Page, topics: str, user: object = 42, name: str = "seen") -> None:
        url = f"{self._server.url}/v1/stream?topics={topics}"
        await page.evaluate(
            "([name, url, token]) => { window[name] = watch(url, {token}); }", [name, url, demo(user)]
        )

    def _on_console(self, message: ConsoleMessage) -> None:
        # That a request failed is said by the browser itself; what comes of it is what the tests look at.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def tabs_of(context: BrowserContext, origin: str) -> AsyncIterator[object]:
    made: list[Tabs] = []

    def make(server: ServerProcess) -> Tabs:
        made.append(Tabs(context, origin, server))
        return made[-1]

    yield make
    assert [complaint for tabs in made for complaint in tabs.complaints] == []


async def texts(page: Page, count: int, name: str = "seen") -> list[str]:
    await page.wait_for_function("([name, count]) => window[name].texts.length >= count", arg=[name, count])
    got: list[str] = await page.evaluate("name => window[name].texts", name)
    return got


async def open_streams(api: Api, server: ServerProcess) -> int:
    _, status = await api.call(server, "GET", "/system/status")
    return int(status["connections"]["total"])


async def test_a_second_tab_shares_the_connection_and_takes_over(
    serve: Serve, api: Api, tabs_of, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    first = await tabs.open()
    second = await tabs.open()
    third = await tabs.open()
    assert await open_streams(api, server) == 1
    said = [await api.publish(server, {"userId": 42, "data": n}) for n in range(5)]
    for page in (first, second, third):
        assert await texts(page, 5) == [str(n) for n in range(5)]
        assert await page.evaluate("seen.ids") == said
    closing = asyncio.create_task(first.close())
    for n in range(5, 25):
        await api.publish(server, {"userId": 42, "data": n})
    await closing
    for n in range(25, 30):
        await api.publish(server, {"userId": 42, "data": n})
    for page in (second, third):
        assert await texts(page, 30) == [str(n) for n in range(30)]
    assert await open_streams(api, server) == 1
    await second.close()
    await third.close()
    await eventually(
        lambda: len(server.logged("stream.closed")) == len(server.logged("stream.opened")), "all closed"
    )

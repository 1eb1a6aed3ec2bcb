"""The web client in a real browser, against the real service: one connection for all tabs, and nothing lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from playwright.async_api import BrowserContext, ConsoleMessage, Error, Page

from tests.e2e.browser.chromium import IN_CHROMIUM
from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.process import HOST, ROOT, ServerProcess, eventually

BUILT = ROOT / "web" / "client" / "dist"

pytestmark = [
    *IN_CHROMIUM,
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
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


TabsOf = Callable[[ServerProcess], Tabs]


@pytest.fixture
def tabs_of(context: BrowserContext, origin: str) -> Iterator[TabsOf]:
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


async def has_open(api: Api, server: ServerProcess, count: int) -> None:
    """Wait until the service counts *count* open streams; a closed one is counted for a moment more."""

    async def counted() -> bool:
        return await open_streams(api, server) == count

    await eventually(counted, f"{count} open streams")


def numbers(*ends: int) -> list[str]:
    return [str(n) for n in range(*ends)]


async def test_a_second_tab_shares_the_connection_and_takes_over(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    first, second, third = [await tabs.open() for _ in range(3)]
    assert await open_streams(api, server) == 1
    assert len(server.logged("stream.opened")) == 1
    said = [await api.publish(server, {"userId": 42, "data": n}) for n in range(5)]
    for page in (first, second, third):
        assert await texts(page, 5) == numbers(5)
        assert await page.evaluate("seen.ids") == said
    closing = asyncio.create_task(first.close())
    for n in range(5, 25):
        await api.publish(server, {"userId": 42, "data": n})
    await closing
    for page in (second, third):
        assert await texts(page, 25) == numbers(25)
    assert len(server.logged("stream.opened")) == 2
    crashed = asyncio.create_task(crash(second))
    for n in range(25, 50):
        await api.publish(server, {"userId": 42, "data": n})
    await crashed
    assert await texts(third, 50) == numbers(50)
    await has_open(api, server, 1)
    await third.close()
    await has_open(api, server, 0)


async def crash(page: Page) -> None:
    with suppress(Error):
        await page.goto("chrome://crash")


async def test_a_frozen_tab_hands_the_connection_on_at_once_and_catches_up(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    frozen, other = [await tabs.open() for _ in range(2)]
    browser = await frozen.context.new_cdp_session(frozen)
    await browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    for n in range(3):
        await api.publish(server, {"userId": 42, "data": n})
    assert await texts(other, 3) == ["0", "1", "2"]

    await browser.send("Page.setWebLifecycleState", {"state": "active"})
    assert await texts(frozen, 3) == ["0", "1", "2"]
    assert await open_streams(api, server) == 1


async def test_a_killed_service_comes_back_and_no_tab_lost_or_repeats_anything(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    pages = [await tabs.open() for _ in range(2)]
    for n in range(5):
        await api.publish(server, {"userId": 42, "data": n})
    await server.kill()
    for page in pages:
        await page.wait_for_function(
            "seen.stream.status.state === 'waiting' && seen.stream.status.retryAt > 0"
        )
    await server.start()
    for n in range(5, 10):
        await api.publish(server, {"userId": 42, "data": n})
    for page in pages:
        assert await texts(page, 10) == numbers(10)
        assert await page.evaluate("seen.gaps") == []
    await has_open(api, server, 1)


async def test_a_store_that_was_lost_is_told_to_every_tab(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    pages = [await tabs.open() for _ in range(2)]
    lost = await api.publish(server, {"userId": 42, "data": 0})
    for page in pages:
        await texts(page, 1)
    await server.kill()
    shutil.rmtree(server.folder / "data")
    await server.start()
    for page in pages:
        await page.wait_for_function("seen.gaps.length === 1")
        assert await page.evaluate("seen.gaps") == [
            {"reason": "unknown", "requested": lost, "resumed_from": None}
        ]
    await api.publish(server, {"userId": 42, "data": 1})
    for page in pages:
        assert await texts(page, 2) == numbers(2)


async def test_a_429_is_told_and_recovered_from(serve: Serve, api: Api, tabs_of: TabsOf, origin: str) -> None:
    server = await serve(cors_origins=origin, max_connections_per_user=1)
    async with ClientSession() as other:
        taken = await other.get(f"{server.url}/v1/app/sse", headers={"Authorization": f"Bearer {demo(42)}"})
        assert taken.status == 200
        page = await tabs_of(server).blank()
        await page.clock.install()
        await tabs_of(server).watch(page, "app")
        await page.wait_for_function("seen.stream.status.state === 'waiting'")
        assert await page.evaluate("seen.errors") == [[429, "user"]]
        wait = await page.evaluate("seen.stream.status.retryAt - Date.now()")
        assert 9_000 < wait <= 12_500  # the service says 10 s; a quarter more spreads a fleet
        taken.close()
    await has_open(api, server, 0)
    await page.clock.fast_forward(12_500)
    await page.wait_for_function("seen.stream.status.state === 'open'")
    await api.publish(server, {"userId": 42, "data": 0})
    assert await texts(page, 1) == numbers(1)


async def test_twelve_tabs_work_over_http_1(serve: Serve, api: Api, tabs_of: TabsOf, origin: str) -> None:
    server = await serve(cors_origins=origin)
    tabs = tabs_of(server)
    pages = await asyncio.gather(*(tabs.open() for _ in range(12)))
    await api.publish(server, {"userId": 42, "data": 0})
    for page in pages:
        assert await texts(page, 1) == numbers(1)
    assert await open_streams(api, server) == 1
    # A request of the last tab finds a free connection: six is all that a browser has for one host.
    status = await pages[-1].evaluate(
        "url => fetch(url).then(answer => answer.status)", f"{server.url}/healthz"
    )
    assert status == 200


async def test_topics_change_without_loss_and_what_is_refused_hurts_nobody_else(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    first = await tabs.open("app")
    said = {"topic": "notifications", "broadcast": True}
    await api.publish(server, {**said, "data": "before anyone asked"})
    await api.publish(server, {"userId": 42, "data": 0})
    await texts(first, 1)
    second = await tabs.blank()
    changing = asyncio.create_task(tabs.watch(second, "notifications"))
    for n in range(1, 20):
        await api.publish(server, {"userId": 42, "data": n})
    await changing
    await second.wait_for_function("seen.stream.status.state === 'open'")
    await api.publish(server, {**said, "data": "x", "event": "urgent"})
    await api.publish(server, {"userId": 42, "data": 20})
    assert await texts(first, 21) == numbers(21)
    assert await texts(second, 1) == ["x"]
    assert await second.evaluate("seen.events") == ["notifications/urgent"]
    await tabs.watch(second, "nonsense", name="refused")
    await second.wait_for_function("refused.stream.status.state === 'closed'")
    assert await second.evaluate("refused.errors") == [[400, None]]
    await api.publish(server, {**said, "data": "y"})
    await api.publish(server, {"userId": 42, "data": 21})
    assert await texts(second, 2) == ["x", "y"]
    assert await texts(first, 22) == numbers(22)
    await has_open(api, server, 1)


async def test_different_users_never_share(serve: Serve, api: Api, tabs_of: TabsOf, origin: str) -> None:
    server = await serve(cors_origins=origin)
    tabs = tabs_of(server)
    ada, bob = await tabs.open(user="ada"), await tabs.open(user="bob")
    assert await open_streams(api, server) == 2
    await api.publish(server, {"userId": "ada", "data": "for ada"})
    await api.publish(server, {"userId": "bob", "data": "for bob"})
    assert await texts(ada, 1) == ["for ada"]
    assert await texts(bob, 1) == ["for bob"]


async def test_a_browser_without_fetch_streams_has_an_event_source(
    serve: Serve, api: Api, tabs_of: TabsOf, origin: str
) -> None:
    server = await serve(cors_origins=origin, retry_ms=100)
    tabs = tabs_of(server)
    page = await tabs.blank()
    await page.evaluate("delete Response.prototype.body")
    await page.evaluate(
        "([url, token]) => { window.seen = watch(url, {token, minMs: 100, eventNames: ['order.paid']}); }",
        [f"{server.url}/v1/app/sse", demo(42)],
    )
    await page.wait_for_function("seen.stream.status.state === 'open'")
    await api.publish(server, {"userId": 42, "data": 0})
    await api.publish(server, {"userId": 42, "data": 1, "event": "order.paid"})
    await texts(page, 2)
    await server.kill()
    await page.wait_for_function("seen.stream.status.state === 'waiting'")
    await server.start()
    await api.publish(server, {"userId": 42, "data": 2})
    assert await texts(page, 3) == numbers(3)
    assert await page.evaluate("seen.events") == ["message", "order.paid", "message"]
    assert demo(42) not in server.output

"""EventSource in a real browser: it gets events, comes back by itself after a crash, and misses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from tests.e2e.browser.chromium import IN_CHROMIUM
from tests.e2e.client import ADMIN, Api, demo
from tests.e2e.conftest import Serve
from tests.ports import HOST
from tests.process import ServerProcess, eventually, running

pytestmark = IN_CHROMIUM

LISTEN = """([url, names]) => {
    window.got = [];
    window.opened = 0;
    const source = window.source = new EventSource(url, {withCredentials: true});
    source.onopen = () => { window.opened += 1; };
    source.onmessage = event => { window.got.push(["message", event.data, event.lastEventId]); };
    for (const name of names)
        source.addEventListener(name, event => { window.got.push([name, event.data, event.lastEventId]); });
}"""

LOG_IN = """async login => {
    const headers = {"Content-Type": "application/json"};
    const answer = await fetch("/api/auth/login/json", {method: "POST", headers, body: JSON.stringify(login)});
    return await answer.json();
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(listed: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A process that is not killed: for the tests that need no other."""
    settings = {
        "cors_origins": listed,
        "max_connections_per_user": 1,
        "presence_grace_s": 0.1,
        "presence_heartbeat_s": 0.6,
    }
    async with running(tmp_path_factory.mktemp("browser"), **settings) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@asynccontextmanager
async def another_server() -> AsyncIterator[str]:
    """The origin of another server, which has nothing but an empty page."""
    app = web.Application()
    app.router.add_get("/", _page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield f"http://{HOST}:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def listed() -> AsyncIterator[str]:
    """An origin that the service lets in."""
    async with another_server() as origin:
        yield origin


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[str]:
    """An origin that it knows nothing of."""
    async with another_server() as origin:
        yield origin


async def _page(request: web.Request) -> web.Response:
    return web.Response(
        text="<!doctype html><title>a page of another origin</title>", content_type="text/html"
    )


async def listen(page: Page, url: str, *names: str) -> None:
    """Open an EventSource in the page and wait until it is open."""
    await page.evaluate(LISTEN, [url, names])
    await page.wait_for_function("window.opened === 1")


async def got(page: Page, count: int) -> list[list[str]]:
    """What the page got, once that is *count* events: ``[name, data, id]`` each."""
    await page.wait_for_function("count => window.got.length >= count", arg=count)
    seen: list[list[str]] = await page.evaluate("window.got")
    assert len(seen) == count
    return seen


async def test_a_page_of_the_same_origin_gets_everything_through_a_crash(
    serve: Serve, api: Api, page: Page
) -> None:
    server = await serve(retry_ms=200)
    await page.goto(f"{server.url}/system/status")  # any page of this origin
    await listen(page, f"/v1/app/sse?token={demo(42)}")
    ids = [await api.publish(server, {"userId": 42, "data": {"n": n}}) for n in range(3)]
    assert await got(page, 3) == [["message", f'{{"n":{n}}}', id_] for n, id_ in enumerate(ids)]
    # What is published now comes to a page that is gone at that moment, or is about to be.
    late = [await api.publish(server, {"userId": 42, "data": n}) for n in range(3, 6)]
    await server.kill()
    await server.start()
    late += [await api.publish(server, {"userId": 42, "data": n}) for n in range(6, 9)]
    await page.wait_for_function("window.opened === 2")
    assert (await got(page, 9))[3:] == [["message", str(n), id_] for n, id_ in enumerate(late, start=3)]
    assert await page.evaluate("window.source.readyState") == 1
    await eventually(lambda: len(server.logged("stream.opened", user="42")) == 2, "it is logged")


async def test_a_page_of_a_listed_origin_gets_everything_by_its_cookie(
    server: ServerProcess, api: Api, page: Page, listed: str
) -> None:
    await page.context.add_cookies([{"name": "access_token", "value": demo(42), "url": server.url}])
    await page.goto(listed)
    await listen(page, f"{server.url}/v1/app/sse")
    ids = [await api.publish(server, {"userId": 42, "data": n}) for n in range(3)]
    assert await got(page, 3) == [["message", str(n), id_] for n, id_ in enumerate(ids)]


async def test_a_page_of_another_origin_gets_nothing(
    server: ServerProcess, api: Api, page: Page, elsewhere: str
) -> None:
    await page.context.add_cookies([{"name": "access_token", "value": demo(43), "url": server.url}])
    await page.goto(elsewhere)
    await page.evaluate(LISTEN, [f"{server.url}/v1/app/sse", []])
    await page.wait_for_function("window.source.readyState === 2")
    assert await page.evaluate("[window.opened, window.got.length]") == [0, 0]
    await api.publish(server, {"userId": 43, "data": "secret"})
    status = await page.evaluate(
        "url => fetch(url, {credentials: 'include'}).then(answer => answer.status, error => 'refused')",
        f"{server.url}/sse/status",
    )
    assert status == "refused"


async def test_named_events_and_text_of_many_lines_arrive_as_sent(
    server: ServerProcess, api: Api, page: Page
) -> None:
    await page.goto(f"{server.url}/system/status")
    await listen(
        page,
        f"/v1/stream?topics=app,notifications&token={demo(44)}",
        "app",
        "app/order.paid",
        "notifications",
    )
    text = "one\r\ntwo\n\nfour\rfive: data: x\n"
    said = [
        ("app", {"userId": 44, "data": text}),
        ("app/order.paid", {"userId": 44, "event": "order.paid", "data": "grüße \U0001f600\u2028"}),
        ("notifications", {"broadcast": True, "topic": "notifications", "data": [None, {"b": 1, "a": 2}]}),
    ]
    ids = [await api.publish(server, event) for _, event in said]
    assert await got(page, 3) == [
        ["app", "one\ntwo\n\nfour\nfive: data: x\n", ids[0]],
        ["app/order.paid", "grüße \U0001f600\u2028", ids[1]],
        ["notifications", '[null,{"b":1,"a":2}]', ids[2]],
    ]


async def test_a_refused_event_source_ends_and_fetch_sees_why(
    server: ServerProcess, api: Api, page: Page
) -> None:
    await page.goto(f"{server.url}/system/status")
    await listen(page, f"/v1/app/sse?token={demo(45)}")
    await page.evaluate("url => { window.second = new EventSource(url); }", f"/v1/app/sse?token={demo(45)}")
    await page.wait_for_function("window.second.readyState === 2")
    answer = await page.evaluate(
        """url => fetch(url).then(async answer => [answer.status, answer.headers.get("retry-after"), await answer.json()])""",
        f"/v1/app/sse?token={demo(45)}",
    )
    assert answer[0] == 429 and int(answer[1]) > 0 and answer[2]["limit"] == "user"
    await page.evaluate("window.source.close()")
    # The browser closed its connection, so there is room again.
    async with asyncio.timeout(10):
        await page.evaluate(
            """url => new Promise(resolve => {
                const attempt = () => {
                    const source = new EventSource(url);
                    source.onopen = resolve;
                    source.onerror = () => { source.close(); setTimeout(attempt, 20); };
                };
                attempt();
            })""",
            f"/v1/app/sse?token={demo(45)}",
        )


async def test_a_page_that_logged_in_sees_a_friend_come_and_go(
    server: ServerProcess, api: Api, browser: Browser
) -> None:
    contexts = [await browser.new_context() for _ in range(2)]
    pages = [await context.new_page() for context in contexts]
    tokens = []
    for page, name in zip(pages, ("ada", "ben"), strict=True):
        new = {"email": f"{name}@example.com", "password": "a password", "name": name}
        assert (await api.call(server, "POST", "/api/users", new, ADMIN))[0] == 201
        await page.goto(f"{server.url}/system/status")
        answer = await page.evaluate(LOG_IN, {"email": new["email"], "password": new["password"]})
        assert (answer["token_type"], answer["expires_in"]) == ("bearer", 28800)
        tokens.append(answer["access_token"])
    for token, friend in zip(tokens, (2, 1), strict=True):
        await api.call(server, "PUT", f"/api/friends/{friend}", token=token)
    for page, token in zip(pages, tokens, strict=True):
        names = ("connected", "initial", "status_change", "heartbeat")
        await listen(page, f"/api/presence/stream?token={token}", *names)
        await page.wait_for_function("window.got.length >= 2")
    await contexts[1].close()
    await pages[0].wait_for_function("window.got.filter(event => event[0] === 'status_change').length === 2")
    await pages[0].wait_for_function("window.got.some(event => event[0] === 'heartbeat')")
    seen = [(name, json.loads(data)) for name, data, _ in await pages[0].evaluate("window.got")]
    assert [name for name, _ in seen[:2]] == ["connected", "initial"]
    assert seen[1][1] == {"2": {"user_id": 2, "is_online": False}}
    changes = [data for name, data in seen if name == "status_change"]
    assert [(change["user_id"], change["is_online"]) for change in changes] == [(2, True), (2, False)]
    await contexts[0].close()

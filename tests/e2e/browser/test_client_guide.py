"""The examples of docs/clients.md, built as they stand, in a real browser against the real service."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route

from tests.e2e.browser.chromium import IN_CHROMIUM
from tests.e2e.client import ADMIN, Api, demo
from tests.process import ROOT, ServerProcess, running

EXAMPLES = ROOT / "web" / "client" / "dist-examples"
GUIDE = (ROOT / "docs" / "clients.md").read_text()
BLOCK = re.compile(r"^```(?:js|jsx|vue) name=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [
    *IN_CHROMIUM,
    pytest.mark.skipif(
        not EXAMPLES.exists(),
        reason="NOT TESTED: the examples are not built (make web-test, with Node), so none was run",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    async with running(tmp_path_factory.mktemp("clients"), retry_ms=100, presence_grace_s=0.1) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, server: ServerProcess) -> AsyncIterator[BrowserContext]:
    """A browser to which the examples are of the service's own origin, as behind one proxy."""
    context = await browser.new_context()
    context.set_default_timeout(30_000)

    async def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "page":
            page = '<!doctype html><script type="module" src="main.js"></script>'
            await route.fulfill(body=page, content_type="text/html")
        else:
            await route.fulfill(path=EXAMPLES / name, content_type="text/javascript")

    await context.route(f"{server.url}/examples/*", serve)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, server: ServerProcess) -> AsyncIterator[Page]:
    page = await open_page(context, server)
    yield page
    assert await page.evaluate("window.faults") == []


async def open_page(context: BrowserContext, server: ServerProcess) -> Page:
    page = await context.new_page()
    await page.add_init_script(
        "window.faults = []; addEventListener('error', event => faults.push(event.message));"
        "console.error = (...said) => faults.push(said.join(' '));"
    )
    await page.goto(f"{server.url}/examples/page")
    await page.wait_for_function("window.examples")
    return page


async def shown(page: Page, text: str) -> None:
    await page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)


async def notify(api: Api, server: ServerProcess, user: object, message: str) -> None:
    body = {"title": "Backup", "message": message, "type": "success", "userId": user}
    status, answer = await api.call(server, "POST", "/notifications/send", body, ADMIN)
    assert status == 200, answer


async def person(api: Api, server: ServerProcess, name: str) -> int:
    """A new account; its number."""
    body = {"email": f"{name}@example.com", "password": f"the password of {name}", "name": name}
    status, user = await api.call(server, "POST", "/api/users", body, ADMIN)
    assert status == 201, user
    return int(user["id"])


async def befriend(api: Api, server: ServerProcess, one: int, other: int) -> None:
    for user, friend in ((one, other), (other, one)):
        status, answer = await api.call(server, "PUT", f"/api/friends/{friend}", None, demo(user))
        assert status == 200, answer


async def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text()
    blocks = BLOCK.findall(GUIDE)
    assert blocks, "no examples were found"
    built = BLOCK.findall((EXAMPLES / "clients.md").read_text())
    assert built == blocks, "the examples that are built are others: make web-test"
    assert [name for name, _ in blocks if f'"{name}"' not in source] == []


async def test_plain_javascript_shows_notifications(server: ServerProcess, api: Api, page: Page) -> None:
    await page.evaluate(
        """([name, token]) => {
            const list = document.body.appendChild(document.createElement("ul"));
            window.close = examples[name].showNotifications(list, token);
        }""",
        ["plain.js", demo("plain")],
    )
    await page.wait_for_selector("ul[data-state=open]", state="attached")
    await notify(api, server, "plain", "done")
    await shown(page, "Backup: done")
    assert "-" in str(await page.get_attribute("li", "data-id"))
    await page.evaluate("window.close()")
    await page.wait_for_selector("ul[data-state=closed]", state="attached")


async def test_a_token_is_asked_for_and_renewed(server: ServerProcess, api: Api, page: Page) -> None:
    await page.evaluate(
        """([name, token]) => {
            window.asked = [];
            window.orders = [];
            const login = async (how) => {
                asked.push(how);
                return { access_token: how.renew ? token : "one that has expired" };
            };
            window.stream = examples[name].watchOrders(login, order => orders.push(order));
        }""",
        ["renewed.js", demo("renewed")],
    )
    await page.wait_for_function("stream.status.state === 'open'")
    await api.publish(server, {"userId": "renewed", "data": {"order": 1}})
    await page.wait_for_function("orders.length === 1")
    assert await page.evaluate("[asked, orders]") == [[{"renew": False}, {"renew": True}], [{"order": 1}]]


async def test_tabs_share_many_topics(server: ServerProcess, api: Api, page: Page) -> None:
    await page.evaluate(
        """([name, token]) => {
            window.said = [];
            window.stream = examples[name].watchRoom("a room", token, text => said.push(text), text => said.push(text));
        }""",
        ["tabs.js", demo("tabs")],
    )
    await page.wait_for_function("stream.status.state === 'open'")
    body = {"roomId": "a room", "message": "hello"}
    assert (await api.call(server, "POST", "/chat/send", body, demo("tabs")))[0] == 200
    await notify(api, server, "tabs", "done")
    await page.wait_for_function("said.length === 2")
    assert await page.evaluate("said") == ["name of tabs: hello", "Backup"]


@pytest.mark.parametrize(("show", "name"), [("React", "Notifications.jsx"), ("Vue", "Notifications.vue")])
async def test_notifications_are_shown_and_cleared(
    server: ServerProcess, api: Api, page: Page, show: str, name: str
) -> None:
    await page.evaluate(f"([name, props]) => show{show}(name, props)", [name, {"token": demo(show)}])
    await page.wait_for_selector("section[aria-busy=false]")
    await notify(api, server, show, "the first")
    await notify(api, server, show, "the second")
    await shown(page, "the second")
    assert await page.locator("li").all_inner_texts() == ["the first", "the second"]
    await page.get_by_role("button", name="Clear").click()
    await page.wait_for_selector("li", state="detached")


async def test_friends_come_and_go(
    server: ServerProcess, api: Api, context: BrowserContext, page: Page
) -> None:
    ada, bob = await person(api, server, "ada"), await person(api, server, "bob")
    await befriend(api, server, ada, bob)
    await page.evaluate("([name, props]) => showReact(name, props)", ["Friends.jsx", {"token": demo(ada)}])
    await shown(page, f"{bob}: last seen never")
    other = await open_page(context, server)
    room = {"roomId": "general", "token": demo(bob), "user": {"id": str(bob), "name": "Bob"}}
    await other.evaluate("([name, props]) => showVue(name, props)", ["Room.vue", room])
    await shown(other, "1 friends online")
    await shown(page, f"{bob}: online")
    # A second tab of one who is online already is told how things are, too.
    second = await open_page(context, server)
    await second.evaluate("([name, props]) => showReact(name, props)", ["Friends.jsx", {"token": demo(ada)}])
    await shown(second, f"{bob}: online")
    await other.close()
    await shown(page, f"{bob}: last seen 20")
    await shown(second, f"{bob}: last seen 20")


@pytest.mark.parametrize(("show", "name"), [("React", "GroupChat.jsx"), ("Vue", "Room.vue")])
async def test_a_room_answers(server: ServerProcess, api: Api, page: Page, show: str, name: str) -> None:
    user = await person(api, server, f"user-of-{show}")
    props: dict[str, Any] = {"roomId": show, "token": demo(user), "user": {"id": str(user), "name": "Ada"}}
    await page.evaluate(f"([name, props]) => show{show}(name, props)", [name, props])
    await page.get_by_label("Message").fill("Hello, all of you")
    await page.get_by_role("button", name="Say").click()
    await page.wait_for_function("document.querySelectorAll('li').length === 3")
    await page.get_by_role("button", name="Say").wait_for()
    status, answer = await api.call(
        server, "POST", "/chat/send", {"roomId": show, "message": "I hear you"}, demo("cy")
    )
    assert status == 200, answer
    await shown(page, "name of cy: I hear you")
    said = await page.locator("li").all_inner_texts()
    assert "Ada: Hello, all of you" in said  # the turn and the room are two connections: either may be first
    assert len(said) == 4, said  # two members; nothing came twice, by the turn and by the room
    if show == "React":
        await shown(page, "is at level 1")


async def test_examples_do_not_leave_streams_open(
    server: ServerProcess, api: Api, context: BrowserContext
) -> None:
    for page in context.pages:
        await page.close()
    async with asyncio.timeout(10):
        while (await api.call(server, "GET", "/system/status"))[1]["connections"]["total"]:
            await asyncio.sleep(0.02)

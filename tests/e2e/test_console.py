"""The console in a real browser against a real service: every tab sends and receives, breaks are told and mended."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.conftest import SECRET, mint
from tests.e2e.client import ADMIN, Api, demo
from tests.e2e.conftest import running
from tests.e2e.console import AXE, BUILT, TABS, Console
from tests.e2e.stream import Stream
from tests.e2e.test_browser import ARGS, CHROMIUM
from tests.process import ServerProcess, eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="NOT TESTED: no Chromium on PATH, so the console was not tried"
    ),
    pytest.mark.skipif(
        not BUILT, reason="NOT TESTED: the console is not built (make console, which needs Node)"
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings = {
        "heartbeat_s": 1,
        "jwt_secret": SECRET,
        "max_connections_per_user": 2,
        "redirect_origins": "https://example.com",
        "retry_ms": 100,
        "status_interval_s": 0.25,
    }
    async with running(tmp_path_factory.mktemp("console"), **settings) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def console(context: BrowserContext, server: ServerProcess) -> AsyncIterator[Console]:
    console = await Console.open(context, server)
    yield console
    assert console.errors == []


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_page_loads_nothing_from_elsewhere_and_keeps_the_token_in_its_tab(console: Console) -> None:
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url))

    await console.page.reload()
    await console.sign_in("loads")

    assert asked and all(url.startswith(f"{console.server.url}/") for url in asked)
    assert not [url for url in asked if "token=" in url]
    stored = await console.page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
    assert demo("loads")[:20] not in stored
    await console.page.get_by_role("button", name="Sign out").click()
    await expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await console.page.evaluate("sessionStorage.length") == 0


async def test_token_that_is_not_taken_is_told_at_the_door(console: Console) -> None:
    await console.page.get_by_role("radio", name="Token").check()
    await console.page.get_by_role("textbox", name="Token").fill("not.a.token")
    await console.page.get_by_role("button", name="Continue").click()

    await expect(console.page.get_by_role("alert")).to_contain_text("The token is not valid")


async def test_token_that_expires_is_told_and_a_new_one_goes_on(
    context: BrowserContext, server: ServerProcess
) -> None:
    console = await Console.open(context, server, mint("brief", lifetime=3))

    await expect(console.page.get_by_text("Your token has expired or is no longer taken")).to_be_visible()
    await expect(console.page.locator("[data-state=closed]")).to_contain_text("Disconnected")
    await console.page.get_by_role("button", name="Sign in again").click()
    await console.sign_in("brief")
    assert console.errors == []


async def test_every_tab_sends_and_receives(console: Console) -> None:
    await console.sign_in("tabs", "user", "admin")

    await console.send()
    await expect(console.rows("Notifications").first).to_contain_text("All 42 volumes are safe.")

    await console.to("Real-time")
    await console.send()
    await expect(console.rows("Entity updates").first).to_contain_text("order A-1042")
    await expect(console.rows("Entity updates").first).to_contain_text('{"state":"packed"}')

    await console.to("Chat")
    await console.page.get_by_label("Message", exact=True).fill("Is anybody there?")
    await console.send()
    await expect(console.rows("Messages in general").last).to_contain_text("Is anybody there?")

    await console.to("Group chat")
    await console.send()
    await expect(console.page.get_by_text("everybody has answered")).to_be_visible()
    assert await console.rows("The conversation").locator(".ai").count() == 2
    await expect(console.page.get_by_role("progressbar").first).to_have_attribute("value", "5")
    await expect(console.page.get_by_text("Level 1").first).to_be_visible()

    await console.to("System")
    before = await console.figure("events")
    await console.send()
    await expect(console.page.get_by_text("200 events are kept and on their way")).to_be_visible()
    await eventually(lambda: _more(console, before + 200), "the load came back")
    await expect(console.page.get_by_role("img", name="Connections: ")).to_be_visible()

    await console.to("Redirect")
    await console.send()
    await expect(console.page.get_by_text("CLIENT_NOT_CONNECTED")).to_be_visible()
    await console.page.get_by_role("button", name="Connect", exact=True).click()
    await expect(console.page.get_by_role("main").get_by_text("Connected", exact=True)).to_be_visible()
    await console.send()
    await expect(console.rows("What the client was told").first).to_contain_text(
        "https://example.com/checkout"
    )
    assert console.page.url.startswith(console.server.url)  # and has not gone there

    await console.to("Inspector")
    await expect(console.page.locator("[data-kind=heartbeat]").first).to_be_visible()
    await console.page.get_by_label("Holds the text").fill("Test 200 of 200")
    await console.rows("Frames").get_by_role("button").click()
    await expect(console.page.get_by_text('event: app\ndata: {"message":"Test 200 of 200"}')).to_be_visible()
    await console.page.get_by_role("radio", name="Any stream").check()
    await console.page.get_by_role("button", name="Open it").click()
    await expect(console.page.locator("[data-kind=retry]")).to_be_visible()
    await expect(console.page.locator("[data-kind=event]").first).to_contain_text('"hello":"world"')
    await console.page.get_by_role("radio", name="Requests").check()
    await console.rows("Requests").filter(has_text="/chat/send").first.get_by_role("button").click()
    await expect(console.page.locator("pre")).to_contain_text('-H "Authorization: Bearer $TOKEN"')


async def test_friends_see_each_other_come_and_go(
    browser: Browser, console: Console, server: ServerProcess, api: Api
) -> None:
    users = [await account(api, server, name) for name in ("Ben", "Cleo")]
    await console.log_in("ben@example.com", "open sesame")
    await console.to("Presence")
    await expect(console.page.get_by_text("No friends yet")).to_be_visible()
    await console.page.get_by_label("User id").fill(str(users[1]))
    await console.page.get_by_role("button", name="Ask").click()
    await expect(console.page.get_by_text("Not answered yet")).to_be_visible()

    elsewhere = await browser.new_context()
    cleo = await Console.open(elsewhere, server)
    await cleo.log_in("cleo@example.com", "open sesame")
    await cleo.to("Presence")
    await cleo.page.get_by_role("button", name="Accept Ben").click()
    await expect(cleo.page.locator(f"[data-friend='{users[0]}'][data-online=true]")).to_be_visible()
    await console.to("System")
    await console.to("Presence")
    her = console.page.locator(f"[data-friend='{users[1]}']")
    await expect(her).to_have_attribute("data-online", "true")
    await elsewhere.close()
    await expect(her).to_have_attribute("data-online", "false")
    await expect(her).to_contain_text("seen just now")
    await console.page.get_by_role("button", name="Remove Cleo").click()
    await expect(console.page.get_by_text("No friends yet")).to_be_visible()
    assert cleo.errors == []


async def account(api: Api, server: ServerProcess, name: str) -> int:
    user = {"name": name, "email": f"{name.lower()}@example.com", "password": "open sesame"}
    status, made = await api.call(server, "POST", "/api/users", user, ADMIN)
    assert status == 201
    return int(made["id"])


async def _more(console: Console, count: int) -> bool:
    return await console.figure("events") >= count


async def test_user_without_a_role_sees_why_a_send_is_refused(console: Console) -> None:
    await console.sign_in("plain", "user")

    await expect(console.page.get_by_text("the service will refuse it with 403")).to_be_visible()
    await console.send()
    await expect(console.page.get_by_text("403 Forbidden")).to_be_visible()


async def test_command_over_the_rate_says_when_again_and_then_works(console: Console, api: Api) -> None:
    await console.sign_in("hasty", "user")
    await console.to("Chat")
    async with hammering(api, console.server, "hasty"):
        await console.send()
        await expect(console.page.get_by_text("429 Too Many Requests")).to_be_visible()
        await expect(console.page.get_by_text("The limit is “rate”.")).to_be_visible()
    await console.send()  # waits until the button is there again
    await expect(console.rows("Messages in general").last).to_contain_text("Hello from the console")
    await expect(console.page.get_by_text("429 Too Many Requests")).to_be_hidden()


@asynccontextmanager
async def hammering(api: Api, server: ServerProcess, user: str) -> AsyncIterator[None]:
    """Somebody else who sends as *user* and never lets them get a word in."""

    async def hammer() -> None:
        while True:
            await api.call(server, "POST", "/chat/send", {"roomId": "elsewhere", "message": "x"}, demo(user))

    tasks = [asyncio.create_task(hammer()) for _ in range(4)]
    await eventually(lambda: server.logged("request.answered", path="/chat/send", status=429), "refused")
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_stream_over_the_limit_says_so_and_goes_on_when_there_is_room(console: Console) -> None:
    taken = [await Stream.open(console.server, "/v1/app/sse", demo("crowd")) for _ in range(2)]
    await console.page.get_by_label("User id").fill("crowd")
    await console.page.get_by_role("button", name="Continue").click()

    await expect(console.page.get_by_text("Too many streams are open (limit: user)")).to_be_visible()
    await expect(console.page.locator("[data-state=waiting]")).to_contain_text("Reconnecting")
    for stream in taken:
        stream.close()
    await eventually(lambda: len(console.server.logged("stream.closed", user="crowd")) == 2, "there is room")
    await console.page.get_by_role("button", name="Try now").click()
    await console.is_live()
    await expect(console.page.get_by_text("Too many streams")).to_be_hidden()


async def test_tabs_share_one_connection_and_one_takes_over(
    context: BrowserContext, server: ServerProcess, api: Api
) -> None:
    first = await Console.open(context, server, demo("shares"))
    second = await Console.open(context, server, demo("shares"))
    await first.is_live()
    await second.is_live()
    assert await streams_of(server, "shares") == 1

    sent = [await notify(api, server, "shares", number) for number in range(3)]
    for tab in (first, second):
        await expect(tab.rows("Notifications")).to_have_count(3)
        assert await tab.ids("Notifications") == sent[::-1]
    await first.page.close()
    sent += [await notify(api, server, "shares", number) for number in range(3, 6)]

    await expect(second.rows("Notifications")).to_have_count(6)
    assert await second.ids("Notifications") == sent[::-1]
    await second.is_live()
    await eventually(lambda: one_stream_of(server, "shares"), "the other tab has the stream")
    assert [*first.errors, *second.errors] == []


async def test_twelve_tabs_work_over_http_1_1(
    context: BrowserContext, server: ServerProcess, api: Api
) -> None:
    tabs = await asyncio.gather(*(Console.open(context, server, demo("many")) for _ in range(12)))
    for tab in tabs:
        await tab.is_live()
    id_ = await notify(api, server, "many", 1)

    for tab in tabs:
        await expect(tab.rows("Notifications")).to_have_count(1)
        assert await tab.ids("Notifications") == [id_]
    await tabs[-1].to("Chat")
    await tabs[-1].send()  # a request still gets through
    await expect(tabs[-1].rows("Messages in general").last).to_contain_text("Hello from the console")
    assert await streams_of(server, "many") == 1
    assert not any(tab.errors for tab in tabs)


async def notify(api: Api, server: ServerProcess, user: str, number: int) -> str:
    body = {"title": f"Number {number}", "message": "m", "type": "info", "userId": user}
    status, answer = await api.call(server, "POST", "/notifications/send", body, ADMIN)
    assert status == 200
    return str(answer["id"])


async def streams_of(server: ServerProcess, user: str) -> int:
    """How many streams *user* holds, as the service counts: opened less closed."""
    return len(server.logged("stream.opened", user=user)) - len(server.logged("stream.closed", user=user))


async def one_stream_of(server: ServerProcess, user: str) -> bool:
    return await streams_of(server, user) == 1


async def test_nothing_is_missing_or_doubled_when_the_service_was_killed(
    context: BrowserContext, api: Api, tmp_path: Path
) -> None:
    async with running(tmp_path, retry_ms=100) as server:
        console = await Console.open(context, server, demo("42"))
        await console.is_live()
        sent = [await notify(api, server, "42", number) for number in range(3)]
        await expect(console.rows("Notifications")).to_have_count(3)
        sent += [await notify(api, server, "42", number) for number in range(3, 6)]
        await server.kill()
        await expect(console.page.locator("[data-notice=connection]")).to_contain_text(
            "The connection is lost"
        )
        await server.start()
        sent += [await notify(api, server, "42", number) for number in range(6, 9)]

        await expect(console.rows("Notifications")).to_have_count(9)
        assert await console.ids("Notifications") == sent[::-1]
        await console.is_live()
        await expect(console.page.locator("[data-notice=connection]")).to_be_hidden()
        assert (await console.figure("reconnects"), await console.figure("gaps")) == (1, 0)
        assert console.errors == []


async def test_gap_is_shown_when_the_store_was_lost(
    context: BrowserContext, api: Api, tmp_path: Path
) -> None:
    async with running(tmp_path, retry_ms=100) as server:
        console = await Console.open(context, server, demo("42"))
        await console.is_live()
        await notify(api, server, "42", 1)
        await expect(console.rows("Notifications")).to_have_count(1)
        await server.kill()
        shutil.rmtree(tmp_path / "data")
        await server.start()
        await expect(console.page.locator("[data-notice=gap]")).to_contain_text(
            "Some events are missing here"
        )
        await notify(api, server, "42", 2)
        await expect(console.rows("Notifications")).to_have_count(2)
        assert await console.figure("gaps") == 1
        await console.page.get_by_role("button", name="Dismiss").click()
        await expect(console.page.locator("[data-notice=gap]")).to_be_hidden()
        assert console.errors == []


async def test_ten_thousand_events_neither_freeze_the_page_nor_fill_its_memory(
    console: Console, api: Api
) -> None:
    await console.sign_in("flood", "user")
    await console.to("Real-time")
    cdp = await console.page.context.new_cdp_session(console.page)
    await console.page.evaluate(WATCH_FRAMES)

    heaps = []
    for wave in (1, 2):
        for part in range(10):
            first = wave * 100_000 + part * 1000
            update = [
                {"topic": "realtime", "userId": "flood", "data": _update(first + n)} for n in range(1000)
            ]
            await api.publish(console.server, update)
        await eventually(lambda wave=wave: _more(console, wave * 10_000), "all came", within=20)
        await expect(console.rows("Entity updates").first).to_contain_text(f"E-{wave * 100_000 + 9999}")
        await cdp.send("HeapProfiler.collectGarbage")
        heaps.append((await cdp.send("Runtime.getHeapUsage"))["usedSize"])

    assert await console.rows("Entity updates").count() < 60  # drawn
    assert await console.rows("Entity updates").first.get_attribute("aria-setsize") == "1000"  # kept
    assert heaps[1] - heaps[0] < 2_000_000
    assert await console.page.evaluate("window.longestFrame") < 1000


async def test_list_that_is_scrolled_stands_still_and_says_how_many_are_new(
    console: Console, api: Api
) -> None:
    await console.sign_in("reads")
    for number in range(30):
        await notify(api, console.server, "reads", number)
    await expect(console.rows("Notifications").first).to_contain_text("Number 29")
    await console.page.get_by_role("region", name="Notifications").evaluate("list => list.scrollTo(0, 700)")
    await expect(console.rows("Notifications").first).not_to_contain_text("Number 29")
    before = await console.ids("Notifications")
    await notify(api, console.server, "reads", 30)

    await expect(console.page.get_by_role("button", name="1 new")).to_be_visible()
    assert await console.ids("Notifications") == before
    await console.page.get_by_role("button", name="1 new").click()
    await expect(console.rows("Notifications").first).to_contain_text("Number 30")


HOSTILE = [
    None,
    "text",
    [1, [2]],
    {"title": {"a": [1]}, "message": None, "type": "constructor", "timestamp": {}},
    {
        "title": "<img src=x onerror=alert(1)>",
        "message": "<script>alert(1)</script>",
        "entityType": {"b": 1},
        "action": "constructor",
    },
    {"type": "redirect", "url": "javascript:alert(1)"},
]


async def test_data_of_any_form_and_intent_is_shown_as_text(console: Console, api: Api) -> None:
    await console.sign_in("odd")
    await console.to("Redirect")
    await console.page.get_by_role("button", name="Connect", exact=True).click()
    await expect(console.page.get_by_role("main").get_by_text("Connected", exact=True)).to_be_visible()
    topics = [
        ("notifications", {"userId": "odd"}),
        ("realtime", {"userId": "odd"}),
        ("client", {"userId": "odd"}),
    ]
    for topic, whom in [*topics, ("chat:general", {"room": "general"})]:
        about = {} if topic.startswith("chat") else {"topic": topic}
        await api.publish(console.server, [{**about, **whom, "data": data} for data in HOSTILE])

    await expect(console.rows("What the client was told")).to_have_count(len(HOSTILE))
    await expect(console.page.get_by_text("javascript:alert(1)")).to_be_visible()
    assert await console.page.locator("a[href^=javascript]").count() == 0
    for tab, label in [
        ("Notifications", "Notifications"),
        ("Real-time", "Entity updates"),
        ("Chat", "Messages in general"),
    ]:
        await console.to(tab)
        await expect(console.rows(label)).to_have_count(len(HOSTILE))
        await expect(console.page.get_by_text("This page broke")).to_have_count(0)
    await console.to("Notifications")
    await expect(console.page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()


# The longest time between two frames, in ms: what somebody would see as a page that hangs.
WATCH_FRAMES = """() => {
    window.longestFrame = 0;
    let before = performance.now();
    const frame = now => {
        window.longestFrame = Math.max(window.longestFrame, now - before);
        before = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""


def _update(number: int) -> dict[str, object]:
    return {
        "entityType": "part",
        "entityId": f"E-{number}",
        "action": "updated",
        "data": {"n": number},
        "timestamp": "2026-01-18T10:30:00.000Z",
    }


@pytest.mark.skipif(
    not AXE.exists(), reason="NOT TESTED: axe is not installed (make console, which needs Node)"
)
async def test_axe_finds_no_serious_fault_in_light_or_dark(console: Console) -> None:
    faults = {"Sign in": await console.faults()}
    await console.sign_in("seen", "user", "admin")
    for tab in TABS:
        await console.to(tab)
        if tab in ("Notifications", "Real-time", "Chat"):
            await console.send()
            await expect(console.page.get_by_text("Kept as")).to_be_visible()
        faults[tab] = await console.faults()

    assert faults == {tab: [] for tab in faults}

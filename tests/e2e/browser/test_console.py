"""Every tab of the console sends and receives, says why it is refused, and can be used by all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.browser.console import AXE, SIGNING_KEY, TABS, THE_CONSOLE, Console
from tests.e2e.client import ADMIN, Api, demo
from tests.process import ServerProcess, eventually

pytestmark = THE_CONSOLE


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
    await expect(console.page.get_by_text("401 UNAUTHORIZED")).to_be_visible()
    await console.page.get_by_label("Signing key").fill(SIGNING_KEY)
    await expect(console.page.get_by_text("X-Signature:").first).to_be_visible()
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

    async def refused() -> bool:
        async with console.page.expect_response("**/chat/send") as answer:
            await console.send()
        return (await answer.value).status == 429

    async with hammering(api, console.server, "hasty"):
        await eventually(refused, "somebody else was faster each time")  # on a busy machine not at once
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
    await eventually(lambda: server.logged("request.completed", path="/chat/send", status=429), "refused")
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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

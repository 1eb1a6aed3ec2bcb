"""The console's connection: one for all tabs, and what is told when it breaks."""

import asyncio
import shutil
import signal
from pathlib import Path

from playwright.async_api import BrowserContext, expect

from tests.e2e.browser.console import THE_CONSOLE, Console, notify
from tests.e2e.client import Api, demo
from tests.e2e.stream import Stream
from tests.e2e.test_shutdown import stall
from tests.process import ServerProcess, eventually, running

pytestmark = THE_CONSOLE


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


async def streams_of(server: ServerProcess, user: str) -> int:
    """How many streams *user* holds, as the service counts: opened less closed."""
    return len(server.logged("stream.opened", user=user)) - len(server.logged("stream.closed", user=user))


async def one_stream_of(server: ServerProcess, user: str) -> bool:
    return await streams_of(server, user) == 1


async def test_nothing_is_missing_or_doubled_after_a_kill_and_what_is_lost_is_told(
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

        await server.kill()
        shutil.rmtree(tmp_path / "data")
        await server.start()
        await expect(console.page.locator("[data-notice=gap]")).to_contain_text(
            "Some events are missing here"
        )
        await notify(api, server, "42", 9)
        await expect(console.rows("Notifications")).to_have_count(10)
        assert await console.figure("gaps") == 1
        await console.page.get_by_role("button", name="Dismiss").click()
        await expect(console.page.locator("[data-notice=gap]")).to_be_hidden()
        assert console.errors == []


async def test_service_that_is_stopping_is_told_and_comes_back(
    context: BrowserContext, api: Api, tmp_path: Path
) -> None:
    async with running(tmp_path, retry_ms=100, shutdown_timeout_s=20) as server:
        console = await Console.open(context, server, demo("42"))
        await console.is_live()
        sent = [await notify(api, server, "42", 1)]
        held = await stall(server, api, "slow")  # keeps it from its end
        server.send_signal(signal.SIGTERM)
        notice = console.page.locator("[data-notice=connection]")
        await expect(notice).to_contain_text("The service is not ready for streams just now")
        await expect(console.page.locator("[data-state=waiting]")).to_contain_text("Reconnecting")

        held.reset()
        await server.exited()
        await server.start()
        sent.append(await notify(api, server, "42", 2))
        await notice.get_by_role("button", name="Try now").click()
        await console.is_live()
        await expect(console.rows("Notifications")).to_have_count(2)
        assert await console.ids("Notifications") == sent[::-1]
        await expect(notice).to_be_hidden()
        assert (console.errors, await console.figure("gaps")) == ([], 0)

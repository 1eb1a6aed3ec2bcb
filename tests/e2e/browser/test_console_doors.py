"""Who gets into the console: tokens that are taken, refused, expired, and kept in their tab."""

from playwright.async_api import BrowserContext, expect

from tests.conftest import mint
from tests.e2e.browser.console import THE_CONSOLE, Console
from tests.e2e.client import demo
from tests.process import ServerProcess

pytestmark = THE_CONSOLE


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


# As a browser does whose user lets no site keep data: all that tabs and reloads lean on is there, and refuses.
REFUSE = """
const refuse = () => { throw new DOMException("denied in this context", "SecurityError"); };
for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get: refuse });
window.BroadcastChannel = class { constructor() { refuse(); } };
for (const name of ["query", "request"]) LockManager.prototype[name] = async () => refuse();
"""


async def test_console_works_where_the_browser_keeps_nothing(
    context: BrowserContext, server: ServerProcess
) -> None:
    await context.add_init_script(REFUSE)
    console = await Console.open(context, server)
    await console.sign_in("nowhere")
    for room in ("one", "two", "three", "four", "five", "six"):
        await console.to("Chat")
        await console.page.get_by_label("Enter a room").fill(room)
        await console.page.get_by_role("button", name="Enter", exact=True).click()
    await console.is_live()  # what is sent before the stream of the last room is open, it does not get
    await console.send()  # all rooms are one connection: a request still gets through

    await expect(console.rows("Messages in six").last).to_contain_text("Hello from the console")
    assert console.errors == []

"""The console's lists: many events, hostile ones, and a reader who has scrolled away."""

from playwright.async_api import expect

from tests.e2e.browser.console import THE_CONSOLE, Console, notify
from tests.e2e.client import Api
from tests.process import eventually

pytestmark = THE_CONSOLE


async def _more(console: Console, count: int) -> bool:
    return await console.figure("events") >= count


async def test_ten_thousand_events_neither_freeze_the_page_nor_fill_its_memory(
    console: Console, api: Api
) -> None:
    await console.sign_in("flood", "user")
    await console.to("Real-time")
    cdp = await console.page.context.new_cdp_session(console.page)
    await console.page.evaluate(COUNT_DRAWN)

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
    assert await console.page.evaluate("window.drawn") < 2_000  # of 20,000: most go by between two frames


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


async def test_lists_go_by_arrow_keys_and_what_is_gone_stays_gone(console: Console, api: Api) -> None:
    await console.sign_in("keys")
    await api.publish(console.server, [{"userId": "keys", "data": f"number {n}"} for n in range(100)])
    await eventually(lambda: _more(console, 100), "all came")
    await console.to("Inspector")
    await console.page.get_by_role("checkbox", name="heartbeats").uncheck()
    await console.page.get_by_label("Holds the text").fill("number 9")
    await expect(console.rows("Frames")).to_have_count(11)

    await console.page.get_by_role("region", name="Frames").focus()
    for key in ("ArrowUp", "ArrowUp", "Enter"):
        await console.page.keyboard.press(key)
    await expect(console.page.get_by_role("region", name="One frame")).to_contain_text("number 98")
    await console.page.keyboard.press("Tab")  # one stop, however many items
    assert not await console.page.evaluate("document.activeElement.matches('.frame')")
    await console.page.get_by_label("Holds the text").fill("number 42")  # though the list stood still
    await expect(console.rows("Frames")).to_have_count(1)
    await console.page.get_by_role("button", name="Clear").click()
    await expect(console.page.get_by_text("No such frame yet")).to_be_visible()
    await api.publish(console.server, [{"userId": "keys", "data": "number 42 again"}])
    await expect(console.rows("Frames")).to_have_count(1)


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
    {"type": "odd", "url": "javascript:alert(1)"},  # a redirect would be refused
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


# What a page that hangs does too much of: it draws events that the next ones push out before anybody sees them.
COUNT_DRAWN = """() => {
    window.drawn = 0;
    new MutationObserver(changes => {
        for (const change of changes) window.drawn += change.addedNodes.length;
    }).observe(document.body, {childList: true, subtree: true});
}"""


def _update(number: int) -> dict[str, object]:
    return {
        "entityType": "part",
        "entityId": f"E-{number}",
        "action": "updated",
        "data": {"n": number},
        "timestamp": "2026-01-18T10:30:00.000Z",
    }

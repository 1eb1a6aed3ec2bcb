"""The console in a real browser, as tests drive it: signed in, tab by tab, its errors noted.

Knows the page by what people see of it (roles, labels, texts) and by few data attributes. Knows no service.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.e2e.browser.chromium import IN_CHROMIUM
from tests.e2e.client import ADMIN, Api
from tests.process import ROOT, ServerProcess

BUILT = (ROOT / "handlers" / "console_dist" / "index.html").exists()
THE_CONSOLE = [
    *IN_CHROMIUM,
    pytest.mark.skipif(
        not BUILT, reason="NOT TESTED: the console is not built (make console, which needs Node)"
    ),
]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
TABS = (
    "Notifications",
    "Real-time",
    "Chat",
    "Group chat",
    "Presence",
    "System",
    "Redirect",
    "Inspector",
)
SIGNING_KEY = "ab" * 32  # of the service's channel functions
WITHIN_MS = 15_000

expect.set_options(timeout=WITHIN_MS)


async def notify(api: Api, server: ServerProcess, user: str, number: int) -> str:
    """Send *user* a notification that tells its number; the event's id."""
    body = {"title": f"Number {number}", "message": "m", "type": "info", "userId": user}
    status, answer = await api.call(server, "POST", "/notifications/send", body, ADMIN)
    assert status == 200
    return str(answer["id"])


class Console:
    """One tab of a browser with the console in it."""

    def __init__(self, page: Page, server: ServerProcess) -> None:
        self.page = page
        self.server = server
        self.errors: list[str] = []
        page.set_default_timeout(WITHIN_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, server: ServerProcess, token: str = "") -> "Console":
        """A tab at the door, or with *token* already through it."""
        console = cls(await context.new_page(), server)
        if token:
            await console.page.add_init_script(f"sessionStorage.setItem('sse-push.token', '{token}')")
        await console.page.goto(f"{server.url}/")
        return console

    def _note(self, message: ConsoleMessage) -> None:
        # The browser itself reports each refused or failed request so; whether it was to be is a test's business.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    async def sign_in(self, user: str, *roles: str) -> None:
        """As a demo user; returns when the stream is open."""
        await self.page.get_by_label("User id").fill(user)
        await self.page.get_by_label("Name").fill(f"name of {user}")
        for role in ("user", "admin", "service"):
            box = self.page.get_by_role("checkbox", name=role, exact=True)
            await box.set_checked(role in (roles or ("user",)))
        await self.page.get_by_role("button", name="Continue").click()
        await self.is_live()

    async def log_in(self, email: str, password: str) -> None:
        """With an account."""
        await self.page.get_by_role("radio", name="Account").check()
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Continue").click()
        await self.is_live()

    async def is_live(self) -> None:
        await expect(self.page.locator("[data-state=open]")).to_be_visible()

    async def to(self, tab: str) -> None:
        await self.page.get_by_role("navigation").get_by_role("link", name=re.compile(f"^{tab}")).click()
        await expect(self.page.get_by_role("heading", level=1, name=tab, exact=True)).to_be_visible()

    async def send(self) -> None:
        await self.page.get_by_role("button", name="Send test").click()

    def rows(self, label: str) -> Locator:
        """What is drawn of a list."""
        return self.page.get_by_role("region", name=label).get_by_role("listitem")

    async def figure(self, name: str) -> int:
        """One of the figures in the bar above: ``events``, ``gaps``, ..."""
        text = await self.page.locator(f"[data-figure='{name}'] dd").inner_text()
        return int("".join(filter(str.isdigit, text)))

    async def ids(self, label: str) -> list[str]:
        """The ids of the events that are drawn, top to bottom."""
        found: list[str] = (
            await self.rows(label).locator("[data-id]").evaluate_all("all => all.map(one => one.dataset.id)")
        )
        return found

    async def faults(self) -> list[str]:
        """What axe finds that is serious or worse on the page as it is: in light, and in dark where colours matter."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(Path(AXE).read_text())  # the page's policy lets no script in
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found = await self._axe({"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
        await self.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        return found + await self._axe({"runOnly": {"type": "rule", "values": ["color-contrast"]}})

    async def _axe(self, options: dict[str, Any]) -> list[str]:
        run = "options => axe.run(document, {resultTypes: ['violations'], ...options})"
        result: dict[str, Any] = await self.page.evaluate(run, options)
        return [
            f"{found['id']}: {node['target']} {node['failureSummary']}"
            for found in result["violations"]
            if found["impact"] in ("serious", "critical")
            for node in found["nodes"]
        ]

"""The page at /docs shows the whole document, loads nothing, lets nothing in, and its curl lines work."""

import asyncio
import base64
import hashlib
import html
import json
import re
import shutil
from html.parser import HTMLParser
from typing import Any

import pytest

from sse_push.handlers.docs_page import base_url, render
from sse_push.handlers.openapi import describe
from sse_push.service.node import Node
from sse_push.service.tables import UserRow
from tests.conftest import DEADLINE_S, Listen, SettingsFactory, Start

VOID = {"link", "meta", "wbr"}


class Page(HTMLParser):
    """What is on a page: its elements, anchors and links; it must be well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.urls: list[str] = []
        self.attributes: set[str] = set()
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.attributes |= set(given)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.urls += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe("1.2.3")


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> str:
    return render(document, "http://127.0.0.1:8000", "p { margin: 0 }")


def test_page_shows_every_operation_schema_and_error(document: dict[str, Any], page: str) -> None:
    ids = Page(page).ids
    wanted = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    wanted += [f"schema-{name}" for name in document["components"]["schemas"]]
    wanted += ["error-401", "error-403", "error-422", "error-429", "error-503"]

    assert set(wanted) <= set(ids)
    assert len(ids) == len(set(ids))


def test_page_links_lead_to_what_is_on_it(page: str) -> None:
    read = Page(page)
    inside = {url.removeprefix("#") for url in read.urls if url.startswith("#")}
    outside = {url for url in read.urls if not url.startswith(("#", "data:"))}

    assert inside <= set(read.ids)
    assert outside == {"/openapi.json"}


def test_page_runs_nothing_and_styles_nothing_in_line(page: str) -> None:
    read = Page(page)

    assert not {"script", "iframe", "img", "object", "form"} & set(read.tags)
    assert not {name for name in read.attributes if name.startswith("on") or name == "style"}


def test_page_shows_types_bounds_and_where_a_parameter_stands(page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)

    assert re.search(r"clientId\s+string\s+required\s+in query", text)
    assert re.search(r"userIds\s+list of\s+string or number", text)
    assert "1 to 1000 items" in text
    assert "Last-Event-ID" in text


def test_page_lets_no_text_become_markup() -> None:
    hostile = "<script>alert(1)</script>\"'&`<b>`"

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: hostile if name in TEXTS and isinstance(inner, str) else poison(inner) for name, inner in value.items()}  # fmt: skip
        return [poison(inner) for inner in value] if isinstance(value, list) else value

    poisoned = poison(json.loads(json.dumps(describe("1"))))
    shown = render(poisoned, "http://127.0.0.1:8000", "")

    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert set(Page(shown).tags) == set(Page(render(describe("1"), "", "")).tags)


TEXTS = {"description", "summary", "title", "detail", "pattern", "message", "version", "default"}


async def test_page_is_served_with_a_policy_that_allows_only_its_own_style(start: Start) -> None:
    service = await start()
    answer = await service.get("/docs")
    text = answer.body.decode()
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "url(" not in style
    assert "@import" not in style
    assert service.node.version in text


async def test_page_is_revalidated(start: Start) -> None:
    service = await start()
    etag = (await service.get("/docs")).headers["ETag"]

    assert (await service.get("/docs", headers={"If-None-Match": etag})).status == 304


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
        ("::1", "http://[::1]:8123"),
        ("localhost", "http://localhost:8123"),
    ],
)
def test_base_url_is_where_curl_finds_the_node(settings_for: SettingsFactory, host: str, url: str) -> None:
    assert base_url(settings_for(host=host, port=8123)) == url


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's lines are for curl")
async def test_curl_lines_work_in_demo_mode(listen: Listen, page: str) -> None:
    listening = await listen(auth_mode="demo")
    await fill(listening.node)
    [token] = re.findall(r"TOKEN=\$\(printf .*?\)", html.unescape(page))
    lines = re.findall(r'<figure class="curl">.*?<code>(.*?)</code>', page, re.DOTALL)
    setup = f"BASE=http://127.0.0.1:{listening.port}; {token}; "
    # Of accounts one line makes what another changes; first those that remove nothing.
    of_accounts = sorted((line for line in lines if "$BASE/api/" in line), key=_removes)

    others = [line for line in lines if line not in of_accounts]
    answers = await asyncio.gather(*(status_of(setup + html.unescape(line)) for line in others))
    answers += [await status_of(setup + html.unescape(line)) for line in of_accounts]

    assert len(lines) == len([one for path in describe("1")["paths"].values() for one in path])
    statuses = dict(zip(others + of_accounts, answers, strict=True))
    assert {line: answer for line, answer in statuses.items() if not answer.startswith(b"HTTP/1.1 20")} == {}


def _removes(line: str) -> int:
    """0 for nothing, 1 for a friendship, 2 for a user."""
    return "-X DELETE" in line and 1 + ("/api/users" in line)


async def fill(node: Node) -> None:
    """The users of the examples: who calls, and whom they ask to be their friend."""
    async with node.database.write() as session:
        for user in (2, 42):
            session.add(
                UserRow(id=user, email=str(user), name="", role="user", password_hash="", created_at=0)
            )


async def status_of(line: str) -> bytes:
    """The first line of the answer to a curl line; streams are cut off behind it."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"{line.replace('curl ', 'exec curl -sSi ', 1)}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await process.stdout.readline()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

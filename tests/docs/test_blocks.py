"""Code in the documentation stands in the sources or does what is said of it."""

import re
from typing import Any

import pytest
from aiohttp import web

from sse_push.events.event import PushEvent
from sse_push.events.topics import Topic
from sse_push.handlers.app import build_app
from sse_push.handlers.keys import NODE
from sse_push.service import streams
from sse_push.service.streams.base import Stream
from tests.conftest import SettingsFactory, Start, mint
from tests.docs.pages import PAGES, ROOT

BLOCK = re.compile(r"^```python (file|line|name)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    (page.relative_to(ROOT).as_posix(), kind, what): code
    for page in PAGES
    for kind, what, code in BLOCK.findall(page.read_text())
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "file"], ids=str)
def test_block_is_the_file(block: tuple[str, str, str]) -> None:
    assert BLOCKS[block] == (ROOT / block[2]).read_text()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "line"], ids=str)
def test_block_is_a_line_of_the_file(block: tuple[str, str, str]) -> None:
    assert BLOCKS[block] in (ROOT / block[2]).read_text()


@pytest.fixture
def order_stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """The second example of adding-a-stream.md, in the registry."""
    module: dict[str, Any] = {"__name__": "sse_push.service.streams.orders"}
    exec(BLOCKS["docs/adding-a-stream.md", "name", "orders"], module)
    stream: Stream = module["OrderStream"]()
    topics: dict[str, Topic] = {**streams.TOPICS, "orders": stream.topic}
    every = (*streams.STREAMS, stream)
    for place in ("sse_push.service.streams", "sse_push.handlers.streams", "sse_push.service.samplers"):
        monkeypatch.setattr(f"{place}.STREAMS", every)
    monkeypatch.setattr("sse_push.service.node.TOPICS", topics)
    monkeypatch.setattr("sse_push.handlers.topics.BY_TOPIC", {**streams.BY_TOPIC, "orders": stream})
    return stream


async def test_example_stream_gives_what_is_published_to_it(order_stream: Stream, start: Start) -> None:
    service = await start()
    mine = await service.open("/orders/stream", token=mint("42"))
    many = await service.open("/v1/stream?topics=orders", token=mint("42"))
    data = {"orderId": "A-1", "state": "sent"}
    id_ = await service.publish(topic="orders", userId="42", data=data)
    assert (await mine.next()).id == id_
    assert (await many.next()).event == "orders"
    code = BLOCKS["docs/adding-a-stream.md", "name", "emit"]
    exec(code, {"node": service.node, "PushEvent": PushEvent})
    assert (await mine.next()).data == '{"orderId":"A-1","state":"sent"}'


async def test_readme_example_pushes_in_process(
    monkeypatch: pytest.MonkeyPatch, settings_for: SettingsFactory
) -> None:
    """The block runs as it stands, but that its port and data are a test's, and that it ends after one event."""
    emitted: list[object] = []
    module: dict[str, Any] = {}
    code = BLOCKS["README.md", "name", "in-process"].replace("asyncio.run(main())\n", "").replace("8000", "0")
    exec(code, module)
    app = build_app(settings_for(auth_mode="demo"))
    module["build_app"] = lambda _: app

    class Enough(Exception):
        pass

    async def sleep(_: float) -> None:
        raise Enough

    app[NODE].emitter.on("sse.push", lambda *pushes, **_: emitted.extend(pushes))
    runners: list[web.AppRunner] = []
    real = web.AppRunner

    def runner(app: web.Application) -> web.AppRunner:
        runners.append(real(app))
        return runners[-1]

    monkeypatch.setattr(module["web"], "AppRunner", runner)
    monkeypatch.setattr(module["asyncio"], "sleep", sleep)
    with pytest.raises(Enough):
        await module["main"]()
    monkeypatch.undo()
    await runners[0].cleanup()
    assert emitted == [PushEvent(user_id="test123", data={"message": "tick"})]

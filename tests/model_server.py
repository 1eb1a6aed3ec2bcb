"""A server that speaks OpenAI's chat-completions interface, streaming included, and behaves as its test says.

How it answers hangs on the model that is asked for: a text is streamed word by word, a number is an HTTP status,
``BREAK`` breaks off in the middle, ``ENDLESS`` has no end, ``SILENT`` begins no answer before :attr:`ModelServer.release` is set.
"""

import asyncio
import json
from typing import Any, Self

from aiohttp import web

BREAK, ENDLESS, SILENT = "<break>", "<endless>", "<silent>"
SECRET = "sk-a-key-that-no-log-may-hold"


class ModelServer:
    """Listens on a free port of the loopback interface.

    Attributes:
        answers: By model; a model that is not there answers ``MODEL heard: LAST MESSAGE``.
        asked: The bodies of the requests that came.
        keys: Their ``Authorization`` headers.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str | int] = {}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.release = asyncio.Event()
        self.url = ""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        assert body["stream"] is True
        heard = f"{body['model']} heard: {body['messages'][-1]['content']}"
        answer = self.answers.get(body["model"], heard)
        if isinstance(answer, int):
            # As the real one does: the message repeats what was sent.
            said = {
                "error": {"message": f"Incorrect API key provided: {SECRET}", "type": "invalid_request_error"}
            }
            return web.json_response(said, status=answer)
        if answer == SILENT:
            await self.release.wait()
            answer = heard
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self._write(response, body["model"], answer)
        return response

    async def _write(self, response: web.StreamResponse, model: str, answer: str) -> None:
        if answer == BREAK:
            await response.write(_chunk(model, {"role": "assistant", "content": "I was about to"}))
            assert response._req is not None and response._req.transport is not None
            response._req.transport.abort()
            return
        if answer == ENDLESS:
            while True:
                await response.write(_chunk(model, {"content": "and on " * 100}))
        await response.write(_chunk(model, {"role": "assistant", "content": ""}))
        for word in answer.split(" "):
            await response.write(_chunk(model, {"content": f"{word} "}))
        await response.write(_chunk(model, {}, finish="stop"))
        await response.write(b"data: [DONE]\n\n")


def _chunk(model: str, delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return f"data: {json.dumps(chunk)}\n\n".encode()

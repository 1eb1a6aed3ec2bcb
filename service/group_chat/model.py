"""Answers from a language model with an OpenAI-compatible chat-completions API. The only module that imports ``openai``.

Reads the answer as a stream, so that an endless one is cut and a stalled one times out. Text of the model's server
never goes into a log line or an error: it may contain the API key.
"""

import asyncio
from typing import Any

import structlog

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.jobs import MAX_ANSWER_CHARS, Job
from sse_push.service.settings import BadSettings

MAX_ANSWER_TOKENS = 2_048  # per answer; more than MAX_ANSWER_CHARS in most languages
CONNECT_S = 5.0  # seconds to reach the model's server
RETRIES = 1  # per request, after 429, 5xx or a connection error; the job itself is retried too

_log = structlog.get_logger()


class ChatModel:
    """The client of one server.

    Args:
        base_url: Without ``/chat/completions``; empty means OpenAI's own server.
        key: The bearer token; self-hosted servers often need none.
        model: For personas that name none.
        timeout: Seconds for a complete answer, including retries.
    """

    def __init__(self, *, base_url: str, key: str, model: str, timeout: float) -> None:
        self._base_url = base_url or "https://api.openai.com/v1"
        self._key = key
        self._model = model
        self._timeout = timeout
        self._client: Any = None

    async def start(self) -> None:
        """Import the client library on a thread; it takes a second.

        Raises:
            BadSettings: It is not installed.
        """
        try:
            openai = await asyncio.to_thread(_client_library)
        except ImportError as error:
            raise BadSettings(f"personas can't use a model: pip install 'sse-push[ai]' ({error})") from None
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._base_url,
            timeout=openai.Timeout(self._timeout, connect=CONNECT_S),
            max_retries=RETRIES,
        )

    async def complete(self, job: Job) -> str:
        """The answer to *job*.

        Raises:
            AnswerFailed: The model gave none; the message has no text of the server.
        """
        fault = "timeout"
        status = None
        try:
            async with asyncio.timeout(self._timeout):
                return await self._stream(job)
        except TimeoutError:
            pass
        except Exception as error:  # noqa: BLE001 - a broken stream raises whatever its transport raises
            fault, status = type(error).__name__, getattr(error, "status_code", None)
        _log.warning("model.failed", job=job.id, error=fault, status=status)
        raise AnswerFailed("the model did not answer")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _stream(self, job: Job) -> str:
        text: list[str] = []
        left = MAX_ANSWER_CHARS
        stream = await self._client.chat.completions.create(
            model=job.persona.model or self._model,
            messages=prompt(job),
            stream=True,
            max_completion_tokens=MAX_ANSWER_TOKENS,
        )
        async with stream:
            async for chunk in stream:
                part = chunk.choices[0].delta.content if chunk.choices else None
                if part:
                    text.append(part)
                    left -= len(part)
                if left <= 0:
                    break
        return "".join(text)


def _client_library() -> Any:
    import openai

    return openai


def prompt(job: Job) -> list[dict[str, str]]:
    """The messages for the model: its persona, the history, the message to answer."""
    persona = job.persona
    about = f"{persona.prompt}\n\nYou are {persona.name}, in the chat room {job.room_id!r} with several people and other assistants. Each message of theirs begins with its sender's name. Answer the last message, in its language, without putting your name before it."  # fmt: skip
    said = [
        {"role": "assistant", "content": line.content}
        if line.own
        else {"role": "user", "content": f"{line.name}: {line.content}"}
        for line in job.history
    ]
    now = {"role": "user", "content": f"{job.user_name}: {job.message}"}
    return [{"role": "system", "content": about}, *said, now]

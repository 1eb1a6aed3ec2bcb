"""``sse-push worker``: answers group-chat jobs of AI members until SIGTERM or SIGINT, on any machine."""

import argparse
import asyncio
from typing import Any

import structlog

from sse_push.cli.signals import ending_signals
from sse_push.cli.standard_streams import write_stderr
from sse_push.service.descriptors import raise_limit
from sse_push.service.group_chat.build import build_worker
from sse_push.service.logging import configure_logging, open_output
from sse_push.service.settings import Settings, load_settings

_log = structlog.get_logger()


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "worker",
        help="answer jobs of AI members",
        description="Takes group-chat jobs from the Redis of SSE_PUSH_ENGINE_URL and answers them until SIGTERM or"
        " SIGINT. Reads the engine, AI and log settings (`sse-push serve --help`).",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    # It serves no requests, so authentication settings may be missing.
    settings = load_settings(auth_mode="demo", host="127.0.0.1")
    if not settings.on_redis:
        write_stderr(
            "a worker needs SSE_PUSH_ENGINE_URL=redis://...; nodes with the embedded engine answer their own jobs"
        )
        return 2
    output = open_output()
    configure_logging(settings.log_format, settings.log_level, output)
    raise_limit()
    output.start()
    try:
        return asyncio.run(_work(settings))
    finally:
        output.close()


async def _work(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in ending_signals():
        loop.add_signal_handler(sign, stop.set)
    worker = build_worker(settings)
    await worker.start()
    _log.info(
        "ai_worker.started", concurrency=settings.ai_worker_concurrency, model=settings.ai_model or None
    )
    await stop.wait()
    await worker.close()
    _log.info("ai_worker.stopped")
    return 0

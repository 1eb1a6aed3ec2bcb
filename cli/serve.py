"""``sse-push serve``: run a node, or several on one port, until SIGTERM or SIGINT."""

import argparse
import asyncio
import errno
import gc
import os
import sys
from typing import Any

import structlog
from aiohttp import web

from sse_push.cli.signals import ending_signals
from sse_push.cli.standard_streams import write_stderr
from sse_push.cli.starting import CLOSE_S, Watchdog, started
from sse_push.cli.workers import MAX_WORKERS, WorkerContext, Workers
from sse_push.events.engines import EMBEDDED
from sse_push.events.errors import SsePushError
from sse_push.handlers.app import build_app
from sse_push.handlers.http.server import UNANSWERED_REQUESTS_S, FrontSite
from sse_push.service.descriptors import raise_limit, warn_where_few
from sse_push.service.log_output import LogOutput
from sse_push.service.logging import configure_logging, open_output
from sse_push.service.settings import (
    BadSettings,
    Settings,
    load_settings,
    renamed_variables,
    unknown_variables,
    variable,
)

# Seconds until a running thread yields to a waiting one. The commit thread must not wait for a whole
# broadcast. Python's default is 5 ms.
SWITCH_INTERVAL_S = 0.0005
# The cyclic collector walks all live objects, some hundred thousand; most garbage has no cycles.
GC_THRESHOLDS = (50_000, 10, 10)

_log = structlog.get_logger()


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="run a node",
        description="Runs a node until SIGTERM or SIGINT.",
        epilog=_settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="number of nodes on the port, each a supervised process; needs the Redis engine",
    )
    parser.add_argument(
        "--worker-ports",
        type=int,
        metavar="PORT",
        help="worker 1 also listens on 127.0.0.1:PORT, worker 2 on the next port, and so on: for per-worker metrics",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    output = open_output()
    configure_logging(settings.log_format, settings.log_level, output)
    for name, meant in unknown_variables(os.environ).items():
        _log.warning("settings.unknown", name=name, meant=meant)
    for name, new_name in renamed_variables(os.environ).items():
        _log.warning("settings.renamed", name=name, new_name=new_name)
    raise_limit()
    warn_where_few(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    if arguments.workers == 1:
        return _run_node(settings, output)
    if settings.engine_url == EMBEDDED:
        write_stderr(
            "--workers needs the Redis engine (SSE_PUSH_ENGINE_URL=redis://...); the embedded engine serves one process"
        )
        return 2
    first = arguments.worker_ports
    try:
        return Workers(
            settings,
            arguments.workers,
            lambda context: _run_node(
                context.settings, output, context, first and first + context.number - 1
            ),
        ).run()
    except OSError as error:
        return _report_failed_start(error, settings.port)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_WORKERS}")
    return count


def _run_node(
    settings: Settings, output: LogOutput, context: WorkerContext | None = None, own_port: int | None = None
) -> int:
    output.start()
    try:
        with Watchdog(output.close) as watchdog, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, context, own_port, watchdog))
    except BadSettings as error:
        return _report_bad_settings(error, context)
    finally:
        output.close()


async def _serve(
    settings: Settings, context: WorkerContext | None, own_port: int | None, watchdog: Watchdog
) -> int:
    # The drain takes up to SHUTDOWN_TIMEOUT_S; what is unanswered after it gets this.
    runner = web.AppRunner(build_app(settings), shutdown_timeout=UNANSWERED_REQUESTS_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in ending_signals():
        loop.add_signal_handler(sign, stop.set)
    if context is not None:
        loop.add_reader(context.parent, stop.set)  # readable only when the parent is gone
    status = await _start(runner, settings, context, own_port, stop)
    if status is not None:
        watchdog.end_within(CLOSE_S, status)
        await runner.cleanup()
        return status
    await stop.wait()
    if context is not None:
        loop.remove_reader(context.parent)
    # The node still listens while it drains, so that /readyz can answer 503.
    await runner.app.shutdown()
    await runner.cleanup()
    return 0


async def _start(
    runner: web.AppRunner,
    settings: Settings,
    context: WorkerContext | None,
    own_port: int | None,
    stop: asyncio.Event,
) -> int | None:
    """Start the node. Returns an exit status if that fails or is stopped, else ``None``."""
    try:
        sites = await started(_listen(runner, settings, own_port, context), stop)
    except (OSError, SsePushError) as error:
        return _report_failed_start(error, settings.port, context)
    except BadSettings as error:  # an optional package that the settings need is not installed
        return _report_bad_settings(error, context)
    except Exception as error:  # noqa: BLE001 - a bug: still close what was opened
        _log.error("server.start_failed", exc_info=error)
        return _report(f"can't start: {error!r}; the log has more", 1, context)
    if sites is None:
        _log.info("server.start_stopped")
        return 0
    gc.freeze()  # objects made by a start stay: exempt them from collection
    for site in sites:
        _log.info("server.listening", url=site.name, auth_mode=settings.auth_mode)
    if context is not None:
        context.ready()
    return None


async def _listen(
    runner: web.AppRunner, settings: Settings, own_port: int | None, context: WorkerContext | None
) -> list[FrontSite]:
    await runner.setup()
    sites: list[FrontSite] = []
    port = settings.port
    for host in settings.hosts:
        listener = context.listeners.get(host) if context is not None else None
        first = sites[0] if sites else None
        site = FrontSite(
            runner, host, port, shared=context is not None, beside=first, listener=listener and listener.dup()
        )
        await site.start()
        port = site.port  # port 0 means any free one: all sites share the one that the first got
        sites.append(site)
    if own_port:
        await FrontSite(runner, "127.0.0.1", own_port, beside=sites[0]).start()
    return sites


def _report_failed_start(error: Exception, port: int, context: WorkerContext | None = None) -> int:
    """Report why the start failed. Returns the exit status."""
    why = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why = f"port {port} is in use; set {variable('port')} to another" if f", {port})" in why else why
    return _report(f"can't start: {why}", 1, context)


def _report_bad_settings(error: BadSettings, context: WorkerContext | None) -> int:
    return _report(f"these settings can't be used:\n{error}", 2, context)


def _report(why: str, status: int, context: WorkerContext | None) -> int:
    """Print *why* on stderr. A worker sends it to its parent instead, which prints it once for all workers."""
    if context is not None:
        context.failed(why)
    else:
        write_stderr(why)
    return status


def _loop_factory() -> Any:
    """uvloop's loop if it is installed, else ``None`` for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _settings_help() -> str:
    lines = ["settings, from the environment (lists are comma-separated):"]
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else default
        if hasattr(default, "get_secret_value"):
            shown = ""
        lines.append(f"  {variable(name)}" + (f"  [{shown}]" if str(shown) else ""))
        lines.append(f"      {field.description}")
    return "\n".join(lines).replace("%", "%%")
